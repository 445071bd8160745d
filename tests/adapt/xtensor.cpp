#include "tests/message.hpp"
#include "tests/view_check.hpp"

#if __has_include(<xtensor/xtensor.hpp>)
#  include <xtensor/xadapt.hpp>
#  include <xtensor/xarray.hpp>
#  include <xtensor/xfixed.hpp>
#  include <xtensor/xtensor.hpp>
#  include <xtensor/xview.hpp>

#  include "tern/adapt/xtensor.hpp"

using tern::matrix_view;
using tern_test::check_values;
using tern_test::fill;
using by_rows = xt::xtensor<float, 2>;
using by_columns = xt::xtensor<float, 2, xt::layout_type::column_major>;

static_assert(tern::matrix_owner<by_rows> && tern::matrix_owner<by_columns>);
static_assert(tern::matrix_owner<xt::xarray<double>>);
static_assert(tern::matrix_like<xt::xtensor_fixed<float, xt::xshape<4, 6>>>);
static_assert(!std::convertible_to<const by_rows&, matrix_view<float>>);
static_assert(!std::convertible_to<by_rows&, matrix_view<double>>);
static_assert(!tern::matrix_like<decltype(std::declval<by_rows&>() + std::declval<by_rows&>())>);

TEMPLATE_TEST_CASE("xtensor's containers and views are seen in place", "[xtensor]", by_rows,
                   by_columns, xt::xarray<float>, (xt::xtensor<double, 2>),
                   (xt::xtensor<double, 2, xt::layout_type::column_major>)) {
  using T = typename TestType::value_type;
  auto m = tern::tensor_traits<TestType>::make(4, 6);
  CHECK(xt::all(xt::equal(m, T(0))));
  fill<T>(m);
  check_values<T>(std::as_const(m), 4, 6);
  CHECK(m(3, 5) == 35);
  auto corner = xt::view(m, xt::range(1, 4), xt::range(2, 6, 3));
  const matrix_view<T> v = corner;
  CHECK((v.rows == 3 && v.cols == 2 && v(0, 0) == 12 && v(2, 1) == 35));
  v(0, 0) = -7;
  CHECK(m(1, 2) == -7);
  tern_test::check_used<T>(m);
}

TEST_CASE("memory adapted by xtensor is seen in place", "[xtensor]") {
  std::vector<float> memory(24);
  const std::array<std::size_t, 2> shape{4, 6};
  auto m = xt::adapt(memory, shape);
  fill(m);
  check_values(m, 4, 6);
  CHECK(memory[9] == 13);
}

TEST_CASE("an xtensor array that is no matrix is refused", "[xtensor]") {
  const xt::xarray<float> cube = xt::zeros<float>({2, 3, 4});
  CHECK(tern_test::message_of<tern::shape_error>([&] { matrix_view<const float>{cube}; }) ==
        "xtensor: expected 2 dimensions, got 3");
  by_rows m = xt::zeros<float>({4, 6});
  auto reversed = xt::view(m, xt::all(), xt::range(5, xt::placeholders::_, -1));
  CHECK(tern_test::message_of<tern::shape_error>([&] { matrix_view<float>{reversed}; }) ==
        "xtensor: dimension 1 is reversed");
}
#else
TEST_CASE("xtensor") { WARN("skipped: xtensor (package libxtensor-dev) is missing"); }
#endif
