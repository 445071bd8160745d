// Counter-based random numbers: the same (seed, stream) gives the same sequence with every
// compiler and standard library, and the whole state is three numbers that a checkpoint can hold.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). One
/// object generates one independent sequence, which a seed and a stream number identify.
class philox {
 public:
  /// The whole state of a generator: key, stream and how many words were drawn.
  struct state {
    std::uint64_t seed = 0, stream = 0, drawn = 0;  ///< `drawn` counts 32-bit words
    bool operator==(const state&) const = default;
  };

  /// Sequences of different streams are independent.
  explicit philox(std::uint64_t seed, std::uint64_t stream = 0) : philox(state{seed, stream, 0}) {}
  /// Continues the sequence from the point at which save() was called.
  explicit philox(const state& s) : state_(s) {
    if (state_.drawn % 4 != 0) words_ = generate(state_.drawn / 4);
  }

  /// The state, from which the constructor above continues.
  [[nodiscard]] const state& save() const { return state_; }

  /// Draws a word, uniform over all 32-bit words.
  std::uint32_t next() {
    const std::size_t lane = state_.drawn % 4;
    if (lane == 0) words_ = generate(state_.drawn / 4);
    ++state_.drawn;
    return words_[lane];
  }

  /// Draws from {0, ..., n - 1} uniformly, without modulo bias. n must be positive.
  std::uint32_t below(std::uint32_t n) {
    const std::uint32_t reject = (0u - n) % n;  // 2^32 mod n
    std::uint64_t wide = std::uint64_t{next()} * n;
    while (static_cast<std::uint32_t>(wide) < reject) wide = std::uint64_t{next()} * n;
    return static_cast<std::uint32_t>(wide >> 32);
  }

  /// Draws from [0, 1) uniformly. The values are multiples of 2^-24, which are exact in float.
  double uniform() { return static_cast<double>(next() >> 8) * 0x1p-24; }

  /// Draws from the standard normal distribution (Box-Muller). It takes two words and keeps no
  /// spare value.
  double normal() {
    const double u = (static_cast<double>(next()) + 0.5) * 0x1p-32;
    const double v = static_cast<double>(next()) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// Shuffles any random-access range (Fisher-Yates).
  template <class Range>
  void shuffle(Range&& items) {
    for (std::size_t i = std::size(items); i > 1; --i) {
      using std::swap;
      swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
    }
  }

 private:
  using words = std::array<std::uint32_t, 4>;

  [[nodiscard]] words generate(std::uint64_t counter) const {
    words c{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
            static_cast<std::uint32_t>(state_.stream),
            static_cast<std::uint32_t>(state_.stream >> 32)};
    auto k0 = static_cast<std::uint32_t>(state_.seed);
    auto k1 = static_cast<std::uint32_t>(state_.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
           static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

  state state_;
  words words_{};
};

}  // namespace tern::inline TERN_ABI
