// Tests of views of Eigen types and of an owner that tern does not know, and of conversions that
// must not exist.
#include "tern/core/tensor.hpp"

#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tests/view_check.hpp"

namespace {

/// An owner that tern does not know, with a padded row stride.
struct padded {
  std::size_t rows = 0, cols = 0;
  std::vector<float> values;
};

}  // namespace

template <>
struct tern::tensor_traits<padded> {
  using scalar = float;
  static std::size_t rows(const padded& m) { return m.rows; }
  static std::size_t cols(const padded& m) { return m.cols; }
  static std::size_t row_stride(const padded& m) { return m.cols + 3; }
  static std::size_t col_stride(const padded&) { return 1; }
  static const float* data(const padded& m) { return m.values.data(); }
  static float* data(padded& m) { return m.values.data(); }
  static padded make(std::size_t rows, std::size_t cols) {
    return {rows, cols, std::vector<float>(rows * (cols + 3))};
  }
};

using tern::matrix_view;
using tern::row_view;
using eigen_columns = Eigen::MatrixXf;
using strided_map = Eigen::Map<eigen_columns, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;

static_assert(tern::matrix_owner<tern::matrix<float>> && tern::matrix_owner<eigen_columns>);
static_assert(tern::matrix_owner<Eigen::Matrix3d> && tern::matrix_owner<padded>);
static_assert(tern::matrix_like<strided_map> && !tern::matrix_owner<strided_map>);
static_assert(tern::matrix_like<Eigen::Ref<eigen_columns>> &&
              !tern::matrix_like<std::vector<float>>);
static_assert(std::same_as<tern::scalar_of<const padded&>, float>);

static_assert(std::convertible_to<eigen_columns&, matrix_view<float>>);
static_assert(std::convertible_to<const eigen_columns&, matrix_view<const float>>);
static_assert(!std::convertible_to<const eigen_columns&, matrix_view<float>>);
static_assert(!std::convertible_to<const padded&, matrix_view<float>>);
static_assert(!std::convertible_to<eigen_columns&, matrix_view<double>>);
static_assert(!std::convertible_to<Eigen::Map<const eigen_columns>&, matrix_view<float>>);
static_assert(std::convertible_to<matrix_view<float>, matrix_view<const float>>);
static_assert(!std::convertible_to<matrix_view<const float>, matrix_view<float>>);

static_assert(std::convertible_to<std::vector<float>&, row_view<float>>);
static_assert(std::convertible_to<const std::vector<float>&, row_view<const float>>);
static_assert(std::convertible_to<std::span<float>, row_view<const float>>);
static_assert(!std::convertible_to<const std::vector<float>&, row_view<float>>);
static_assert(!std::convertible_to<row_view<const float>, row_view<float>>);

using tern_test::check_values;
using tern_test::fill;

TEMPLATE_TEST_CASE("an owner is made zeroed and seen through a view", "[tensor]",
                   tern::matrix<float>, eigen_columns, padded) {
  auto m = tern::tensor_traits<TestType>::make(4, 6);
  const matrix_view<float> v(m);
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t c = 0; c < 6; ++c) REQUIRE(v(r, c) == 0);
  fill(m);
  check_values(m, 4, 6);
  check_values(std::as_const(m), 4, 6);
  check_values(v.row_block(1, 3), 3, 6, 10);
  check_values(v.col_block(2, 4), 4, 4, 2);
}

TEST_CASE("a null view is false, and require_shape names what does not fit", "[tensor]") {
  CHECK(!matrix_view<float>());
  CHECK(!row_view<float>());
  tern::matrix<float> m(2, 3);
  CHECK(matrix_view<float>(m));
  tern::require_shape(matrix_view<float>(m), 2, 3, "op: m");
  CHECK_THROWS_WITH(tern::require_shape(matrix_view<float>(m), 3, 2, "op: m"),
                    "op: m: expected 3 x 2, got 2 x 3");
  CHECK_THROWS_WITH(tern::require_size(4, 5, "op: n"), "op: n: expected 5, got 4");
}
