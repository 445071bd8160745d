// Results that a compiler may spoil where it may reorder sums, or take every number for one:
// rounding, exp and erf of losses and activations, and NaN and infinity in weights and tokens. The
// program is compiled with such flags and ends with status 0 where all results are right.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/distill/logits.hpp"
#include "tern/nn/cross_entropy.hpp"
#include "tern/nn/feed_forward.hpp"
#include "tern/quant/absmax_groups.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/per_channel.hpp"

namespace {

int failures = 0;

void check(bool right, const char* what) {
  if (right) return;
  std::printf("wrong: %s\n", what);
  ++failures;
}

/// A NaN, or infinity, that no compiler knows at compile time.
float special(std::uint32_t bits) {
  const volatile std::uint32_t hidden = bits;
  return std::bit_cast<float>(static_cast<std::uint32_t>(hidden));
}
constexpr std::uint32_t nan_bits = 0x7FC00000, infinity_bits = 0x7F800000;

template <class T>
void losses(double tolerance) {
  constexpr std::size_t n = 64, target = 5;
  tern::philox random(3);
  std::vector<T> z(n), teacher(n), lse(1), lse_teacher(1), g(n);
  for (T& v : z) v = static_cast<T>(3 * random.normal());
  for (T& v : teacher) v = static_cast<T>(3 * random.normal());
  const tern::matrix_view<const T> student(z.data(), 1, n), other(teacher.data(), 1, n);
  const std::vector<std::int32_t> targets{target};

  const auto softmax = [](const std::vector<T>& x, double tau) {
    std::vector<double> p(x.begin(), x.end());
    double sum = 0;
    for (double& v : p) sum += v = std::exp(v / tau);
    for (double& v : p) v /= sum;
    return p;
  };
  const std::vector<double> p = softmax(z, 1);
  const double loss = tern::cross_entropy<T>::forward(student, targets, lse);
  check(std::abs(loss + std::log(p[target])) < 10 * tolerance, "cross-entropy");
  tern::cross_entropy<T>::backward_columns(student, targets, lse, T(1), 0, {g.data(), 1, n});
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i)
    worst = std::max(worst, std::abs(static_cast<double>(g[i]) - (p[i] - (i == target ? 1 : 0))));
  check(worst < tolerance, "gradient of the cross-entropy");

  const std::vector<double> s = softmax(z, 5), t = softmax(teacher, 5);
  double divergence = 0;
  for (std::size_t i = 0; i < n; ++i) divergence += t[i] * std::log(t[i] / s[i]);
  const double ld = tern::logits_loss<T>::forward(student, other, {}, lse, lse_teacher);
  check(std::abs(ld - divergence) < 10 * tolerance, "distillation of logits");
}

template <class T>
void activations(double tolerance) {
  constexpr std::size_t n = 200;
  std::vector<T> gate(n), up(n, T(1)), y(n);
  for (std::size_t i = 0; i < n; ++i) gate[i] = static_cast<T>(0.1 * static_cast<double>(i) - 10);
  const tern::matrix_view<const T> g(gate.data(), 1, n), u(up.data(), 1, n);
  double silu = 0, gelu = 0;
  tern::gated_activation<T>::forward(tern::activation::silu, g, u, {y.data(), 1, n});
  for (std::size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(gate[i]);
    silu = std::max(silu, std::abs(static_cast<double>(y[i]) - x / (1 + std::exp(-x))));
  }
  check(silu < tolerance, "SiLU");
  tern::gated_activation<T>::forward(tern::activation::gelu, g, u, {y.data(), 1, n});
  for (std::size_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(gate[i]);
    gelu = std::max(
        gelu, std::abs(static_cast<double>(y[i]) - 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)))));
  }
  check(gelu < tolerance, "GELU");
}

/// x * factor, rounded half to even, in integers.
template <class T>
int rounded(T x, T factor) {
  const volatile T product = x * factor;
  const double exact = static_cast<double>(product);
  const auto down = static_cast<int>(exact);  // towards zero
  const double rest = exact - static_cast<double>(down);
  const int up = exact < 0 ? -1 : 1;
  const double size = rest < 0 ? -rest : rest;
  return size > 0.5 || (size == 0.5 && down % 2 != 0) ? down + up : down;
}

template <class T>
void codes(tern::isa::level level) {
  constexpr std::size_t n = 1000;
  tern::philox random(3);
  std::vector<T> x(n), scale(1);
  for (T& v : x) v = static_cast<T>(random.normal());
  x[5] = 4;  // the largest
  std::vector<std::int8_t> c(n);
  std::vector<std::int32_t> sum(1);
  tern::absmax_int8{}.quantize<T>({x.data(), 1, n}, {c.data(), 1, n}, scale, sum, {}, level);
  const volatile T factor = T(127) / (T(4) + T(1e-5));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < n; ++i) wrong += c[i] != rounded<T>(x[i], factor);
  check(wrong <= 1, "codes of tokens");  // the factor may be another number in its last bit
}

void codes_of_groups() {
  constexpr std::size_t n = 4096;
  tern::philox random(3);
  std::vector<float> w(n), s(n / 256);
  for (float& v : w) v = static_cast<float>(random.normal());
  std::vector<std::int8_t> c(n);
  tern::absmax_groups<8, 256>{}.quantize<float>({w.data(), 1, n}, {c.data(), 1, n},
                                                {s.data(), 1, n / 256});
  double worst = 0;
  for (std::size_t i = 0; i < n; ++i)
    worst = std::max(worst, std::abs(static_cast<double>(w[i]) / static_cast<double>(s[i / 256]) -
                                     static_cast<double>(c[i])));
  check(worst < 0.501, "codes of groups of weights");
}

void special_token(std::uint32_t bits, tern::isa::level level) {
  std::vector<float> x(64, 1.0f), scale(1);
  x[7] = special(bits);
  std::vector<std::int8_t> c(64, 9);
  std::vector<std::int32_t> sum(1);
  tern::absmax_int8{}.quantize<float>({x.data(), 1, 64}, {c.data(), 1, 64}, scale, sum, {}, level);
  check((std::bit_cast<std::uint32_t>(scale[0]) & 0x7FFFFFFF) > infinity_bits,
        "the scale of a token that is not finite is NaN");
  check(std::count(c.begin(), c.end(), 0) == 64, "its codes are 0");
}

template <class Quantizer>
void special_weight(std::uint32_t bits, tern::extents scales) {
  std::vector<float> w(64, 1.0f), s(scales.rows * scales.cols);
  w[9] = special(bits);
  std::vector<std::int8_t> c(64);
  bool refused = false;
  try {
    Quantizer{}.template quantize<float>({w.data(), 4, 16}, {c.data(), 4, 16},
                                         {s.data(), scales.rows, scales.cols});
  } catch (const tern::numeric_error&) {
    refused = true;
  }
  check(refused, "a weight that is not finite is refused");
}

}  // namespace

int main() {
  losses<float>(1e-6);
  losses<double>(1e-12);
  activations<float>(1e-5);
  activations<double>(1e-12);
  codes<double>(tern::isa::level::scalar);
  codes_of_groups();
  for (const tern::isa::level level : tern::isa::levels) {
    if (!tern::isa::supported(level)) continue;
    codes<float>(level);
    special_token(nan_bits, level);
    special_token(infinity_bits, level);
  }
  for (const std::uint32_t bits : {nan_bits, infinity_bits}) {
    special_weight<tern::absmean>(bits, {1, 1});
    special_weight<tern::per_channel>(bits, {4, 1});
    special_weight<tern::absmax_groups<8>>(bits, {4, 1});
  }
  return failures;
}
