#include "tern/io/tensor_source.hpp"

#include <map>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using tern_test::message_of;

/// A tensor of counting numbers, 0, 1, 2 ..., that takes one byte for each.
struct counting {
  std::string name, file = "memory";
  std::vector<std::size_t> shape;
  std::vector<std::byte> data;

  [[nodiscard]] std::size_t size() const { return data.size(); }
  [[nodiscard]] std::string type_name() const { return "COUNT"; }
  template <class T>
  void require_readable_as() const {
    if constexpr (!std::floating_point<T>) fail("holds floating-point numbers");
  }
  template <class T>
  void decode(std::size_t first, std::span<T> out) const {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(first + i);
  }
  [[noreturn]] void fail(const std::string& what) const {
    throw tern::format_error(file + ": tensor '" + name + "': " + what);
  }
};

counting tensor(std::vector<std::size_t> shape) {
  std::size_t size = 1;
  for (const std::size_t n : shape) size *= n;
  return {"t", "memory", std::move(shape), std::vector<std::byte>(size)};
}

/// A source of two tensors, a of 6 bytes and b of 4.
struct two_tensors {
  std::map<std::string, counting, std::less<>> tensors{{"a", tensor({2, 3})}, {"b", tensor({4})}};

  [[nodiscard]] std::vector<std::string> names() const { return {"a", "b"}; }
  [[nodiscard]] bool contains(std::string_view name) const { return tensors.contains(name); }
  [[nodiscard]] const counting& at(std::string_view name) const {
    return tensors.find(name)->second;
  }
};

static_assert(tern::stored_tensor<counting>);
static_assert(tern::tensor_source<two_tensors>);
static_assert(!tern::stored_tensor<std::string>);
static_assert(!tern::tensor_source<counting>);

}  // namespace

TEST_CASE("a matrix is read row by row") {
  tern::matrix<double> m(2, 3), expected(2, 3);
  expected << 0, 1, 2, 3, 4, 5;
  tern::read_matrix<double>(tensor({2, 3}), m);
  CHECK(m == expected);
}

TEST_CASE("a matrix is read into columns") {
  tern::matrix<float> m(3, 2), expected(3, 2);
  expected << 0, 3, 1, 4, 2, 5;
  tern::read_matrix(tensor({2, 3}), tern::matrix_view<float>(m).transposed());
  CHECK(m == expected);
}

TEST_CASE("a row is read into a column of a matrix") {
  tern::matrix<float> m = tern::matrix<float>::Constant(3, 2, 7);
  tern::read_row<float>(tensor({3}), tern::matrix_view<float>(m).transposed().row(1));
  tern::matrix<float> expected(3, 2);
  expected << 7, 0, 7, 1, 7, 2;
  CHECK(m == expected);
}

TEST_CASE("values are read from a tensor of any shape") {
  const auto [name, shape, expected] =
      GENERATE(table<std::string, std::vector<std::size_t>, std::vector<float>>({
          {"one number", {}, {0}},
          {"a row", {2}, {0, 1}},
          {"three dimensions", {1, 3, 1}, {0, 1, 2}},
          {"nothing", {0, 4}, {}},
      }));
  INFO(name);
  CHECK(tern::read_values(tensor(shape)) == expected);
}

TEST_CASE("a matrix without elements is read") {
  tern::matrix<float> none(0, 4);
  CHECK_NOTHROW(tern::read_matrix<float>(tensor({0, 4}), none));
}

TEST_CASE("what does not fit is refused with file and tensor") {
  tern::matrix<float> m(3, 2);
  std::vector<float> row(2);
  CHECK(message_of<tern::format_error>([&] {
          tern::read_matrix<float>(tensor({2, 3}), m);
        }) == "memory: tensor 't': expected shape [3, 2], got [2, 3]");
  CHECK(message_of<tern::format_error>([&] { tern::read_row<float>(tensor({3}), row); }) ==
        "memory: tensor 't': expected shape [2], got [3]");
  CHECK(message_of<tern::format_error>([] { tern::read_values<int>(tensor({3})); }) ==
        "memory: tensor 't': holds floating-point numbers");
}

TEST_CASE("a source knows how many bytes its tensors have") {
  CHECK(tern::stored_bytes(two_tensors{}) == 10);
}

TEST_CASE("a tensor that its reader does not know is refused") {
  CHECK_NOTHROW(tern::require_known_tensors(two_tensors{}, {"a", "b", "c"}, "a test"));
  CHECK(message_of<tern::format_error>([] {
          tern::require_known_tensors(two_tensors{}, {"b"}, "a test");
        }) == "memory: tensor 't': has no place in a test");
}
