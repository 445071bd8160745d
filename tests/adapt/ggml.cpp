// Tests of a struct that describes memory as ggml does.
#include "tern/adapt/ggml.hpp"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "tests/message.hpp"
#include "tests/view_check.hpp"

namespace {

enum kind { f32 = 0, q4_0 = 2, i8 = 24, i32 = 26, f64 = 28 };

struct tensor {
  kind type = f32;
  std::int64_t ne[4] = {1, 1, 1, 1};
  std::size_t nb[4] = {};
  void* data = nullptr;
};

template <class T>
tensor dense(kind type, std::vector<T>& memory, std::size_t rows, std::size_t cols) {
  const auto row = cols * sizeof(T), all = rows * row;
  return {type,
          {static_cast<std::int64_t>(cols), static_cast<std::int64_t>(rows), 1, 1},
          {sizeof(T), row, all, all},
          memory.data()};
}

template <class T>
std::string refusal(const tensor& t) {
  return tern_test::message_of([&] { tern::matrix_view<const T>{t}; });
}

}  // namespace

using tern::matrix_view;
using tern_test::check_values;
using tern_test::fill;

static_assert(tern::matrix_like<tensor> && !tern::matrix_owner<tensor>);
static_assert(std::convertible_to<tensor&, matrix_view<float>>);
static_assert(std::convertible_to<const tensor&, matrix_view<const double>>);
static_assert(!std::convertible_to<const tensor&, matrix_view<float>>);
static_assert(!std::convertible_to<tensor&, matrix_view<std::uint64_t>>);

TEST_CASE("ggml tensors are seen in place, with the fastest dimension as columns", "[ggml]") {
  std::vector<float> memory(24);
  tensor t = dense(f32, memory, 4, 6);
  fill(t);
  check_values(std::as_const(t), 4, 6);
  CHECK(memory[9] == 13);
  std::swap(t.ne[0], t.ne[1]);  // as ggml_transpose does
  std::swap(t.nb[0], t.nb[1]);
  CHECK(matrix_view<const float>(t).rows == 6);
  CHECK(matrix_view<const float>(t)(3, 1) == 13);
  tern_test::check_used(t);
}

TEST_CASE("a ggml tensor of other elements is refused or seen by its type", "[ggml]") {
  std::vector<double> memory(24);
  tensor t = dense(f64, memory, 4, 6);
  fill<double>(t);
  check_values<double>(t, 4, 6);
  std::vector<std::int8_t> codes{1, -1, 0, 1};
  t = dense(i8, codes, 2, 2);
  CHECK(matrix_view<const std::int8_t>(t)(0, 1) == -1);
  std::vector<std::int32_t> sums{1, 2, 3, 4};
  t = dense(i32, sums, 2, 2);
  CHECK(matrix_view<const std::int32_t>(t)(1, 0) == 3);
}

TEST_CASE("a ggml tensor that has no view is refused", "[ggml]") {
  std::vector<float> memory(24);
  tensor t = dense(f32, memory, 4, 6);
  CHECK(refusal<double>(t) == "ggml tensor: expected type 28, got 0");
  t.type = q4_0;
  CHECK(refusal<float>(t) == "ggml tensor: expected type 0, got 2");
  t = dense(f32, memory, 4, 3);
  t.ne[2] = 2;
  CHECK(refusal<float>(t) == "ggml tensor: expected ne[2] to be 1, got 2");
  t = dense(f32, memory, 4, 6);
  t.nb[1] = 23;
  CHECK(refusal<float>(t) == "ggml tensor: nb[1] is no multiple of 4");
  t.data = nullptr;
  CHECK(refusal<float>(t) == "ggml tensor: no memory has been allocated");
}
