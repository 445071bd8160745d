// Tests of libtorch's tensors. They are a program of their own, since libtorch's headers and
// libraries are large.
#include "tern/adapt/torch.hpp"

#include <ATen/ATen.h>

#include "tern/nn/linear.hpp"
#include "tests/message.hpp"
#include "tests/view_check.hpp"

using tern::matrix_view;
using tern_test::check_values;
using tern_test::fill;

static_assert(tern::matrix_like<at::Tensor> && !tern::matrix_owner<at::Tensor>);
static_assert(std::convertible_to<const at::Tensor&, matrix_view<const float>>);
static_assert(!std::convertible_to<const at::Tensor&, matrix_view<float>>);
static_assert(std::convertible_to<at::Tensor, matrix_view<std::int8_t>>);

namespace {

template <class T = const float>
std::string refusal(at::Tensor t) {
  return tern_test::message_of([&] { matrix_view<T>{t}; });
}

}  // namespace

TEST_CASE("torch's tensors of any strides are seen in place", "[torch]") {
  at::Tensor m = at::zeros({4, 6});
  fill(m);
  check_values(std::as_const(m), 4, 6);
  CHECK(m[3][5].item<float>() == 35);
  check_values(m.slice(0, 1, 4).slice(1, 2, 6), 3, 4, 12);
  check_values(m[2], 1, 6, 20);
  check_values(m.t().contiguous().t(), 4, 6);
  check_values(m.t().select(0, 5).unsqueeze(1), 4, 1, 5);
  const matrix_view<const float> strided = m.select(1, 5);
  CHECK((strided.rows == 1 && strided.cols == 4 && strided(0, 3) == 35));
  tern_test::check_used(m.t());
  const matrix_view<const float> expanded = m.slice(0, 1, 2).expand({3, 6});
  CHECK((expanded.rows == 3 && expanded(2, 5) == 15));
}

TEST_CASE("a torch tensor of other elements is refused or seen by its type", "[torch]") {
  at::Tensor m = at::zeros({4, 6}, at::kDouble);
  fill<double>(m);
  check_values<double>(m, 4, 6);
  const at::Tensor codes = at::ones({2, 2}, at::kChar), sums = at::ones({2, 2}, at::kInt);
  CHECK(matrix_view<const std::int8_t>(codes)(1, 1) == 1);
  CHECK(matrix_view<const std::int32_t>(sums)(1, 1) == 1);
}

TEST_CASE("an undefined tensor is the null view", "[torch]") {
  CHECK(!matrix_view<const float>(at::Tensor()));
  const at::Tensor x = at::randn({5, 7}), w = at::randn({3, 7});
  at::Tensor y = at::empty({5, 3});
  const matrix_view<const float> no_bias = at::Tensor();
  tern::linear<float>::forward(x, w, no_bias ? no_bias.row(0) : tern::row_view<const float>(), y);
  CHECK(at::allclose(y, at::matmul(x, w.t()), 1e-5, 1e-6));
}

TEST_CASE("a torch tensor that has no view is refused", "[torch]") {
  CHECK(refusal(at::zeros({4, 6}, at::kDouble)) ==
        "torch tensor: expected elements of type Float, got Double");
  CHECK(refusal(at::zeros({4, 6}, at::kHalf)) ==
        "torch tensor: expected elements of type Float, got Half");
  CHECK(refusal(at::zeros({2, 3, 4})) == "torch tensor: expected 1 or 2 dimensions, got 3");
  CHECK(refusal(at::zeros({})) == "torch tensor: expected 1 or 2 dimensions, got 0");
  CHECK(refusal(at::empty({4, 6}, at::device(at::kMeta)))
            .find("torch tensor: expected a dense one in host memory, got ") == 0);
  CHECK(refusal(at::zeros({4, 6}).to_sparse())
            .find("torch tensor: expected a dense one in host memory, got Sparse") == 0);
  CHECK(refusal<float>(at::zeros({1, 6}).expand({4, 6})) ==
        "torch tensor: expanded, so it cannot be written to");
}
