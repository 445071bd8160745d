// One optimizer step of language modelling (forward, backward, clipping, AdamW): full precision,
// ternary with SubLN, and ternary with the logits of a teacher of the same shape. Each has exact
// products, bf16 ones, and bf16 ones with input gradients from integer products. The names of the
// benchmarks are
//   <model>/<kind>/<precision>/threads:<T>
// The first lines of the output have the peaks of this machine, 1e9 operations a second, two for a
// multiply-add: fp32_peak_<threads> and bf16_peak_<threads>. Counters:
//   peak_share  operations of the products of all linears and the head (forward, dX, dW, and the
//               teacher's forward) over the time of the step and the peak of the precision. Forward
//               products of a ternary step count although they are computed in integers.
//   gemm_share  time of the products of the student, done by Eigen alone in fp32 at the same shapes
//               and threads, over the time of the step: best of each. Above 1 the whole step takes
//               less time than its products would by Eigen.
//   own_share   the same with the products done by tern::gemm at the precision of the step
//   cpu_share   gemm_share in processor time, which other programs on the machine disturb less
//   cpu_ms      processor time of the step, all threads together
// and where the time of a step goes, in ms, medians:
//   forward_ms  layers, head and loss of the student
//   teacher_ms  layers and head of the teacher
//   backward_ms, norm_ms (global norm of the gradients), update_ms (AdamW)
#include <benchmark/benchmark.h>
#include <time.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "float_limits.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/model/decoder.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/gradient_norm.hpp"

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
  std::size_t vocabulary, hidden, layers, heads, kv_heads, ffn, sequences, length;
  bool qk_norm;

  [[nodiscard]] tern::model_config config() const {
    tern::model_config c;
    c.vocab_size = vocabulary;
    c.hidden_size = hidden;
    c.intermediate_size = ffn;
    c.num_hidden_layers = layers;
    c.num_attention_heads = heads;
    c.num_key_value_heads = kv_heads;
    c.head_dim = hidden / heads;
    c.qk_norm = qk_norm;
    c.max_position_embeddings = length;
    return c;
  }
  [[nodiscard]] std::size_t tokens() const { return sequences * length; }
  [[nodiscard]] std::size_t kv_width() const { return kv_heads * (hidden / heads); }
  /// Weights that a token is multiplied with.
  [[nodiscard]] double weights() const {
    return static_cast<double>(layers * hidden * (2 * hidden + 2 * kv_width() + 3 * ffn) +
                               vocabulary * hidden);
  }
};

constexpr workload base{8192, 512, 6, 8, 8, 1536, 16, 128, true};
constexpr workload demo{60, 64, 4, 4, 4, 192, 64, 32, true};
constexpr workload smollm2{49152, 576, 30, 9, 3, 1536, 16, 128, false};  // SmolLM2-135M

enum class kind { full_precision, ternary, distilled };

/// The three products of `count` linears (in -> out): by Eigen alone, the longer side of each
/// result in one piece to a thread, and by tern::gemm.
class linear_products {
 public:
  linear_products(std::size_t count, std::size_t in, std::size_t out, std::size_t tokens,
                  tern::precision precision)
      : count_(static_cast<double>(count)),
        precision_(precision),
        x_(plain::Random(index(tokens), index(in))),
        y_(plain::Random(index(tokens), index(out))),
        w_(plain::Random(index(out), index(in))) {}

  void measure(tern::thread_pool& pool) {
    using view = tern::matrix_view<const float>;
    const view x(x_), y(y_), w(w_);
    eigen_[0].take([&] { multiply(x_, w_.transpose(), y_, pool); });
    eigen_[1].take([&] { multiply(y_, w_, x_, pool); });
    eigen_[2].take([&] { multiply(y_.transpose(), x_, w_, pool); });
    own_[0].take([&] { tern::gemm<float>(1, x, w.transposed(), y_, false, pool, precision_); });
    own_[1].take([&] { tern::gemm<float>(1, y, w, x_, false, pool, precision_); });
    own_[2].take([&] { tern::gemm<float>(1, y.transposed(), x, w_, false, pool, precision_); });
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
  tern::precision precision_;
  plain x_, y_, w_;
  std::array<clocks, 3> eigen_, own_;
};

std::vector<linear_products> products_of(const workload& w, tern::precision p) {
  const std::size_t n = w.tokens();
  return {{2 * w.layers, w.hidden, w.hidden, n, p},
          {2 * w.layers, w.hidden, w.kv_width(), n, p},
          {2 * w.layers, w.hidden, w.ffn, n, p},
          {w.layers, w.ffn, w.hidden, n, p},
          {1, w.hidden, w.vocabulary, n, p}};
}

std::vector<std::int32_t> random_tokens(const workload& w) {
  std::vector<std::int32_t> tokens(1 + 8 * w.sequences * w.length);
  tern::philox random(1, 0);
  for (std::int32_t& t : tokens)
    t = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(w.vocabulary)));
  return tokens;
}

/// A teacher that notes how long its last forward pass took.
struct timed_teacher : tern::decoder<> {
  using tern::decoder<>::decoder;
  double seconds = 0;

  tern::variable<float> hidden(tern::tape<float>& t, const tern::token_batch& batch,
                               std::span<const std::size_t> rows, tern::taps<float>* seen) {
    clocks c;
    tern::variable<float> h;
    seconds = c.take([&] { h = tern::decoder<>::hidden(t, batch, rows, seen); });
    return h;
  }
};

/// The parts of a step that are timed one by one, as trainer::advance() does them.
struct parts {
  std::vector<double> forward, teacher, backward, norm, update;
};

double median_ms(std::vector<double> seconds) {
  std::ranges::nth_element(seconds,
                           seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2));
  return 1e3 * seconds[seconds.size() / 2];
}

tern::objective<float> objective_of(kind k) {
  std::vector<tern::objective<float>::weighted_term> terms;
  terms.push_back({std::make_unique<tern::cross_entropy_term<float>>(), 1});
  if (k == kind::distilled)
    terms.push_back({std::make_unique<tern::logits_term<float>>(tern::logits_term_options{}), 1});
  return tern::objective<float>(std::move(terms));
}

void step(benchmark::State& state, const workload& w, kind k, tern::precision precision) {
  tern::thread_pool pool(static_cast<std::size_t>(state.range(0)));
  tern::decoder<> model(w.config());
  model.initialize(1);
  if (k != kind::full_precision) {
    tern::insert_sub_ln(model);
    tern::make_ternary(model);
  }
  std::optional<timed_teacher> teacher;
  if (k == kind::distilled) {
    teacher.emplace(w.config());
    teacher->initialize(2);
  }
  const std::vector<std::int32_t> tokens = random_tokens(w);
  tern::stage_loss<tern::decoder<>, timed_teacher> data(
      model, teacher ? &*teacher : nullptr,
      std::make_unique<tern::corpus_batches>(tokens, w.sequences, w.length, 1), objective_of(k),
      pool);
  model.train(true);
  tern::adamw<tern::matrix<float>> optimizer(model);
  tern::tape<float> tape(pool, true, precision);
  parts times;
  std::size_t number = 0;
  const auto advance = [&] {
    clocks c;
    tape.reset();
    times.forward.push_back(c.take([&] { data(tape, number++); }));
    times.teacher.push_back(teacher ? teacher->seconds : 0);
    times.forward.back() -= times.teacher.back();
    times.backward.push_back(c.take([&] { tape.backward(); }));
    double norm = 0;
    times.norm.push_back(c.take([&] { norm = tern::gradient_norm(model, pool); }));
    times.update.push_back(
        c.take([&] { optimizer.step(model, 1e-4, 1, std::min(1.0, 1 / norm), pool); }));
  };
  std::vector<linear_products> products = products_of(w, precision);

  advance();  // takes the memory
  times = {};
  clocks best;
  for (auto _ : state) {
    state.SetIterationTime(best.take(advance));
    for (linear_products& p : products) p.measure(pool);
  }
  clocks eigen{0, 0}, own{0, 0};
  for (const linear_products& p : products) {
    eigen += p.eigen();
    own += p.own();
  }
  const double operations =
      (k == kind::distilled ? 8 : 6) * w.weights() * static_cast<double>(w.tokens());
  const bench::float_loops& loops = bench::float_limits.at(tern::isa::active());
  const bool rounded = precision != tern::precision::exact && loops.bf16 != nullptr;
  state.counters["peak_share"] =
      1e-9 * operations / best.wall / bench::float_peak(rounded ? loops.bf16 : loops.fp32, pool);
  state.counters["gemm_share"] = eigen.wall / best.wall;
  state.counters["own_share"] = own.wall / best.wall;
  state.counters["cpu_share"] = eigen.cpu / best.cpu;
  state.counters["cpu_ms"] = 1e3 * best.cpu;
  state.counters["forward_ms"] = median_ms(times.forward);
  state.counters["teacher_ms"] = median_ms(times.teacher);
  state.counters["backward_ms"] = median_ms(times.backward);
  state.counters["norm_ms"] = median_ms(times.norm);
  state.counters["update_ms"] = median_ms(times.update);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(w.tokens()));  // tokens
}

void add(const std::string& name, const workload& w) {
  struct row {
    const char* name;
    kind value;
  };
  for (const row& k : {row{"full_precision", kind::full_precision},
                       {"ternary", kind::ternary},
                       {"distilled", kind::distilled}})
    for (const auto& [precision_name, p] : tern::precision_names)
      benchmark::RegisterBenchmark(
          (name + "/" + k.name + "/" + precision_name).c_str(),
          [&w, kind = k.value, p = p](benchmark::State& state) { step(state, w, kind, p); })
          ->ArgName("threads")
          ->Arg(1)
          ->Arg(2)
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond);
}

void report_peaks() {
  const bench::float_loops& loops = bench::float_limits.at(tern::isa::active());
  for (const std::size_t threads : {1, 2}) {
    tern::thread_pool pool(threads);
    const std::string suffix = "_peak_" + std::to_string(threads);
    benchmark::AddCustomContext("fp32" + suffix,
                                std::to_string(bench::float_peak(loops.fp32, pool)));
    benchmark::AddCustomContext("bf16" + suffix,
                                std::to_string(bench::float_peak(loops.bf16, pool)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  add("base", base);
  add("demo", demo);
  add("smollm2", smollm2);
  report_peaks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
