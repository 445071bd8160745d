// Tests of the adapter's concept with a type that has the least members of an mdspan.
#include "tern/adapt/mdspan.hpp"

#include <array>
#include <utility>
#include <vector>

#include "tests/message.hpp"
#include "tests/view_check.hpp"

namespace {

struct plain_accessor {};
struct device_accessor {
  using memory_space = void;
};

/// The members of std::mdspan<T, std::dextents<int, Rank>, layout_stride, Accessor>.
template <class T, std::size_t Rank = 2, class Reference = T&, class Accessor = plain_accessor>
struct span_of {
  using element_type = T;
  using reference = Reference;
  using accessor_type = Accessor;
  T* handle = nullptr;
  std::array<int, Rank> extents{}, strides{};
  bool strided = true;

  static constexpr std::size_t rank() { return Rank; }
  [[nodiscard]] int extent(std::size_t i) const { return extents[i]; }
  [[nodiscard]] int stride(std::size_t i) const { return strides[i]; }
  [[nodiscard]] T* data_handle() const { return handle; }
  [[nodiscard]] bool is_strided() const { return strided; }
};

}  // namespace

using tern::matrix_view;
using tern_test::check_values;
using tern_test::fill;

static_assert(tern::matrix_like<span_of<float>> && tern::matrix_like<span_of<const float>>);
static_assert(!tern::matrix_like<span_of<float, 1>> && !tern::matrix_like<span_of<float, 3>>);
static_assert(!tern::matrix_like<span_of<float, 2, float>>, "an accessor that computes");
static_assert(!tern::matrix_like<span_of<float, 2, float&, device_accessor>>);
static_assert(std::convertible_to<const span_of<float>&, matrix_view<float>>);
static_assert(std::convertible_to<span_of<const float>, matrix_view<const float>>);
static_assert(!std::convertible_to<span_of<const float>, matrix_view<float>>);
static_assert(!std::convertible_to<span_of<float>, matrix_view<double>>);

TEMPLATE_TEST_CASE("an mdspan of any strides is seen in place", "[mdspan]", float, double) {
  std::vector<TestType> memory(60);
  const auto [row, col] =
      GENERATE(std::pair{6, 1}, std::pair{1, 4}, std::pair{10, 1}, std::pair{2, 10});
  const span_of<TestType> m{memory.data(), {4, 6}, {row, col}};
  fill<TestType>(m);
  check_values<TestType>(span_of<const TestType>{memory.data(), {4, 6}, {row, col}}, 4, 6);
  tern_test::check_used<TestType>(m);
  CHECK(memory[static_cast<std::size_t>(3 * row + 5 * col)] == 35);
}

TEST_CASE("a layout without strides is refused", "[mdspan]") {
  float x = 0;
  const span_of<float> m{&x, {1, 1}, {1, 1}, false};
  CHECK(tern_test::message_of<tern::shape_error>([&] { matrix_view<float>{m}; }) ==
        "mdspan: a layout without strides");
}

#if __has_include(<mdspan>)
#  include <mdspan>
#endif
#ifdef __cpp_lib_mdspan
static_assert(tern::matrix_like<std::mdspan<float, std::dextents<int, 2>, std::layout_left>>);

TEST_CASE("std::mdspan is seen in place", "[mdspan]") {
  std::vector<float> memory(24);
  const std::mdspan<float, std::dextents<int, 2>, std::layout_left> m(memory.data(), 4, 6);
  fill(m);
  check_values(m, 4, 6);
  CHECK(memory[4 * 5 + 3] == 35);
}
#else
TEST_CASE("std::mdspan") { WARN("skipped: this standard library has no <mdspan>"); }
#endif
