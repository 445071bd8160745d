// Tests of ranges with extents: vectors own, spans refer, wrong sizes throw.
#include "tern/adapt/shaped.hpp"

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "tests/message.hpp"
#include "tests/view_check.hpp"

using tern::matrix_view;
using tern::shaped;
using tern_test::check_values;
using tern_test::fill;

static_assert(tern::matrix_owner<shaped<std::vector<double>>>);
static_assert(tern::matrix_like<shaped<std::array<float, 6>>>);
static_assert(tern::matrix_like<shaped<std::span<float>>>);
static_assert(!tern::matrix_owner<shaped<std::span<float>>>);
static_assert(!tern::matrix_like<shaped<std::vector<bool>>>);
static_assert(!std::convertible_to<const shaped<std::vector<float>>&, matrix_view<float>>);
static_assert(!std::convertible_to<shaped<std::span<const float>>, matrix_view<float>>);
static_assert(std::convertible_to<const shaped<std::span<float>>&, matrix_view<float>>);

TEST_CASE("a vector with extents owns a matrix", "[shaped]") {
  auto m = tern::tensor_traits<shaped<std::vector<double>>>::make(4, 6);
  CHECK(m.values == std::vector<double>(24));
  fill<double>(m);
  check_values<double>(std::as_const(m), 4, 6);
  CHECK(m.values[9] == 13);
}

TEST_CASE("a span with extents is a view", "[shaped]") {
  std::vector<float> memory(24);
  fill(shaped{std::span(memory), 4, 6});
  check_values(shaped{std::span<const float>(memory), 4, 6}, 4, 6);
  tern_test::check_used(shaped{std::span(memory), 4, 6});
  CHECK(memory[9] == 13);
}

TEST_CASE("extents that do not fit the range are refused", "[shaped]") {
  std::vector<float> memory(24);
  CHECK(tern_test::message_of<tern::shape_error>([&] {
          matrix_view<float>(shaped{std::span(memory), 5, 5});
        }) == "shaped: elements for rows * cols: expected 25, got 24");
}
