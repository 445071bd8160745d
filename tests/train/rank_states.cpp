// Saved states of several ranks, each of which has the moments of its own rows: they are the files
// of one rank, and go on with any number of ranks.
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/share_model.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/recipe/training_state.hpp"
#include "tern/train/trainer.hpp"
#include "tests/rank_threads.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::on_ranks;

namespace {

std::vector<token_example> short_examples() {
  std::vector<token_example> list(12);
  philox random(7);
  for (token_example& e : list) {
    e.answer = 2;
    for (int i = 0; i < 4; ++i) e.tokens.push_back(static_cast<std::int32_t>(random.below(70000)));
  }
  return list;
}

/// A stage of four steps, whose tables are so large that they are moved in pieces.
struct stage_of_ranks {
  std::vector<token_example> data = short_examples();
  decoder<> model{tern_test::small_config(70000)};
  std::optional<stage_loss<decoder<>>> loss;
  std::optional<trainer<decoder<>>> training;

  stage_of_ranks(reducer& ranks, moment_format moments) {
    model.initialize(1);
    loss.emplace(model, nullptr, std::make_unique<example_batches>(data, 1, 3),
                 make_objective<float>(loss_options::with(cross_entropy_options{}), {2, 0}));
    trainer_options o;
    o.learning_rate = 1e-2;
    o.plan.steps = 4;
    o.accumulate = o.parts = 3;
    training.emplace(model, o,
                     std::make_unique<adamw<matrix<float>>>(adamw_options{.moments = moments}),
                     executor_ref{}, ranks);
  }
  void advance_to(std::size_t step) {
    while (training->step() < step) training->advance(*loss);
  }
  /// Calls f() on rank 0 while the others serve moments.
  template <class F>
  void lead(F&& f) {
    if (training->ranks().rank() != 0) return serve_moments(*training);
    f();
    end_moments(*training);
  }
  [[nodiscard]] std::vector<float> weights() {
    std::vector<float> all;
    model.for_each_parameter(
        [&](auto& p) { all.insert(all.end(), p.value.data(), p.value.data() + p.value.size()); });
    return all;
  }
};

/// Saves the state after two steps.
void save_with(reducer& ranks, moment_format moments, const std::filesystem::path& file) {
  stage_of_ranks s(ranks, moments);
  s.advance_to(2);
  s.lead([&] { save_training_state(*s.training, s.loss->terms(), {"base", "x"}, file); });
}

/// Goes on from a saved state, and returns the weights after the last step.
std::vector<float> go_on_with(reducer& ranks, moment_format moments,
                              const std::filesystem::path& file) {
  stage_of_ranks s(ranks, moments);
  s.lead([&] { load_training_state(*s.training, s.loss->terms(), "base", file); });
  if (ranks.ranks() > 1) share_training_state(ranks, *s.training, s.loss->terms());
  s.advance_to(4);
  return s.weights();
}

std::string bytes_of_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("a state saved with some ranks is that of one, and goes on with any number") {
  const moment_format moments = GENERATE(moment_format::real, moment_format::int8);
  const tern_test::scratch_dir scratch;
  const auto file = scratch.path() / "ranks.state", alone = scratch.path() / "alone.state";
  save_with(one_rank(), moments, alone);
  on_ranks(3, [&](reducer& r) { save_with(r, moments, file); });
  REQUIRE(std::filesystem::file_size(alone) > 0);
  CHECK((bytes_of_file(file) == bytes_of_file(alone)));
  stage_of_ranks unbroken(one_rank(), moments);
  unbroken.advance_to(4);
  const auto expected = unbroken.weights();
  CHECK((go_on_with(one_rank(), moments, file) == expected));
  std::vector<std::vector<float>> all(2);
  on_ranks(2, [&](reducer& r) { all[r.rank()] = go_on_with(r, moments, file); });
  for (const auto& each : all) CHECK((each == expected));
}

TEST_CASE("no rank waits for moments where rank 0 fails between pieces of a matrix") {
  std::vector<int> pieces(2);
  std::vector<std::string> messages(2);
  on_ranks(2, [&](reducer& r) {
    stage_of_ranks s(r, moment_format::real);
    const auto fail = [&] {
      if (++pieces[r.rank()] == 2) throw std::runtime_error("the disk is full");
    };
    s.lead([&] {
      auto& m = s.training->optimizer().moments()[0][0];
      try {
        gather_moment(*s.training, {0, 0, 0}, m.values(), [&](auto) { fail(); });
      } catch (const std::runtime_error& e) {
        messages[0] = e.what();
      }
      pieces[0] = 0;
      try {
        scatter_moment(*s.training, {0, 0, 0}, m.values(), [&](auto, auto) { fail(); });
      } catch (const std::runtime_error& e) {
        messages[1] = e.what();
      }
    });
  });
  CHECK(pieces == std::vector<int>{2, 0});
  for (const auto& message : messages) CHECK(message == "the disk is full");
}
