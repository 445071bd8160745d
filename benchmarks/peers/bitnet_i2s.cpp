// The AVX2 level beside bitnet.cpp's I2_S dot products (AVX2 too), taking turns; built by
// bitnet_i2s.sh with that project's own source. Sums are compared: I2_S adds up in int16 for 4096
// columns, so activations are small enough here that it does not wrap.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/kernel/matmul.hpp"

// Theirs: one row of weights and one token, or four tokens.
void ggml_vec_dot_i2_i8_s_1x1(int n, float* s, std::size_t, const void* w, std::size_t,
                              const void* x, std::size_t, int rows);
void ggml_vec_dot_i2_i8_s_Nx1(int n, float* s, std::size_t, const void* w, std::size_t,
                              const void* x, std::size_t x_stride, int tokens);

namespace {

template <class F>
double seconds(F&& f) {
  using clock = std::chrono::steady_clock;
  double best = 1e300;
  for (int i = 0; i < 20; ++i) {
    const auto start = clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(clock::now() - start).count());
  }
  return best;
}

/// Blocks of 128 codes in 32 bytes, digit code + 1, the first 32 in the top bits.
std::vector<std::uint8_t> pack_i2s(const std::vector<std::int8_t>& codes) {
  std::vector<std::uint8_t> bytes(codes.size() / 4);
  for (std::size_t i = 0; i < codes.size(); ++i)
    bytes[i / 128 * 32 + i % 32] = static_cast<std::uint8_t>(
        bytes[i / 128 * 32 + i % 32] | (codes[i] + 1) << (6 - 2 * (i % 128 / 32)));
  return bytes;
}

void compare(std::size_t m, std::size_t k, std::size_t n) {
  tern::philox random(1);
  std::vector<std::int8_t> codes(m * k), x(n * k);
  for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.below(3)) - 1);
  for (auto& v : x) v = static_cast<std::int8_t>(static_cast<int>(random.below(63)) - 31);
  std::vector<std::int32_t> sums(n), ours(n * m);
  for (std::size_t i = 0; i < x.size(); ++i) sums[i / k] += x[i];
  const auto w = pack_i2s(codes);
  const tern::packed_matrix<tern::two_bit> packed({codes.data(), m, k});
  const tern::matrix_view<const std::int8_t> tokens(x.data(), n, k);
  std::vector<std::byte> workspace(tern::ternary_matmul_workspace(packed, tokens));
  std::vector<float> theirs(n * m);
  const int width = static_cast<int>(k);
  const auto dot = [&](std::size_t row, std::size_t token) {  // a row times one token or four
    float s[4];
    if (n == 1)
      ggml_vec_dot_i2_i8_s_1x1(width, s, 0, w.data() + row * k / 4, k, x.data(), 0, 1);
    else
      ggml_vec_dot_i2_i8_s_Nx1(width, s, 1, w.data() + row * k / 4, k, x.data() + token * k, k, 4);
    for (std::size_t t = token; t < std::min(n, token + 4); ++t) theirs[t * m + row] = s[t - token];
  };
  double tern_best = 1e300, i2s_best = 1e300;
  for (int round = 0; round < 5; ++round) {
    tern_best = std::min(tern_best, seconds([&] {
                           tern::ternary_matmul(packed, tokens, sums, {ours.data(), n, m},
                                                workspace, {}, tern::isa::level::avx2);
                         }));
    if (n == 1)  // all rows in one call, which is quicker
      i2s_best = std::min(i2s_best, seconds([&] {
                            ggml_vec_dot_i2_i8_s_1x1(width, theirs.data(), 0, w.data(), k, x.data(),
                                                     0, static_cast<int>(m));
                          }));
    else
      for (const bool rows_outside : {true, false})
        i2s_best =
            std::min(i2s_best, seconds([&] {
                       const std::size_t groups = n / 4;
                       for (std::size_t i = 0; i < m * groups; ++i)
                         rows_outside ? dot(i / groups, i % groups * 4) : dot(i % m, i / m * 4);
                     }));
  }
  std::size_t different = 0;
  for (std::size_t i = 0; i < ours.size(); ++i)
    different += static_cast<float>(ours[i] + sums[i / m]) != theirs[i];
  const double operations = 2e-9 * static_cast<double>(m * k * n);
  std::printf("%zux%zu N = %zu: tern avx2 %.0f Gop/s, I2_S %.0f, ratio %.2f%s\n", m, k, n,
              operations / tern_best, operations / i2s_best, i2s_best / tern_best,
              different != 0 ? ", sums DIFFER" : "");
}

}  // namespace

int main() {
  for (const std::size_t n : {1u, 8u, 128u}) {
    compare(1024, 1024, n);
    compare(2560, 6912, n);
    compare(4096, 4096, n);
  }
}
