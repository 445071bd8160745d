// One optimizer step of language modelling (forward, backward, clipping, AdamW), full precision and
// ternary with SubLN, beside the matrix products it cannot do without. Counters:
//   gemm_share  time of the products of all linears and the head (forward, dX, dW), done by Eigen
//               alone at the same shapes and threads, over the time of the step: best of each.
//               A ternary step replaces the forward ones of the layers by integer products, so
//               there the figure says how its time compares with the full-precision products.
//               Above 1 the whole step takes less time than its products would by Eigen.
//   own_share   the same with the products done by tern::gemm
//   cpu_share   gemm_share in processor time, which other programs on the machine disturb less
//   cpu_ms      processor time of the step, all threads together
#include <benchmark/benchmark.h>
#include <time.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/model/decoder.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/trainer.hpp"

namespace {

/// Seconds on two clocks; the smallest seen of each.
struct clocks {
  double wall = std::numeric_limits<double>::infinity(), cpu = wall;

  static double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

  clocks& operator+=(const clocks& o) {
    wall += o.wall;
    cpu += o.cpu;
    return *this;
  }

  /// Runs f; returns the wall time it took.
  template <class F>
  double take(F&& f) {
    const double w = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
    f();
    const double took = now(CLOCK_MONOTONIC) - w;
    wall = std::min(wall, took);
    cpu = std::min(cpu, now(CLOCK_PROCESS_CPUTIME_ID) - c);
    return took;
  }
};

struct workload {
  std::size_t vocabulary, hidden, layers, heads, ffn, sequences, length;

  [[nodiscard]] tern::model_config config() const {
    tern::model_config c;
    c.vocab_size = vocabulary;
    c.hidden_size = hidden;
    c.intermediate_size = ffn;
    c.num_hidden_layers = layers;
    c.num_attention_heads = c.num_key_value_heads = heads;
    c.head_dim = hidden / heads;
    c.max_position_embeddings = length;
    return c;
  }
};

constexpr workload base{8192, 512, 6, 8, 1536, 16, 128};
constexpr workload demo{60, 64, 4, 4, 192, 64, 32};

/// The three products of `count` linears (in -> out): by Eigen alone, the longer side of each
/// result in one piece to a thread, and by tern::gemm.
class linear_products {
 public:
  linear_products(std::size_t count, std::size_t in, std::size_t out, std::size_t tokens)
      : count_(static_cast<double>(count)),
        x_(plain::Random(index(tokens), index(in))),
        y_(plain::Random(index(tokens), index(out))),
        w_(plain::Random(index(out), index(in))) {}

  void measure(tern::thread_pool& pool) {
    using view = tern::matrix_view<const float>;
    const view x(x_), y(y_), w(w_);
    eigen_[0].take([&] { multiply(x_, w_.transpose(), y_, pool); });
    eigen_[1].take([&] { multiply(y_, w_, x_, pool); });
    eigen_[2].take([&] { multiply(y_.transpose(), x_, w_, pool); });
    own_[0].take([&] { tern::gemm<float>(1, x, w.transposed(), y_, false, pool); });
    own_[1].take([&] { tern::gemm<float>(1, y, w, x_, false, pool); });
    own_[2].take([&] { tern::gemm<float>(1, y.transposed(), x, w_, false, pool); });
  }

  [[nodiscard]] clocks eigen() const { return sum(eigen_); }
  [[nodiscard]] clocks own() const { return sum(own_); }

 private:
  using plain = tern::matrix<float>;

  static Eigen::Index index(std::size_t n) { return static_cast<Eigen::Index>(n); }

  [[nodiscard]] clocks sum(const std::array<clocks, 3>& best) const {
    clocks total{0, 0};
    for (const clocks& c : best) total += {count_ * c.wall, count_ * c.cpu};
    return total;
  }

  template <class A, class B>
  static void multiply(const A& a, const B& b, plain& c, tern::thread_pool& pool) {
    const bool by_rows = c.rows() >= c.cols();
    const auto n = static_cast<std::size_t>(by_rows ? c.rows() : c.cols());
    pool.parallel_for(n, (n + pool.threads() - 1) / pool.threads(),
                      [&](std::size_t begin, std::size_t end) {
                        const Eigen::Index at = index(begin), many = index(end - begin);
                        if (by_rows)
                          c.middleRows(at, many).noalias() = a.middleRows(at, many) * b;
                        else
                          c.middleCols(at, many).noalias() = a * b.middleCols(at, many);
                      });
  }

  double count_;
  plain x_, y_, w_;
  std::array<clocks, 3> eigen_, own_;
};

std::vector<linear_products> products_of(const workload& w) {
  const std::size_t n = w.sequences * w.length;
  return {{4 * w.layers, w.hidden, w.hidden, n},
          {2 * w.layers, w.hidden, w.ffn, n},
          {w.layers, w.ffn, w.hidden, n},
          {1, w.hidden, w.vocabulary, n}};
}

std::vector<std::int32_t> random_tokens(const workload& w) {
  std::vector<std::int32_t> tokens(1 + 8 * w.sequences * w.length);
  tern::philox random(1, 0);
  for (std::int32_t& t : tokens)
    t = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(w.vocabulary)));
  return tokens;
}

void step(benchmark::State& state, const workload& w, bool ternary) {
  tern::thread_pool pool(static_cast<std::size_t>(state.range(0)));
  tern::decoder<> model(w.config());
  model.initialize(1);
  if (ternary) {
    tern::insert_sub_ln(model);
    tern::make_ternary(model);
  }
  const std::vector<std::int32_t> tokens = random_tokens(w);
  tern::stage_loss<tern::decoder<>> data(
      model, nullptr, std::make_unique<tern::corpus_batches>(tokens, w.sequences, w.length, 1), {});
  tern::trainer_options options;
  options.learning_rate = 1e-4;
  options.plan.steps = options.log_every = std::size_t{1} << 30;
  tern::trainer trainer(model, options, pool);
  std::vector<linear_products> products = products_of(w);

  trainer.advance(data);  // takes the memory, and reports ternary health
  clocks best;
  for (auto _ : state) {
    state.SetIterationTime(best.take([&] { trainer.advance(data); }));
    for (linear_products& p : products) p.measure(pool);
  }
  clocks eigen{0, 0}, own{0, 0};
  for (const linear_products& p : products) {
    eigen += p.eigen();
    own += p.own();
  }
  state.counters["gemm_share"] = eigen.wall / best.wall;
  state.counters["own_share"] = own.wall / best.wall;
  state.counters["cpu_share"] = eigen.cpu / best.cpu;
  state.counters["cpu_ms"] = 1e3 * best.cpu;
  state.SetItemsProcessed(state.iterations() *
                          static_cast<std::int64_t>(w.sequences * w.length));  // tokens
}

void add(const char* name, const workload& w, bool ternary) {
  benchmark::RegisterBenchmark(name,
                               [&w, ternary](benchmark::State& state) { step(state, w, ternary); })
      ->ArgName("threads")
      ->Arg(1)
      ->Arg(2)
      ->UseManualTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  add("base/full_precision", base, false);
  add("base/ternary", base, true);
  add("demo/full_precision", demo, false);
  add("demo/ternary", demo, true);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
