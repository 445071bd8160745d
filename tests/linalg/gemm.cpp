// The dense product equals plain loops in every order, at every level and on any number of threads.
#include "tern/linalg/gemm.hpp"

#include <cmath>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tests/gradient_check.hpp"

using tern::matrix_view;
using tern_test::random_matrix;

namespace {

/// A matrix of rows x cols inside a larger one, row-major or column-major.
template <class T>
struct operand {
  tern::matrix<T> memory;
  matrix_view<T> view;

  operand(std::size_t rows, std::size_t cols, bool column_major, std::uint64_t seed)
      : memory(random_matrix<T>((column_major ? cols : rows) + 3, (column_major ? rows : cols) + 5,
                                seed)) {
    const matrix_view<T> all(memory);
    view = column_major ? all.block(2, 1, cols, rows).transposed() : all.block(2, 1, rows, cols);
  }
};

template <class T>
tern::matrix<T> dense(matrix_view<const T> v) {
  auto m = tern::tensor_traits<tern::matrix<T>>::make(v.rows, v.cols);
  const matrix_view<T> out(m);
  for (std::size_t r = 0; r < v.rows; ++r)
    for (std::size_t c = 0; c < v.cols; ++c) out(r, c) = v(r, c);
  return m;
}

/// alpha a b + start, by plain loops.
template <class T>
tern::matrix<T> plain_loops(T alpha, matrix_view<const T> a, matrix_view<const T> b,
                            tern::matrix<T> start) {
  const matrix_view<T> c(start);
  for (std::size_t i = 0; i < c.rows; ++i)
    for (std::size_t j = 0; j < c.cols; ++j) {
      double sum = 0;
      for (std::size_t k = 0; k < a.cols; ++k)
        sum += static_cast<double>(a(i, k)) * static_cast<double>(b(k, j));
      c(i, j) += static_cast<T>(static_cast<double>(alpha) * sum);
    }
  return start;
}

/// A product of one thread.
template <class T>
struct product {
  tern::detail::gemm_kernel<T> kernel;

  void operator()(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
                  bool accumulate) const {
    const tern::thread_scratch buffer(kernel.buffer_size * sizeof(T));
    kernel.multiply(alpha, a, b, c, accumulate, buffer.data<T>());
  }
};

/// The products of all levels that this CPU has, the portable one first.
template <class T>
std::vector<product<T>> products() {
  std::vector<product<T>> all;
  for (const tern::isa::level l : tern::isa::levels) {
    const tern::detail::gemm_kernel<T>& kernel = tern::detail::gemm_kernels<T>.at(l);
    const bool known = !all.empty() && all.back().kernel.multiply == kernel.multiply;
    if (tern::isa::supported(l) && !known) all.push_back({kernel});
  }
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("gemm equals plain loops in every order", "[gemm]", float, double) {
  using T = TestType;
  struct row {
    const char* name;
    std::size_t m, k, n;
  };
  const auto s = GENERATE(values<row>({
      {"single elements", 1, 1, 1},
      {"a row", 1, 9, 4},
      {"one step of k", 5, 1, 3},
      {"a column", 7, 6, 1},
      {"less than a tile", 13, 17, 11},
      {"several tiles", 70, 33, 65},
      {"several blocks of rows and of k", 270, 521, 37},
      {"several strips of columns", 131, 290, 157},
      {"no step of k", 3, 0, 2},
      {"no rows", 0, 4, 2},
  }));
  const int orders = GENERATE(range(0, 8));
  const bool accumulate = GENERATE(false, true);
  DYNAMIC_SECTION(s.name << ", orders " << orders << (accumulate ? ", added" : "")) {
    const T tolerance = std::is_same_v<T, float> ? T(1e-4) : T(1e-12);
    const operand<T> a(s.m, s.k, (orders & 1) != 0, 1), b(s.k, s.n, (orders & 2) != 0, 2);
    operand<T> c(s.m, s.n, (orders & 4) != 0, 3);
    const tern::matrix<T> before = dense<T>(c.view), zero = before * 0;
    const tern::matrix<T> expected =
        plain_loops<T>(T(-0.5), a.view, b.view, accumulate ? before : zero);
    const auto sum = [](const auto& x) { return x.template cast<double>().sum(); };
    const double outside = sum(c.memory) - sum(before);
    const auto check = [&] {
      const tern::matrix<T> got = dense<T>(c.view);
      CHECK(((got - expected).array().abs() < tolerance).all());
      CHECK(sum(c.memory) - sum(got) == Approx(outside).margin(1e-9));
    };
    tern::gemm<T>(T(-0.5), a.view, b.view, c.view, accumulate);
    check();
    if (c.view.col_stride != 1) return;  // gemm turns such a product round
    for (const auto& one : products<T>()) {
      for (std::size_t i = 0; i < s.m; ++i)
        for (std::size_t j = 0; j < s.n; ++j) c.view(i, j) = matrix_view<const T>(before)(i, j);
      one(T(-0.5), a.view, b.view, c.view, accumulate);
      check();
    }
  }
}

TEST_CASE("gemm<float> adds fused products in the order of k, in blocks of 256", "[gemm]") {
  const auto a = random_matrix<float>(29, 777, 1), b = random_matrix<float>(777, 53, 2);
  const tern::matrix<float> start = random_matrix<float>(29, 53, 3);
  tern::matrix<float> expected = start;
  for (Eigen::Index i = 0; i < start.rows(); ++i)
    for (Eigen::Index j = 0; j < start.cols(); ++j)
      for (Eigen::Index block = 0; block < a.cols(); block += 256) {
        float sum = 0;
        for (Eigen::Index k = block; k < std::min<Eigen::Index>(block + 256, a.cols()); ++k)
          sum = std::fma(a(i, k), b(k, j), sum);
        expected(i, j) = std::fma(-0.3f, sum, expected(i, j));
      }
  auto all = products<float>();
#if !defined(__FMA__) && !TERN_AARCH64
  all.erase(all.begin());  // this unit is compiled without fused multiply-add
#endif
  for (const auto one : all) {
    tern::matrix<float> c = start;
    one(-0.3f, a, b, c, true);
    CHECK(c == expected);
  }
}

TEST_CASE("gemm takes owners and transposed views", "[gemm]") {
  const auto a = random_matrix<float>(4, 6, 1);
  const Eigen::MatrixXf b = random_matrix<float>(5, 6, 2);
  tern::matrix<float> c(4, 5);
  tern::gemm<float>(1, a, matrix_view<const float>(b).transposed(), c);
  CHECK((c - a * b.transpose()).cwiseAbs().maxCoeff() < 1e-5);
}

TEST_CASE("gemm is bit-identical for any number of threads", "[gemm][threads]") {
  struct row {
    const char* name;
    std::size_t m, k, n;
  };
  const auto s = GENERATE(values<row>({
      {"split by rows", 700, 300, 150},
      {"split by columns", 150, 300, 700},
      {"square", 513, 64, 513},
  }));
  const std::size_t threads = GENERATE(1u, 2u, 3u);
  DYNAMIC_SECTION(s.name << ", " << threads << " threads") {
    const auto a = random_matrix<float>(s.m, s.k, 1), b = random_matrix<float>(s.k, s.n, 2);
    tern::matrix<float> serial = random_matrix<float>(s.m, s.n, 3), c = serial;
    tern::gemm<float>(1, a, b, serial, true);
    tern::thread_pool pool(threads);
    tern::gemm<float>(1, a, b, c, true, pool);
    CHECK(c == serial);
  }
}

TEST_CASE("gemm says which operand does not fit", "[gemm]") {
  tern::matrix<float> a(3, 4), c(3, 5);
  CHECK_THROWS_WITH(tern::gemm<float>(1, a, c, c), "gemm: a: expected 3 x 3, got 3 x 4");
}

TEST_CASE("gemm refuses a result of another shape", "[gemm]") {
  tern::matrix<float> a(3, 4), b(4, 5);
  CHECK_THROWS_AS(tern::gemm<float>(1, a, b, a), tern::shape_error);
}

TEST_CASE("gemm refuses operands that are not contiguous in either order", "[gemm]") {
  tern::matrix<float> b(4, 5), c(3, 5);
  std::vector<float> memory(100);
  const matrix_view<float> scattered(memory.data(), 3, 4, 20, 2);
  CHECK_THROWS_WITH(tern::gemm<float>(1, scattered, b, c),
                    "gemm: a: rows or columns must be contiguous");
}
