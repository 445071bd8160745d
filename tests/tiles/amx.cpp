// Products on the tile unit, whose instructions are replaced here by functions that do the same:
// few machines have tiles, while the packing around them runs on any CPU with AVX512-BF16. This
// folder has a program of its own, since the functions of linalg/amx.hpp differ from those of other
// programs.
#include "tern/isa/level.hpp"

#if TERN_X86 && defined(__x86_64__)
#  include <immintrin.h>

#  include <array>
#  include <bit>
#  include <cmath>
#  include <cstdint>
#  include <cstring>

namespace {

/// A tile register: 16 rows of 64 bytes.
using tile_register = std::array<std::array<std::byte, 64>, 16>;
std::array<tile_register, 8> tiles;

void tile_load(std::size_t t, const void* from, std::size_t stride) {
  for (std::size_t r = 0; r < 16; ++r)
    std::memcpy(tiles[t][r].data(), static_cast<const std::byte*>(from) + r * stride, 64);
}
void tile_store(std::size_t t, void* to, std::size_t stride) {
  for (std::size_t r = 0; r < 16; ++r)
    std::memcpy(static_cast<std::byte*>(to) + r * stride, tiles[t][r].data(), 64);
}
void tile_zero(std::size_t t) { tiles[t] = {}; }

float bf16_at(const tile_register& t, std::size_t row, std::size_t i) {
  std::uint16_t bits;
  std::memcpy(&bits, t[row].data() + 2 * i, 2);
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Intel's definition of tdpbf16ps: even and odd numbers have sums of their own.
void tile_multiply(std::size_t c, std::size_t a, std::size_t b) {
  for (std::size_t m = 0; m < 16; ++m)
    for (std::size_t n = 0; n < 16; ++n) {
      float even = 0, odd = 0, sum;
      for (std::size_t k = 0; k < 16; ++k) {
        even = std::fma(bf16_at(tiles[a], m, 2 * k), bf16_at(tiles[b], k, 2 * n), even);
        odd = std::fma(bf16_at(tiles[a], m, 2 * k + 1), bf16_at(tiles[b], k, 2 * n + 1), odd);
      }
      std::byte* const at = tiles[c][m].data() + 4 * n;
      std::memcpy(&sum, at, 4);
      sum += even + odd;
      std::memcpy(at, &sum, 4);
    }
}

}  // namespace

#  undef _tile_loadconfig
#  undef _tile_release
#  undef _tile_zero
#  undef _tile_loadd
#  undef _tile_stored
#  undef _tile_dpbf16ps
#  define _tile_loadconfig(config) static_cast<void>(config)
#  define _tile_release() static_cast<void>(0)
#  define _tile_zero(t) tile_zero(t)
#  define _tile_loadd(t, from, stride) tile_load(t, from, stride)
#  define _tile_stored(t, to, stride) tile_store(t, to, stride)
#  define _tile_dpbf16ps(c, a, b) tile_multiply(c, a, b)

#  include "tern/linalg/amx.hpp"
#  include "tern/linalg/panel_product.hpp"
#  include "tern/quant/half.hpp"
#  include "tests/gradient_check.hpp"

using namespace tern;
using tern_test::random_matrix;

namespace {

template <class B>
matrix<B> random_operand(std::size_t rows, std::size_t cols) {
  return (random_matrix<float>(rows, cols, 2) * (std::is_same_v<B, float> ? 1 : 40))
      .cwiseMax(-127)
      .cwiseMin(127)
      .template cast<B>();
}

/// The largest error of c = start + a' b', relative to the sum of the magnitudes of its terms.
/// Column k of a' is that of a times 0.7 scale[k]. With `Groups`, b' is b times the scales of its
/// groups of 64 columns, else it is b. With bf16 operands a' and b' are rounded.
template <precision P, class B, bool Groups = false>
double error_of(std::size_t m, std::size_t k, std::size_t n, bool a_columns, bool b_columns) {
  matrix<float> a = random_matrix<float>(m, k, 1), c = random_matrix<float>(m, n, 3);
  matrix<B> b = random_operand<B>(k, n);
  std::vector<float> scale(k);
  for (std::size_t i = 0; i < k; ++i) scale[i] = 0.01f * static_cast<float>(i % 29 + 1);
  const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic> left = a;
  const Eigen::Matrix<B, Eigen::Dynamic, Eigen::Dynamic> right = b;
  const matrix<double> start = c.cast<double>();
  const matrix<float> groups = random_matrix<float>(k, (n + 63) / 64, 4);
  detail::panel_operand<B> operand{b_columns ? matrix_view<const B>(right)
                                             : matrix_view<const B>(b)};
  if (Groups) operand = {operand.values, groups, {1, 64}};
  detail::multiply_panels<detail::amx::unit<P>, B>(
      0.7f, a_columns ? matrix_view<const float>(left) : matrix_view<const float>(a),
      {scale.data(), k, 1}, operand, c, true, {});
  const auto rounded = [](float x) { return from_bf16(to_bf16(x)); };
  for (Eigen::Index i = 0; i < a.cols(); ++i) a.col(i) *= 0.7f * scale[static_cast<std::size_t>(i)];
  matrix<float> real = b.template cast<float>();
  for (Eigen::Index j = 0; Groups && j < real.cols(); ++j)
    real.col(j).array() *= groups.col(j / 64).array();
  if (P == precision::bf16) {
    a = a.unaryExpr(rounded);
    real = real.unaryExpr(rounded);
  }
  const matrix<double> exact = start + a.cast<double>() * real.cast<double>(),
                       sizes = start.cwiseAbs() +
                               a.cast<double>().cwiseAbs() * real.cast<double>().cwiseAbs();
  return ((c.cast<double>() - exact).array() / sizes.array()).abs().maxCoeff();
}

bool cpu_can_pack() { return isa::detail::detect(isa::level::avx512bf16); }

}  // namespace

TEST_CASE("tiles multiply floats and codes, whole or rounded to bf16") {
  if (!cpu_can_pack()) {
    WARN("skipped: this CPU has no AVX512-BF16");
    return;
  }
  struct row {
    const char* name;
    double (*error)(std::size_t m, std::size_t k, std::size_t n, bool a_columns, bool b_columns);
    bool codes;
  };
  const auto r = GENERATE(values<row>({
      {"exact floats", error_of<precision::exact, float>, false},
      {"exact codes", error_of<precision::exact, std::int8_t>, true},
      {"rounded floats", error_of<precision::bf16, float>, false},
      {"rounded floats and codes", error_of<precision::bf16, std::int8_t>, true},
      {"rounded floats and codes with scales", error_of<precision::bf16, std::int8_t, true>, true},
  }));
  const bool a_columns = GENERATE(false, true), b_columns = GENERATE(false, true);
  if (r.codes && b_columns) return;  // codes are row-major
  DYNAMIC_SECTION(r.name << (a_columns ? ", a column-major" : "")
                         << (b_columns ? ", b column-major" : "")) {
    // Three parts of 8 bits leave out products below 2^-22 of a term, two of them of that size. The
    // rest is the rounding of fp32 sums.
    CHECK(r.error(150, 333, 141, a_columns, b_columns) < 0x1p-21);
    CHECK(r.error(33, 40, 1600, a_columns, b_columns) < 0x1p-21);
  }
}
#endif
