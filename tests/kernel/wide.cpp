// Weights of four and of eight bits: the same kernels multiply them as trits.
#include <vector>

#include "tern/core/random.hpp"
#include "tern/kernel/matmul.hpp"
#include "tests/kernel/product.hpp"
#include "tests/levels.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::product;

namespace {

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
  std::vector<product<TestType>> all;
  for (const std::size_t m : {1u, 8u, 16u, 17u, 33u, 64u, 70u})
    for (const std::size_t n : {1u, 2u, 3u, 5u, 9u, 12u, 13u, 30u, 61u})
      for (const std::size_t k : {1u, 4u, 9u, 32u, 63u, 64u, 70u})
        all.emplace_back(m, n, k, weight, token);
  all.emplace_back(130, 40, 1040, weight, token);
  GENERATE_LEVEL();
  for (const product<TestType>& p : all)
    if (!p.right(level)) FAIL_CHECK(p.m << " x " << p.k << ", " << p.n << " tokens");
}

TEMPLATE_TEST_CASE("extreme wider codes neither saturate nor wrap", "", four_bit, eight_bit) {
  const int x = GENERATE(-128, 127);
  const bool most = GENERATE(false, true);
  const std::size_t n = GENERATE(1u, 2u, 17u);
  const int w = most ? most_code<TestType> : TestType::least_code;
  DYNAMIC_SECTION(w << " times " << x << ", " << n << " tokens") {
    const product<TestType> p(
        17, n, matmul_max_cols<TestType>, [&] { return w; }, [&] { return x; });
    GENERATE_LEVEL();
    CHECK(p.right(level));
  }
}
