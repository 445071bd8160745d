// Ternary products and the quantization of their activations at every level that this CPU has,
// beside the limits of the machine and beside other libraries. The fastest iteration counts, since
// other programs only ever make one slower. The names of the benchmarks are
//   limit/dots_<level>|read_l2|read_l3|read_dram/threads:<T>
//   quantize/<level>/<K>/N:<N>
//   matmul/<format>/<level>/<M>x<K>/N:<N>/threads:<T>/<cache|dram>
//   groups/<format>/<level>/<M>x<K>/N:<N>/threads:<T>/<cache|dram>/<columns>
//   peer/<library>/<M>x<K>/N:<N>/threads:<T>/<cache|dram>
// and their counters
//   gops       1e9 operations a second, two for a multiply-add
//   gbytes     1e9 bytes a second. Products count the weights as they are stored, once for all N
//              tokens; `quantize` counts real numbers
//   of_limit   the time that dot products or the reading of the weights take at the measured limit,
//              whichever is longer, over the measured time
//   of_tensor  `groups` multiplies weights that have a scale for each row and group of <columns>
//              columns: the rate of weights with one scale that take turns with them, to which
//              this is the ratio; both give floats
//   of_matvec  the time to quantize one token, over that of its product with 1024 rows of two_bit
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel_limits.hpp"
#include "peers/matmul.hpp"
#include "tern/core/random.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmax_int8.hpp"

namespace {

using tern::isa::level;

std::size_t cache_bytes(int which, std::size_t otherwise) {
  const long n = sysconf(which);
  return n > 0 ? static_cast<std::size_t>(n) : otherwise;
}

/// The limits of this machine and its thread pools.
class machine {
 public:
  enum class place { l2, l3, dram };

  tern::thread_pool& pool(std::size_t threads) {
    auto& p = pools_[threads];
    if (!p) p = std::make_unique<tern::thread_pool>(threads);
    return *p;
  }

  /// The limit of dot products. It is measured anew each time, since the clock changes with what
  /// else the machine does.
  double dots(level l, std::size_t threads) { return bench::dot_peak(l, pool(threads)); }

  /// The limit of reading. It is measured at the first call.
  double read(place p, std::size_t threads) {
    double& found = reads_[{p, threads}];
    if (found == 0) {
      const std::vector<std::uint8_t> memory(bytes(p) * (p == place::dram ? 1 : threads), 1);
      found = bench::read_bandwidth(tern::isa::active(), memory, pool(threads));
    }
    return found;
  }

  /// Bytes to read for each limit: half of a core's L2; more than L2, and no more than L3 surely
  /// holds; more than all caches, up to 1 GiB.
  [[nodiscard]] static std::size_t bytes(place p) {
    const std::size_t l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20),
                      l3 = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 32 << 20);
    switch (p) {
      case place::l2:
        return l2 / 2;
      case place::l3:
        return std::min(l3 / 4, 4 * l2);
      default:
        return std::min<std::size_t>(8 * l3, std::size_t{1} << 30);
    }
  }

  /// The number of copies of weights that do not fit into the caches together.
  [[nodiscard]] static std::size_t copies(std::size_t weight_bytes) {
    return bytes(place::dram) / weight_bytes + 1;
  }

 private:
  std::map<std::size_t, std::unique_ptr<tern::thread_pool>> pools_;
  std::map<std::pair<place, std::size_t>, double> reads_;
};

machine& here() {
  static machine m;
  return m;
}

/// At least `copies` of a matrix. They are kept while the shape stays the same, since they take
/// longer to make than to use.
template <class Format>
const std::vector<tern::packed_matrix<Format>>& weights(std::size_t m, std::size_t k,
                                                        std::size_t copies) {
  static std::vector<tern::packed_matrix<Format>> kept;
  if (kept.empty() || kept[0].rows() != m || kept[0].cols() != k) {
    std::vector<std::int8_t> codes(m * k);
    tern::philox random(1);
    for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
    kept.assign(1, tern::packed_matrix<Format>({codes.data(), m, k}));
  }
  if (kept.size() < copies) kept.resize(copies, tern::packed_matrix<Format>(kept[0]));
  return kept;
}

/// A product. Copies of the weights take turns; with enough of them, weights come from DRAM.
template <class Format>
class product {
 public:
  product(std::size_t m, std::size_t k, std::size_t n, std::size_t copies)
      : m_(m),
        n_(n),
        k_(k),
        copies_(copies),
        x_(n * k, 3),
        sums_(n, static_cast<std::int32_t>(3 * k)),
        out_(n * m),
        weights_(weights<Format>(m, k, copies)),
        workspace_(tern::ternary_matmul_workspace(weights_[0], x())) {}

  void multiply(level l, tern::thread_pool& pool) {
    tern::ternary_matmul(weights_[turn_++ % copies_], x(), sums_, {out_.data(), n_, m_}, workspace_,
                         pool, l);
  }

  [[nodiscard]] double operations() const { return 2.0 * static_cast<double>(m_ * k_ * n_); }

 private:
  [[nodiscard]] tern::matrix_view<const std::int8_t> x() const { return {x_.data(), n_, k_}; }

  std::size_t m_, n_, k_, copies_, turn_ = 0;
  std::vector<std::int8_t> x_;
  std::vector<std::int32_t> sums_, out_;
  const std::vector<tern::packed_matrix<Format>>& weights_;
  std::vector<std::byte> workspace_;
};

/// Weights with a scale for each row and group of columns, and the floats that a product gives.
template <class Format>
class scaled_product {
 public:
  /// `group` is the number of columns that share a scale; 0 stands for one scale in all.
  scaled_product(std::size_t m, std::size_t k, std::size_t n, std::size_t group, std::size_t copies)
      : m_(m), n_(n), k_(k), x_(n * k), row_sums_(n), sums_(n * m), x_scales_(n, 0.01f), y_(n * m) {
    tern::philox random(1);
    for (auto& v : x_) v = static_cast<std::int8_t>(static_cast<int>(random.below(255)) - 127);
    for (std::size_t i = 0; i < x_.size(); ++i) row_sums_[i / k] += x_[i];
    std::vector<std::int8_t> codes(m * k);
    for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
    const tern::extents block{group != 0 ? 1 : m, group != 0 ? group : k};
    const std::size_t rows = group != 0 ? m : 1, groups = (k + block.cols - 1) / block.cols;
    std::vector<float> scales(rows * groups);
    for (float& s : scales) s = static_cast<float>(random.normal());
    const tern::ternary_weights<Format> one({codes.data(), m, k}, {scales.data(), rows, groups},
                                            block);
    weights_.assign(copies, one);
    workspace_.resize(tern::ternary_matmul_workspace(one.view().packed, x()));
  }

  void multiply(level l, tern::thread_pool& pool) {
    const auto w = weights_[turn_++ % weights_.size()].view();
    tern::ternary_matmul(
        w.packed, x(), row_sums_, {sums_.data(), n_, m_}, workspace_, pool, l,
        tern::rescale<float>(x_scales_, w.scales(), {}, {y_.data(), n_, m_}, {}, w.scale_rows));
  }

  [[nodiscard]] std::size_t bytes() const { return weights_[0].view().size_bytes(); }

 private:
  [[nodiscard]] tern::matrix_view<const std::int8_t> x() const { return {x_.data(), n_, k_}; }

  std::size_t m_, n_, k_, turn_ = 0;
  std::vector<std::int8_t> x_;
  std::vector<std::int32_t> row_sums_, sums_;
  std::vector<float> x_scales_, y_;
  std::vector<tern::ternary_weights<Format>> weights_;
  std::vector<std::byte> workspace_;
};

template <class Format>
void groups(benchmark::State& state, level l, std::size_t m, std::size_t k, std::size_t n,
            std::size_t threads, bool dram, std::size_t cols) {
  const std::size_t size = tern::packed_view<Format>{nullptr, m, k}.size_bytes(),
                    copies = dram ? machine::copies(size) : 1;
  scaled_product<Format> grouped(m, k, n, cols, copies), tensor(m, k, n, 0, copies);
  tern::thread_pool& pool = here().pool(threads);
  double best = 1e300, best_tensor = 1e300;
  for (auto _ : state) {
    best = std::min(best, bench::fastest(1, [&] { grouped.multiply(l, pool); }));
    best_tensor = std::min(best_tensor, bench::fastest(1, [&] { tensor.multiply(l, pool); }));
  }
  state.counters["gops"] = 2e-9 * static_cast<double>(m * k * n) / best;
  state.counters["gbytes"] = 1e-9 * static_cast<double>(grouped.bytes()) / best;
  state.counters["of_tensor"] = best_tensor / best;
}

template <class Format>
void matmul(benchmark::State& state, level l, std::size_t m, std::size_t k, std::size_t n,
            std::size_t threads, bool dram) {
  const std::size_t size = tern::packed_view<Format>{nullptr, m, k}.size_bytes();
  product<Format> p(m, k, n, dram ? machine::copies(size) : 1);
  tern::thread_pool& pool = here().pool(threads);
  double best = 1e300;
  for (auto _ : state) best = std::min(best, bench::fastest(1, [&] { p.multiply(l, pool); }));

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

void peer(benchmark::State& state, const bench::peer& library, std::size_t m, std::size_t k,
          std::size_t n, std::size_t threads, bool dram) {
  const std::size_t size = m * k * library.bytes_per_weight;
  const auto multiply = library.make(m, k, n, dram ? machine::copies(size) : 1, threads);
  multiply();  // the first call may plan
  double best = 1e300;
  for (auto _ : state) best = std::min(best, bench::fastest(1, multiply));
  state.counters["gops"] = 2e-9 * static_cast<double>(m * k * n) / best;
  state.counters["gbytes"] = 1e-9 * static_cast<double>(size) / best;
}

void quantize(benchmark::State& state, level l, std::size_t k, std::size_t n) {
  std::vector<float> x(n * k), scales(n);
  tern::philox random(2);
  for (float& v : x) v = static_cast<float>(random.normal());
  std::vector<std::int8_t> codes(x.size());
  std::vector<std::int32_t> sums(n);
  product<tern::two_bit> matvec(1024, k, 1, 1);
  tern::thread_pool& alone = here().pool(1);

  const std::size_t times = (1u << 16) / x.size() + 1;  // a single token is too short for the clock
  double best = 1e300, best_matvec = 1e300;
  for (auto _ : state) {
    best = std::min(best, bench::fastest(1, [&] {
                      for (std::size_t i = 0; i < times; ++i)
                        tern::absmax_int8{}.quantize<float>({x.data(), n, k}, {codes.data(), n, k},
                                                            scales, sums, {}, l);
                    }));
    best_matvec = std::min(best_matvec, bench::fastest(1, [&] { matvec.multiply(l, alone); }));
  }
  best /= static_cast<double>(times);
  state.counters["gbytes"] = 1e-9 * static_cast<double>(x.size() * sizeof(float)) / best;
  state.counters["of_matvec"] = best / static_cast<double>(n) / best_matvec;
}

template <class F>
auto add(const std::string& name, F measure) {
  return benchmark::RegisterBenchmark(name.c_str(), measure);
}

void add_limits() {
  using place = machine::place;
  for (const std::size_t threads : {1u, 2u}) {
    const std::string end = "/threads:" + std::to_string(threads);
    for (const level l : tern::isa::levels)
      if (l != level::scalar && tern::isa::supported(l))
        add("limit/dots_" + std::string(name(l)) + end, [=](auto& state) {
          double best = 0;
          for ([[maybe_unused]] auto _ : state) best = here().dots(l, threads);
          state.counters["gops"] = best;
        })->Iterations(1);
    for (const auto& [what, p] :
         {std::pair{"read_l2", place::l2}, {"read_l3", place::l3}, {"read_dram", place::dram}})
      add("limit/" + std::string(what) + end, [=, p = p](auto& state) {
        double best = 0;
        for ([[maybe_unused]] auto _ : state) best = here().read(p, threads);
        state.counters["gbytes"] = best;
      })->Iterations(1);
  }
}

template <class Format>
void add_matmuls(const std::string& format, std::size_t m, std::size_t k, std::size_t n,
                 const std::string& size) {
  for (const level l : tern::isa::levels)
    for (const std::size_t threads : {1u, 2u})
      for (const bool dram : {false, true})
        if (tern::isa::supported(l))
          add("matmul/" + format + "/" + std::string(name(l)) + "/" + size +
                  std::to_string(threads) + (dram ? "/dram" : "/cache"),
              [=](auto& state) { matmul<Format>(state, l, m, k, n, threads, dram); });
}

/// Group scales at the levels whose kernels differ most, for the shapes of one linear.
void add_groups() {
  for (const level l : tern::isa::levels)
    for (const std::size_t n : {1u, 8u, 32u, 128u, 512u})
      for (const std::size_t threads : {1u, 2u})
        for (const bool dram : {false, true})
          for (const std::size_t cols : {32u, 64u, 128u, 256u})
            if (tern::isa::supported(l) && l != level::scalar)
              add("groups/two_bit/" + std::string(name(l)) + "/2048x2048/N:" + std::to_string(n) +
                      "/threads:" + std::to_string(threads) + (dram ? "/dram/" : "/cache/") +
                      std::to_string(cols),
                  [=](auto& state) {
                    groups<tern::two_bit>(state, l, 2048, 2048, n, threads, dram, cols);
                  });
}

void add_peers(std::size_t m, std::size_t k, std::size_t n, const std::string& size) {
  for (const bench::peer& library : bench::peers())
    for (const std::size_t threads : {1u, 2u})
      for (const bool dram : {false, true})
        if (threads == 1 || library.threads)
          add("peer/" + library.name + "/" + size + std::to_string(threads) +
                  (dram ? "/dram" : "/cache"),
              [=](auto& state) { peer(state, library, m, k, n, threads, dram); });
}

void add_quantizers() {
  for (const level l : tern::isa::levels)
    for (const std::size_t k : {1024u, 2560u, 4096u, 6912u})
      for (const std::size_t n : {1u, 128u})
        if (tern::isa::supported(l))
          add("quantize/" + std::string(name(l)) + "/" + std::to_string(k) +
                  "/N:" + std::to_string(n),
              [=](auto& state) { quantize(state, l, k, n); });
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
      add_peers(m, k, n, size);
    }
}

}  // namespace

int main(int argc, char** argv) {
  add_limits();
  add_quantizers();
  add_products();
  add_groups();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
