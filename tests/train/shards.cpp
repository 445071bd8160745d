// Gradients, moments and updates of rows that each rank owns: the same bits for any number of
// ranks.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/gradient_sum.hpp"
#include "tern/train/row_shard.hpp"
#include "tern/train/sgd.hpp"
#include "tests/rank_threads.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::on_ranks;

namespace {

/// A matrix of several chunks, one that is not trained, a vector, and a table of one chunk.
struct several_parameters {
  using scalar = float;
  parameter<matrix<float>> wide{"wide", 300, 600}, still{"still", 4, 5}, gain{"gain", 1, 7},
      small{"small", 3, 11};
  std::vector<std::pair<parameter<matrix<float>>*, bool>> all{
      {&wide, true}, {&still, false}, {&gain, true}, {&small, true}};

  several_parameters() {
    still.kind = parameter_kind::scales;
    small.kind = parameter_kind::table;
    for (std::uint64_t i = 0; i < all.size(); ++i) {
      auto& [p, trained] = all[i];
      p->fill_normal(0.1, philox(1, i));
      if (trained) p->grad = matrix<float>::Zero(p->value.rows(), p->value.cols());
    }
  }
  template <class F>
  void for_each_parameter(F&& f) {
    for (auto& each : all) f(*each.first);
  }
  /// Adds the gradients of a part of a step. Some elements are much larger than others.
  void add_gradient(std::uint64_t step, std::uint64_t part, float size) {
    for (std::uint64_t i = 0; i < all.size(); ++i) {
      auto& [p, trained] = all[i];
      if (!trained) continue;
      parameter<matrix<float>> g("g", p->shape.rows, p->shape.cols);
      g.fill_normal(1, philox(2 + i, 100 * step + part));
      p->grad.array() += size * g.value.array().cube();
    }
  }
};

using rule_maker = std::function<std::unique_ptr<optimizer<matrix<float>>>()>;

rule_maker adamw_with(const adamw_options& o) {
  return [o] { return std::make_unique<adamw<matrix<float>>>(o); };
}

struct after_updates {
  std::vector<float> values;
  std::vector<double> norms;
  bool zeroed = true;  ///< whether updates left gradients of 0

  bool operator==(const after_updates&) const = default;
};

/// Three updates of five parts each, whose gradients are clipped.
after_updates update_on(reducer& ranks, const rule_maker& make, bool by_spread = false,
                        float size = 1, executor_ref ex = {}) {
  constexpr std::size_t parts = 5;
  const rate_factors factors{.vectors = 2, .scales = 0, .by_spread = by_spread};
  several_parameters model;
  const auto rule = make();
  rule->attach(model, factors, ranks);
  gradient_sum<float> sum(model, ex);
  after_updates result;
  for (std::uint64_t step = 0; step < 3; ++step) {
    const step_deal deal{parts, parts, ranks.ranks(), ranks.rank()};
    sum.begin(deal);
    for (std::size_t i = deal.begin(); i < deal.end(); ++i) {
      model.add_gradient(step, i, size);
      sum.part_done();
    }
    sum.finish(ranks, rule->shard());
    const double norm = gradient_norm(model, rule->shard(), ranks, ex);
    result.norms.push_back(norm);
    rule->step(model, 0.01, 1.0, 1 / norm, ex, factors);
    for (const auto& [p, trained] : model.all) result.zeroed = result.zeroed && p->grad.isZero(0);
  }
  model.for_each_parameter([&](auto& p) {
    result.values.insert(result.values.end(), p.value.data(), p.value.data() + p.value.size());
  });
  return result;
}

}  // namespace

TEST_CASE("updates of rows that ranks own have the bits of one rank") {
  const auto [name, make, by_spread] = GENERATE(table<std::string, rule_maker, bool>(
      {{"AdamW", adamw_with({}), false},
       {"cautious", adamw_with({.cautious = true}), false},
       {"eight bits", adamw_with({.cautious = true, .moments = moment_format::int8}), false},
       {"by spread", adamw_with({}), true},
       {"SGD", [] { return std::make_unique<sgd<matrix<float>>>(); }, false}}));
  INFO(name);
  const after_updates alone = update_on(one_rank(), make, by_spread);
  CHECK(alone.norms.front() > 1);
  CHECK(alone.zeroed);
  for (const std::size_t ranks : {2u, 3u, 5u, 13u}) {
    INFO(ranks << " ranks");
    std::vector<after_updates> all(ranks);
    on_ranks(ranks, [&](reducer& r) { all[r.rank()] = update_on(r, make, by_spread); });
    for (const after_updates& each : all) CHECK(each == alone);
  }
}

TEST_CASE("a norm whose squares overflow has the same bits for any number of ranks and threads") {
  const after_updates alone = update_on(one_rank(), adamw_with({}), false, 1e30f);
  CHECK(alone.norms.front() > 1e32);
  CHECK(std::isfinite(alone.norms.front()));
  thread_pool pool(2);
  CHECK(update_on(one_rank(), adamw_with({}), false, 1e30f, pool) == alone);
  std::vector<after_updates> all(3);
  on_ranks(3, [&](reducer& r) { all[r.rank()] = update_on(r, adamw_with({}), false, 1e30f); });
  for (const after_updates& each : all) CHECK(each == alone);
}

TEST_CASE("ranks share the memory of moments evenly") {
  const auto bytes_of = [](reducer& ranks) {
    several_parameters model;
    adamw<matrix<float>> rule;
    rule.attach(model, {.scales = 0}, ranks);
    std::size_t bytes = 0;
    for (auto& list : rule.moments())
      for (auto& m : list)
        m.for_each_matrix(
            [&]<class U>(const char*, matrix_view<U> x) { bytes += x.size() * sizeof(U); });
    return bytes;
  };
  const std::size_t whole = bytes_of(one_rank());
  CHECK(whole == 2 * 4 * (300 * 600 + 7 + 3 * 11));
  std::vector<std::size_t> bytes(3);
  on_ranks(3, [&](reducer& r) { bytes[r.rank()] = bytes_of(r); });
  CHECK(std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}) == whole);
  CHECK(std::ranges::max(bytes) < whole / 2);
}

TEST_CASE("every row of every parameter with a gradient has one owner") {
  const std::vector<extents> shapes{{300, 600}, {0, 0}, {1, 7}, {5000, 64}, {3, 11}};
  const std::size_t ranks = GENERATE(as<std::size_t>{}, 1, 2, 3, 7, 64, 1000);
  INFO(ranks << " ranks");
  const row_shard shard(shapes, ranks);
  std::size_t total = 0, chunks = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    std::size_t next = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      const row_range own = shard.rows(i, r);
      if (own.count == 0) continue;
      CHECK(own.first == next);
      CHECK(own.first % rows_of_chunk(shapes[i]) == 0);
      next += own.count;
      chunks += (own.count + rows_of_chunk(shapes[i]) - 1) / rows_of_chunk(shapes[i]);
    }
    CHECK(next == shapes[i].rows);
    total += shapes[i].rows * shapes[i].cols;
  }
  CHECK(shard.first_chunk(ranks) == chunks);
  std::size_t elements = 0, pieces = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    CHECK(shard.elements(r).first == elements);
    elements += shard.elements(r).count;
    // A chunk that lies across the border of two equal shares belongs to one of them.
    CHECK(shard.elements(r).count <= total / ranks + 79 * 64 + 54 * 600);
  }
  CHECK(elements == total);
  shard.for_each_piece([&](auto parts) {
    for (const element_range& part : parts) pieces += part.count;
  });
  CHECK(pieces == total);
}
