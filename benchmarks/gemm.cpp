// tern::gemm of floats beside the products of Eigen, OpenBLAS and oneDNN: y (N, M) = x (N, K) times
// w (M, K) transposed. Every library uses its widest instructions and its own threads. The names of
// the benchmarks are
//   gemm/<M>x<K>/N:<N>/threads:<T>
// and a counter for each library has its 1e9 operations a second, two for a multiply-add:
//   tern, eigen, openblas
//   onednn         dnnl::sgemm, which takes w as it is, like the libraries before
//   onednn_packed  dnnl::matmul with w in the layout that it asks for, which is not timed
// Libraries take turns in every round, and the fastest call counts: other programs only ever make
// one slower. Threads of OpenBLAS and of OpenMP stay awake for some time after a call, so each turn
// begins with a pause and with a call that is not timed.
#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/linalg/gemm.hpp"

#if defined(_OPENMP)
#  include <omp.h>
#endif
#if defined(BENCH_OPENBLAS)
#  include <cblas.h>
#endif
#if defined(BENCH_ONEDNN)
#  include <cstring>
#  include <oneapi/dnnl/dnnl.hpp>
#endif

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct operands {
  matrix x, w, y;

  operands(std::size_t m, std::size_t k, std::size_t n)
      : x(matrix::Random(static_cast<Eigen::Index>(n), static_cast<Eigen::Index>(k))),
        w(matrix::Random(static_cast<Eigen::Index>(m), static_cast<Eigen::Index>(k))),
        y(x.rows(), w.rows()) {}
};

struct library {
  std::string name;
  std::function<void()> multiply;
};

#if defined(BENCH_ONEDNN)
/// A product with w in the layout that the library asks for.
std::function<void()> onednn_packed(operands& o) {
  using dnnl::memory;
  const auto f32 = memory::data_type::f32;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const dnnl::stream stream(engine);
  const memory::dims x{o.x.rows(), o.x.cols()}, w{o.w.cols(), o.w.rows()},
      y{o.y.rows(), o.y.cols()};
  using tag = memory::format_tag;
  const dnnl::matmul::primitive_desc made(
      {{x, f32, tag::ab}, {w, f32, tag::any}, {y, f32, tag::ab}}, engine);
  const memory plain({w, f32, tag::ba}, engine, o.w.data()), packed(made.weights_desc(), engine);
  dnnl::reorder(plain, packed)
      .execute(stream, const_cast<memory&>(plain), const_cast<memory&>(packed));
  return [=, product = dnnl::matmul(made),
          arguments = std::unordered_map<int, memory>{
              {DNNL_ARG_SRC, memory(made.src_desc(), engine, o.x.data())},
              {DNNL_ARG_WEIGHTS, packed},
              {DNNL_ARG_DST, memory(made.dst_desc(), engine, o.y.data())}}] {
    product.execute(stream, arguments);
    const_cast<dnnl::stream&>(stream).wait();
  };
}
#endif

std::vector<library> libraries(operands& o, tern::thread_pool& pool) {
  std::vector<library> all;
  all.push_back({"tern", [&] {
                   const tern::matrix_view<const float> w(o.w);
                   tern::gemm<float>(1, o.x, w.transposed(), o.y, false, pool);
                 }});
  all.push_back({"eigen", [&] { o.y.noalias() = o.x * o.w.transpose(); }});
#if defined(BENCH_OPENBLAS)
  all.push_back({"openblas", [&] {
                   const auto n = static_cast<blasint>(o.x.rows()),
                              m = static_cast<blasint>(o.w.rows()),
                              k = static_cast<blasint>(o.x.cols());
                   cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, m, k, 1, o.x.data(), k,
                               o.w.data(), k, 0, o.y.data(), m);
                 }});
#endif
#if defined(BENCH_ONEDNN)
  all.push_back({"onednn", [&] {
                   const auto n = o.x.rows(), m = o.w.rows(), k = o.x.cols();
                   dnnl::sgemm('N', 'T', n, m, k, 1, o.x.data(), k, o.w.data(), k, 0, o.y.data(),
                               m);
                 }});
  all.push_back({"onednn_packed", onednn_packed(o)});
#endif
  return all;
}

void set_threads(std::size_t threads) {
#if defined(_OPENMP)
  omp_set_num_threads(static_cast<int>(threads));
#endif
  Eigen::setNbThreads(static_cast<int>(threads));
#if defined(BENCH_OPENBLAS)
  openblas_set_num_threads(static_cast<int>(threads));
#endif
}

/// Seconds of the fastest call within about 30 ms.
double fastest(const std::function<void()>& multiply) {
  using clock = std::chrono::steady_clock;
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  multiply();
  double best = 1e300;
  for (const auto end = clock::now() + std::chrono::milliseconds(30); clock::now() < end;) {
    const auto start = clock::now();
    multiply();
    best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

void gemm(benchmark::State& state, std::size_t m, std::size_t k, std::size_t n,
          std::size_t threads) {
  set_threads(threads);
  tern::thread_pool pool(threads);
  operands o(m, k, n);
  const std::vector<library> all = libraries(o, pool);
  const matrix expected = o.x * o.w.transpose();
  std::vector<double> best(all.size(), 1e300);
  for (const library& each : all) {
    o.y.setZero();
    each.multiply();
    if ((o.y - expected).cwiseAbs().maxCoeff() > 1e-2f)
      return state.SkipWithError((each.name + " computes something else").c_str());
  }
  for (auto _ : state)
    for (std::size_t i = 0; i < all.size(); ++i)
      best[i] = std::min(best[i], fastest(all[i].multiply));
  for (std::size_t i = 0; i < all.size(); ++i)
    state.counters[all[i].name] = 2e-9 * static_cast<double>(m * k * n) / best[i];
}

}  // namespace

int main(int argc, char** argv) {
#if !defined(BENCH_OPENBLAS)
  std::cerr << "skipped: OpenBLAS (package libopenblas-dev) is not installed\n";
#endif
#if !defined(BENCH_ONEDNN)
  std::cerr << "skipped: oneDNN (package libdnnl-dev) is not installed\n";
#endif
  struct shape {
    std::size_t m, k, n;
  };
  for (const auto& [m, k, n] :
       {shape{1024, 1024, 1024}, {3072, 1024, 1}, {3072, 1024, 32}, {3072, 1024, 512}})
    for (const std::size_t threads : {1u, 2u})
      benchmark::RegisterBenchmark(("gemm/" + std::to_string(m) + "x" + std::to_string(k) + "/N:" +
                                    std::to_string(n) + "/threads:" + std::to_string(threads))
                                       .c_str(),
                                   [=](auto& state) { gemm(state, m, k, n, threads); })
          ->Iterations(8);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
