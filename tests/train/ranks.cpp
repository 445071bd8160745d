// Ranks that share the steps of a stage: the same bits for any number of them, and one error for
// all where one of them fails.
#include <atomic>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/gradient_sum.hpp"
#include "tern/train/trainer.hpp"
#include "tests/rank_threads.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::on_ranks;

namespace {

constexpr std::size_t micro_batches = 6;

std::vector<token_example> uneven_examples() {
  std::vector<token_example> list(24);
  philox random(4);
  for (token_example& e : list) {
    e.answer = 3 + random.below(9);
    for (std::size_t i = 0; i <= e.answer; ++i)
      e.tokens.push_back(static_cast<std::int32_t>(random.below(50)));
  }
  return list;
}

trainer_options six_micro_batches(std::size_t parts,
                                  gradient_format gradients = gradient_format::real) {
  trainer_options o;
  o.learning_rate = 1e-2;
  o.plan.steps = 4;
  o.accumulate = micro_batches;
  o.parts = parts;
  o.gradients = gradients;
  return o;
}

/// What a rank has after all steps.
struct after_steps {
  std::vector<float> weights;
  std::vector<double> reports;  ///< losses, gradient norms and tokens of all steps, and means
  std::size_t sent = 0;         ///< bytes
};

/// Trains a student with a balanced objective, whose steps look at all micro-batches before.
after_steps train_on(reducer& ranks, std::size_t parts,
                     gradient_format gradients = gradient_format::real) {
  const auto data = uneven_examples();
  decoder<> student(tern_test::small_config(50)), teacher(tern_test::small_config(50));
  student.initialize(1);
  teacher.initialize(2);
  logits_term_options logits;
  logits.tokens = distilled_tokens::all;
  loss_options losses = loss_options::with(cross_entropy_options{}, logits);
  losses.balance = true;
  stage_loss<decoder<>> loss(student, &teacher, std::make_unique<example_batches>(data, 3, 9),
                             make_objective<float>(losses, {2, 2}));
  trainer<decoder<>> t(student, six_micro_batches(parts, gradients),
                       std::make_unique<adamw<matrix<float>>>(), {}, ranks);
  after_steps result;
  while (!t.done()) {
    const step_report r = t.advance(loss);
    result.sent += r.sent;
    result.reports.insert(result.reports.end(),
                          {r.loss.total, r.gradient_norm, static_cast<double>(r.tokens)});
  }
  const auto& means = loss.terms().means();
  result.reports.insert(result.reports.end(), means.begin(), means.end());
  student.for_each_parameter([&](auto& p) {
    result.weights.insert(result.weights.end(), p.value.data(), p.value.data() + p.value.size());
  });
  return result;
}

std::vector<after_steps> train_on_threads(std::size_t ranks, std::size_t parts,
                                          gradient_format gradients = gradient_format::real) {
  std::vector<after_steps> all(ranks);
  on_ranks(ranks, [&](reducer& r) { all[r.rank()] = train_on(r, parts, gradients); });
  return all;
}

}  // namespace

TEST_CASE("every rank ends with the bits of one rank") {
  const auto [ranks, parts] = GENERATE(table<std::size_t, std::size_t>(
      {{2, 6}, {3, 6}, {4, 6}, {5, 6}, {6, 6}, {7, 6}, {2, 3}, {4, 3}, {2, 2}, {2, 1}, {3, 1}}));
  const auto gradients = GENERATE(gradient_format::real, gradient_format::bf16);
  INFO(ranks << " ranks, " << parts << " parts, " << name_of(gradients, gradient_format_names));
  const after_steps alone = train_on(one_rank(), parts, gradients);
  for (const after_steps& each : train_on_threads(ranks, parts, gradients)) {
    CHECK(each.weights == alone.weights);
    CHECK(each.reports == alone.reports);
  }
}

TEST_CASE("parts only change how gradients are rounded") {
  const after_steps whole = train_on(one_rank(), 1), cut = train_on(one_rank(), 6);
  CHECK(cut.weights != whole.weights);
  REQUIRE(cut.reports.size() == whole.reports.size());
  for (std::size_t i = 0; i < cut.reports.size(); ++i)
    CHECK(cut.reports[i] == Approx(whole.reports[i]).epsilon(1e-3));
}

TEST_CASE("gradients in bf16 are nearly those in floats, and take half of the bytes") {
  const std::size_t parts = GENERATE(1u, 6u);
  const after_steps real = train_on(one_rank(), parts),
                    bf16 = train_on(one_rank(), parts, gradient_format::bf16);
  CHECK(bf16.weights != real.weights);
  for (std::size_t i = 0; i < bf16.reports.size(); ++i)
    CHECK(bf16.reports[i] == Approx(real.reports[i]).epsilon(1e-2));
  // Half of what a rank sends are gradients, and the other half are new weights.
  const std::size_t floats = train_on_threads(2, 2)[0].sent,
                    halves = train_on_threads(2, 2, gradient_format::bf16)[0].sent;
  CHECK(static_cast<double>(halves) / static_cast<double>(floats) == Approx(0.75).epsilon(0.02));
}

TEST_CASE("every micro-batch is dealt to one rank, and rank 0 has the first") {
  const std::size_t ranks = GENERATE(as<std::size_t>{}, 1, 2, 3, 4, 5, 6, 7, 13);
  const std::size_t parts = GENERATE(as<std::size_t>{}, 1, 2, 3, 6);
  INFO(ranks << " ranks, " << parts << " parts");
  std::vector<std::size_t> dealt;
  for (std::size_t r = 0; r < ranks; ++r) {
    const step_deal deal{micro_batches, parts, ranks, r};
    CHECK((r > 0 || deal.end() > 0));
    for (std::size_t i = deal.begin(); i < deal.end(); ++i) dealt.push_back(i);
  }
  std::vector<std::size_t> expected(micro_batches);
  std::iota(expected.begin(), expected.end(), std::size_t{0});
  CHECK(dealt == expected);
}

TEST_CASE("a tree over the parts is cut into whole subtrees") {
  const auto trees = detail::subtrees_of(3, 9);
  std::vector<std::vector<std::size_t>> found;
  for (const auto& tree : trees) found.push_back({tree.first, tree.size});
  CHECK(found == std::vector<std::vector<std::size_t>>{{3, 1}, {4, 4}, {8, 1}});
}

TEST_CASE("sums are kept until their sibling in the tree is there") {
  const auto [parts, ranks, rank, kept] =
      GENERATE(table<std::size_t, std::size_t, std::size_t, std::size_t>({{1, 1, 0, 0},
                                                                          {2, 1, 0, 1},
                                                                          {4, 1, 0, 2},
                                                                          {8, 1, 0, 3},
                                                                          {8, 2, 1, 2},
                                                                          {8, 8, 3, 0},
                                                                          {9, 3, 1, 2},
                                                                          {2, 4, 3, 0}}));
  CHECK(sums_kept({parts, parts, ranks, rank}) == kept);
}

TEST_CASE("parts that do not divide the micro-batches are refused") {
  const std::size_t parts = GENERATE(as<std::size_t>{}, 0, 4, 7);
  CHECK_THROWS_WITH(
      six_micro_batches(parts).validate(),
      "trainer: parts must be a divisor of accumulate (6), got " + std::to_string(parts));
}

TEST_CASE("every rank throws the error of the one that failed") {
  std::vector<std::string> messages(3);
  on_ranks(3, [&](reducer& ranks) {
    try {
      together(ranks, [&] {
        if (ranks.rank() == 1) throw config_error("no such token");
      });
    } catch (const rank_error& e) {
      messages[ranks.rank()] = e.what();
    }
  });
  for (const auto& message : messages) CHECK(message == "rank 1 of the test: no such token");
}

TEST_CASE("a step that one rank refuses leaves no trace on any") {
  std::vector<std::string> messages(2);
  std::vector<std::vector<float>> gradients(2);
  std::atomic<std::size_t> steps = 0;
  on_ranks(2, [&](reducer& ranks) {
    decoder<> model(tern_test::small_config(50));
    model.initialize(1);
    trainer<decoder<>> t(model, six_micro_batches(6), std::make_unique<adamw<matrix<float>>>(), {},
                         ranks);
    const auto data = uneven_examples();
    stage_loss<decoder<>> loss(model, nullptr, std::make_unique<example_batches>(data, 3, 9),
                               objective<float>());
    struct failing {
      stage_loss<decoder<>>& loss;
      void begin_step(tape<float>& t_, const step_deal& deal, reducer& r) {
        loss.begin_step(t_, deal, r);
      }
      recorded_loss operator()(tape<float>& t_, std::size_t number) {
        if (number == 4) throw config_error("micro-batch 4");
        return loss(t_, number);
      }
    };
    try {
      t.advance(failing{loss});
    } catch (const rank_error& e) {
      messages[ranks.rank()] = e.what();
    }
    steps += t.step();
    model.for_each_parameter([&](auto& p) {
      auto& all = gradients[ranks.rank()];
      all.insert(all.end(), p.grad.data(), p.grad.data() + p.grad.size());
    });
  });
  for (const auto& message : messages) CHECK(message == "rank 1 of the test: micro-batch 4");
  CHECK(steps == 0);
  for (const auto& all : gradients) CHECK(all == std::vector<float>(all.size()));
}

TEST_CASE("a reducer counts what its rank has for each of the others") {
  std::vector<std::size_t> sent(3);
  on_ranks(3, [&](reducer& ranks) {
    const std::vector<std::size_t> out_sizes{1, 2, 4}, in_sizes(3, out_sizes[ranks.rank()]);
    const std::vector<std::byte> out(7);
    std::vector<std::byte> in(3 * in_sizes.front()), all(700);
    ranks.exchange(out, out_sizes, in, in_sizes);
    ranks.gather(all, std::vector<std::size_t>{100, 200, 400});
    ranks.broadcast(std::span(all).first(1));
    sent[ranks.rank()] = ranks.sent();
  });
  CHECK(sent == std::vector<std::size_t>{6 + 200 + 2, 5 + 400, 3 + 800});
  CHECK(one_rank().sent() == 0);
}

TEST_CASE("ranks that differ are named") {
  std::vector<std::string> messages(3);
  on_ranks(3, [&](reducer& ranks) {
    try {
      require_same(ranks, "data", ranks.rank() == 2 ? "b" : "a");
    } catch (const rank_error& e) {
      messages[ranks.rank()] = e.what();
    }
  });
  for (const auto& message : messages)
    CHECK(message == "rank 2 of the test: its data differ from those of rank 0 of the test");
}
