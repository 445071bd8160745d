// Token sequences of any lengths, one after another without padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// `tokens` and `positions` have one entry for each token. Sequence s is [offsets[s], offsets[s +
/// 1]).
struct token_batch {
  std::vector<std::int32_t> tokens, positions;  ///< ids, and positions in their sequences
  std::vector<std::size_t> offsets{0};          ///< ends of the sequences behind a 0, ascending

  [[nodiscard]] std::size_t sequences() const {
    return offsets.size() - 1;
  }  ///< number of sequences

  /// Adds a sequence. `first` is the position of its first token.
  void add(std::span<const std::int32_t> sequence, std::size_t first = 0) {
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
    for (std::size_t i = 0; i < sequence.size(); ++i)
      positions.push_back(static_cast<std::int32_t>(first + i));
    offsets.push_back(tokens.size());
  }

  /// Removes all sequences and keeps the memory.
  void clear() {
    tokens.clear();
    positions.clear();
    offsets.assign(1, 0);
  }
};

}  // namespace tern::inline TERN_ABI
