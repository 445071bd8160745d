// Weights of four and of eight bits through the same kernels as trits.
#include <vector>

#include "../message.hpp"
#include "../support.hpp"
#include "tern/core/random.hpp"
#include "tern/kernel/matmul.hpp"

using namespace tern;

namespace {

/// Sums that differ from the definition, over all levels of this CPU.
template <class Format, class W, class X>
std::size_t wrong_sums(std::size_t m, std::size_t n, std::size_t k, W weight, X token) {
  std::vector<std::int8_t> w(m * k), x(n * k);
  for (auto& v : w) v = static_cast<std::int8_t>(weight());
  for (auto& v : x) v = static_cast<std::int8_t>(token());
  std::vector<std::int32_t> sums(n), expected(n * m);
  for (std::size_t t = 0; t < n; ++t)
    for (std::size_t c = 0; c < k; ++c) {
      sums[t] += x[t * k + c];
      for (std::size_t r = 0; r < m; ++r) expected[t * m + r] += w[r * k + c] * x[t * k + c];
    }
  const packed_matrix<Format> packed(matrix_view<const std::int8_t>(w.data(), m, k));
  const matrix_view<const std::int8_t> view(x.data(), n, k);
  std::vector<std::byte> workspace(ternary_matmul_workspace(packed, view), std::byte{0x7F});
  std::size_t wrong = 0;
  for (const isa::level level : isa::levels) {
    if (!isa::supported(level)) continue;
    std::vector<std::int32_t> out(n * m, -77);
    ternary_matmul(packed, view, sums, {out.data(), n, m}, workspace, {}, level);
    for (std::size_t i = 0; i < out.size(); ++i) wrong += out[i] != expected[i];
  }
  return wrong;
}

template <class Format>
constexpr int most_code = Format::least_code + Format::max_digit;

}  // namespace

TEMPLATE_TEST_CASE("wider codes are packed and unpacked", "", four_bit, eight_bit) {
  philox random(5);
  for (const std::size_t m : {1u, 15u, 16u, 33u})
    for (const std::size_t k : {1u, 7u, 8u, 64u, 71u}) {
      std::vector<std::int8_t> codes(m * k), back(m * k);
      for (auto& c : codes)
        c = static_cast<std::int8_t>(static_cast<int>(random.below(TestType::max_digit + 1)) +
                                     TestType::least_code);
      const packed_matrix<TestType> packed(matrix_view<const std::int8_t>(codes.data(), m, k));
      unpack(packed.view(), {back.data(), m, k});
      CHECK(back == codes);
    }
}

TEST_CASE("codes beyond four bits are refused") {
  for (const int code : {-9, 8, 127, -128})
    for (std::size_t at = 0; at < 8; ++at) {
      std::vector<std::int8_t> codes(8);
      codes[at] = static_cast<std::int8_t>(code);
      CHECK(tern_test::message_of<config_error>([&] {
              packed_matrix<four_bit>(matrix_view<const std::int8_t>(codes.data(), 1, 8));
            }) == "pack: a code is not one of -8 to 7");
    }
}

TEMPLATE_TEST_CASE("every level equals the definition for wider codes", "", four_bit, eight_bit) {
  philox random(6);
  const auto weight = [&] {
    return static_cast<int>(random.below(TestType::max_digit + 1)) + TestType::least_code;
  };
  const auto token = [&] { return static_cast<int>(random.below(256)) - 128; };
  for (const std::size_t m : {1u, 8u, 16u, 17u, 33u, 64u, 70u})
    for (const std::size_t n : {1u, 2u, 3u, 5u, 9u, 12u, 13u, 30u, 61u})
      for (const std::size_t k : {1u, 4u, 9u, 32u, 63u, 64u, 70u}) {
        CAPTURE(m, n, k);
        CHECK(wrong_sums<TestType>(m, n, k, weight, token) == 0);
      }
  CHECK(wrong_sums<TestType>(130, 40, 1040, weight, token) == 0);
}

TEMPLATE_TEST_CASE("extreme wider codes neither saturate nor wrap", "", four_bit, eight_bit) {
  for (const std::size_t n : {1u, 2u, 17u})
    for (const int x : {-128, 127})
      for (const int w : {TestType::least_code, most_code<TestType>})
        CHECK(wrong_sums<TestType>(
                  17, n, matmul_max_cols<TestType>, [&] { return w; }, [&] { return x; }) == 0);
}
