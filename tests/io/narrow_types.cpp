// Numbers that become narrower when they are stored must be finite in the new type.
#include <limits>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using tern::dtype;

/// Writes a row of two numbers as the tensor w, and returns the error or "no error".
template <class T>
std::string storing(std::vector<T> row, dtype type) {
  const tern_test::scratch_dir dir;
  tern::safetensors_writer file;
  file.add_row<T>("w", row, type);
  const auto path = dir.path() / "w.safetensors";
  auto message = tern_test::message_of<tern::config_error>([&] { file.write(path); });
  CHECK(std::filesystem::exists(path) == (message == "no error"));
  return message;
}

std::string too_large(const std::string& type) {
  return "tensor 'w', row 0: a value is not finite or too large for " + type;
}

}  // namespace

TEST_CASE("a float that a narrower type cannot hold is refused by its tensor", "[narrow_types]") {
  constexpr float most = std::numeric_limits<float>::max();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(storing<float>({1, 65504}, dtype::f16) == "no error");
  CHECK(storing<float>({1, 65519}, dtype::f16) == "no error");  // rounds to 65504
  CHECK(storing<float>({1, 65520}, dtype::f16) == too_large("F16"));
  CHECK(storing<float>({-1e5f, 1}, dtype::f16) == too_large("F16"));
  CHECK(storing<float>({1, nan}, dtype::f16) == too_large("F16"));
  CHECK(storing<float>({1, 3e38f}, dtype::bf16) == "no error");
  CHECK(storing<float>({1, most}, dtype::bf16) == too_large("BF16"));
}

TEST_CASE("a double that a narrower type cannot hold is refused by its tensor", "[narrow_types]") {
  CHECK(storing<double>({1, 1e38}, dtype::f32) == "no error");
  CHECK(storing<double>({1, 1e39}, dtype::f32) == too_large("F32"));
  CHECK(storing<double>({1, 1e39}, dtype::f16) == too_large("F16"));
}

TEST_CASE("what is not made narrower is stored as it is", "[narrow_types]") {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  CHECK(storing<float>({1, infinite}, dtype::f32) == "no error");
  CHECK(storing<float>({1, infinite}, dtype::f64) == "no error");
}
