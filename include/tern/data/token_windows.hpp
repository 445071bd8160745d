// Windows of fixed length over a stream of tokens in random order; each epoch goes through the
// stream once. The window at a position is a function of (seed, position) alone, so a checkpoint
// needs nothing but the position.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/random.hpp"

namespace tern::inline TERN_ABI {

/// Views of `length + 1` tokens: the first `length` are inputs, the last `length` are their
/// targets. The targets of two windows of an epoch do not overlap; each epoch cuts the stream at
/// another offset. With a separator, a window begins at the last separator that stands at its place
/// or less than `length` tokens before it, so that it does not enter a short document in the
/// middle. Such windows may overlap.
class token_windows {
 public:
  /// The stream must outlive this object. Throws config_error if it is shorter than one window.
  token_windows(std::span<const std::int32_t> stream, std::size_t length, std::uint64_t seed,
                std::optional<std::int32_t> separator = {})
      : stream_(stream), length_(length), seed_(seed), separator_(separator) {
    if (length == 0 || stream.size() <= length)
      throw config_error("expected a corpus of at least " + std::to_string(length + 1) +
                         " tokens (one window and its next token), got " +
                         std::to_string(stream.size()));
    order_.resize(std::max<std::size_t>(1, (stream.size() - length) / length));
  }

  [[nodiscard]] std::size_t per_epoch() const { return order_.size(); }  ///< number of windows

  /// The window at a position, counted from 0 over all epochs.
  std::span<const std::int32_t> operator[](std::uint64_t position) {
    shuffle_for(position / per_epoch());
    const std::size_t window = order_[static_cast<std::size_t>(position % per_epoch())];
    return stream_.subspan(document_start(offset_ + window * length_), length_ + 1);
  }

 private:
  [[nodiscard]] std::size_t document_start(std::size_t place) const {
    if (!separator_) return place;
    for (std::size_t i = place; i + length_ > place; --i) {
      if (stream_[i] == *separator_) return i;
      if (i == 0) break;
    }
    return place;
  }

  void shuffle_for(std::uint64_t epoch) {
    if (epoch + 1 == shuffled_) return;
    philox random(seed_, epoch);
    const std::size_t slack = stream_.size() - per_epoch() * length_;
    offset_ = random.below(static_cast<std::uint32_t>(std::min(length_, slack)));
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    random.shuffle(order_);
    shuffled_ = epoch + 1;
  }

  std::span<const std::int32_t> stream_;
  std::size_t length_;
  std::uint64_t seed_;
  std::optional<std::int32_t> separator_;
  std::vector<std::size_t> order_;
  std::size_t offset_ = 0;
  std::uint64_t shuffled_ = 0;  // one more than the epoch that order_ is for
};

}  // namespace tern::inline TERN_ABI
