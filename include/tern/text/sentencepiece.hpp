// SentencePiece's BPE models have a score for each piece in place of merges. Of all adjacent pieces
// that can be joined, those whose joined piece has the highest score are joined first (Kudo and
// Richardson, 2018).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Length of the longest piece that is used, in bytes.
inline constexpr std::size_t longest_scored_piece = 1024;

/// Returns merges, in the order of their ranks, that have the same effect as the scores. Each way
/// to split a piece between two characters into two other pieces is a merge; their order is that of
/// falling scores of the whole piece. `pieces`: the piece of each id, in UTF-8; empty pieces and
/// those longer than longest_scored_piece are ignored. `scores`: the score of each id.
inline std::vector<std::pair<std::int32_t, std::int32_t>> merges_of_scores(
    std::span<const std::string> pieces, std::span<const float> scores) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  ids.reserve(pieces.size());
  std::vector<std::int32_t> order;
  for (std::size_t i = 0; i < pieces.size(); ++i)
    if (!pieces[i].empty() && pieces[i].size() <= longest_scored_piece) {
      ids.emplace(pieces[i], static_cast<std::int32_t>(i));
      order.push_back(static_cast<std::int32_t>(i));
    }
  std::ranges::stable_sort(order, [&](std::int32_t a, std::int32_t b) {
    return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
  });
  std::vector<std::pair<std::int32_t, std::int32_t>> merges;
  for (const std::int32_t id : order) {
    const std::string_view piece = pieces[static_cast<std::size_t>(id)];
    const std::size_t first = merges.size();
    for (std::size_t cut = 1; cut < piece.size(); ++cut) {
      if ((static_cast<unsigned char>(piece[cut]) & 0xC0) == 0x80) continue;  // inside a character
      const auto left = ids.find(piece.substr(0, cut)), right = ids.find(piece.substr(cut));
      if (left != ids.end() && right != ids.end()) merges.emplace_back(left->second, right->second);
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end());
  }
  return merges;
}

}  // namespace tern::inline TERN_ABI
