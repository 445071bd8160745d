// Ternary products at every level this CPU has, beside what the machine can do and what Eigen does
// in float. Times are the fastest iteration: other programs only ever make one slower. Names:
//   limit/dots_<level>|read_l2|read_l3|read_dram/threads:<T>
//   matmul/<format>/<level>/<M>x<K>/N:<N>/threads:<T>/<cache|dram>
//   eigen_fp32/<M>x<K>/N:<N>/threads:1
// Counters:
//   gops      1e9 operations a second, two to a multiply-add
//   gbytes    1e9 bytes of packed weights a second, read once for all N tokens
//   of_limit  the time that dot products or the reading of the weights need at the measured limit,
//             whichever is longer, over the time taken
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <Eigen/Core>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel_limits.hpp"
#include "tern/core/random.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/two_bit.hpp"

namespace {

using tern::isa::level;

std::size_t cache_bytes(int which, std::size_t otherwise) {
  const long n = sysconf(which);
  return n > 0 ? static_cast<std::size_t>(n) : otherwise;
}

/// Limits and threads.
class machine {
 public:
  enum class place { l2, l3, dram };

  tern::thread_pool& pool(std::size_t threads) {
    auto& p = pools_[threads];
    if (!p) p = std::make_unique<tern::thread_pool>(threads);
    return *p;
  }

  /// Measured anew each time: the clock changes with what else the machine does.
  double dots(level l, std::size_t threads) { return bench::dot_peak(l, pool(threads)); }

  /// Measured when first asked for.
  double read(place p, std::size_t threads) {
    double& found = reads_[{p, threads}];
    if (found == 0) {
      const std::vector<std::uint8_t> memory(bytes(p) * (p == place::dram ? 1 : threads), 1);
      found = bench::read_bandwidth(tern::isa::active(), memory, pool(threads));
    }
    return found;
  }

  /// Half of a core's L2; as much beyond it as L3 surely holds; more than all caches, up to 1 GiB.
  [[nodiscard]] static std::size_t bytes(place p) {
    const std::size_t l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20),
                      l3 = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 32 << 20);
    switch (p) {
      case place::l2:
        return l2 / 2;
      case place::l3:
        return std::min(l3 / 4, 4 * l2);
      default:
        return std::min<std::size_t>(2 * l3, std::size_t{1} << 30);
    }
  }

 private:
  std::map<std::size_t, std::unique_ptr<tern::thread_pool>> pools_;
  std::map<std::pair<place, std::size_t>, double> reads_;
};

machine& here() {
  static machine m;
  return m;
}

/// One product; `copies` of the weights take turns, so that more than one leaves the caches.
template <class Format>
class product {
 public:
  product(std::size_t m, std::size_t k, std::size_t n, std::size_t copies)
      : m_(m), n_(n), k_(k), x_(n * k, 3), sums_(n, static_cast<std::int32_t>(3 * k)), out_(n * m) {
    std::vector<std::int8_t> codes(m * k);
    tern::philox random(1);
    for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
    weights_.assign(copies, tern::packed_matrix<Format>({codes.data(), m, k}));
    workspace_.resize(tern::ternary_matmul_workspace(weights_[0], x()));
  }

  void run(level l, tern::thread_pool& pool) {
    tern::ternary_matmul(weights_[turn_++ % weights_.size()], x(), sums_, {out_.data(), n_, m_},
                         workspace_, pool, l);
  }

  [[nodiscard]] std::size_t bytes() const { return weights_[0].view().size_bytes(); }
  [[nodiscard]] double operations() const { return 2.0 * static_cast<double>(m_ * k_ * n_); }

 private:
  [[nodiscard]] tern::matrix_view<const std::int8_t> x() const { return {x_.data(), n_, k_}; }

  std::size_t m_, n_, k_, turn_ = 0;
  std::vector<std::int8_t> x_;
  std::vector<std::int32_t> sums_, out_;
  std::vector<tern::packed_matrix<Format>> weights_;
  std::vector<std::byte> workspace_;
};

template <class Format>
void matmul(benchmark::State& state, level l, std::size_t m, std::size_t k, std::size_t n,
            std::size_t threads, bool dram) {
  const std::size_t size = tern::packed_view<Format>{nullptr, m, k}.size_bytes();
  product<Format> p(m, k, n, dram ? machine::bytes(machine::place::dram) / size + 1 : 1);
  tern::thread_pool& pool = here().pool(threads);
  double best = 1e300;
  for (auto _ : state) best = std::min(best, bench::fastest(1, [&] { p.run(l, pool); }));

  const auto where = dram                                         ? machine::place::dram
                     : size <= machine::bytes(machine::place::l2) ? machine::place::l2
                                                                  : machine::place::l3;
  const double bytes = static_cast<double>(size);
  state.counters["gops"] = 1e-9 * p.operations() / best;
  state.counters["gbytes"] = 1e-9 * bytes / best;
  if (l == level::scalar) return;
  const double least = 1e-9 * std::max(p.operations() / here().dots(l, threads),
                                       bytes / here().read(where, threads));
  state.counters["of_limit"] = least / best;
}

void eigen_fp32(benchmark::State& state, std::size_t m, std::size_t k, std::size_t n) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const auto index = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
  const matrix w = matrix::Random(index(m), index(k)), x = matrix::Random(index(n), index(k));
  matrix y(index(n), index(m));
  double best = 1e300;
  for (auto _ : state)
    best = std::min(best, bench::fastest(1, [&] { y.noalias() = x * w.transpose(); }));
  state.counters["gops"] = 2e-9 * static_cast<double>(m * n * k) / best;
}

void add_limits() {
  using place = machine::place;
  for (const std::size_t threads : {1u, 2u}) {
    const std::string end = "/threads:" + std::to_string(threads);
    for (const level l : tern::isa::levels)
      if (l != level::scalar && tern::isa::supported(l))
        benchmark::RegisterBenchmark(("limit/dots_" + std::string(name(l)) + end).c_str(),
                                     [=](benchmark::State& state) {
                                       double best = 0;
                                       for (auto _ : state) best = here().dots(l, threads);
                                       state.counters["gops"] = best;
                                     })
            ->Iterations(1);
    for (const auto& [what, p] :
         {std::pair{"read_l2", place::l2}, {"read_l3", place::l3}, {"read_dram", place::dram}})
      benchmark::RegisterBenchmark(("limit/" + std::string(what) + end).c_str(),
                                   [=, p = p](benchmark::State& state) {
                                     double best = 0;
                                     for (auto _ : state) best = here().read(p, threads);
                                     state.counters["gbytes"] = best;
                                   })
          ->Iterations(1);
  }
}

template <class Format>
void add_matmuls(const std::string& format, std::size_t m, std::size_t k, std::size_t n,
                 const std::string& size) {
  for (const level l : tern::isa::levels)
    for (const std::size_t threads : {1u, 2u})
      for (const bool dram : {false, true})
        if (tern::isa::supported(l))
          benchmark::RegisterBenchmark(
              ("matmul/" + format + "/" + std::string(name(l)) + "/" + size +
               std::to_string(threads) + (dram ? "/dram" : "/cache"))
                  .c_str(),
              [=](benchmark::State& state) { matmul<Format>(state, l, m, k, n, threads, dram); });
}

void add_products() {
  struct shape {
    std::size_t m, k;
  };
  for (const auto& [m, k] :
       {shape{1024, 1024}, {3072, 1024}, {4096, 4096}, {2560, 6912}, {6912, 2560}, {1000, 777}})
    for (const std::size_t n : {1u, 2u, 4u, 8u, 16u, 32u, 128u, 512u}) {
      const std::string size =
          std::to_string(m) + "x" + std::to_string(k) + "/N:" + std::to_string(n) + "/threads:";
      add_matmuls<tern::two_bit>("two_bit", m, k, n, size);
      add_matmuls<tern::base3>("base3", m, k, n, size);
      benchmark::RegisterBenchmark(
          ("eigen_fp32/" + size + "1").c_str(),
          [=, m = m, k = k](benchmark::State& state) { eigen_fp32(state, m, k, n); });
    }
}

}  // namespace

int main(int argc, char** argv) {
  add_limits();
  add_products();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
