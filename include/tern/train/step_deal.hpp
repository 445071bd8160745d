// How the micro-batches of an optimizer step are dealt to the ranks.
#pragma once

#include <cstddef>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// A step's micro-batches form `parts` of equal size, each of which one rank computes. Ranks get
/// consecutive parts, as evenly as possible. Rank 0 always gets the first part, and where there are
/// more ranks than parts the others get none.
struct step_deal {
  std::size_t micro_batches = 1;  ///< micro-batches of the step
  std::size_t parts = 1;          ///< parts of the step, a divisor of `micro_batches`
  std::size_t ranks = 1;          ///< number of ranks
  std::size_t rank = 0;           ///< number of this rank

  /// The first part of rank `r`; that of rank `ranks` is the number of parts.
  [[nodiscard]] std::size_t first_part(std::size_t r) const {
    return (r * parts + ranks - 1) / ranks;
  }
  /// Micro-batches of a part.
  [[nodiscard]] std::size_t part_size() const { return micro_batches / parts; }
  /// The first micro-batch of this rank, counted from the start of the step.
  [[nodiscard]] std::size_t begin() const { return first_part(rank) * part_size(); }
  /// One more than the last micro-batch of this rank.
  [[nodiscard]] std::size_t end() const { return first_part(rank + 1) * part_size(); }
};

}  // namespace tern::inline TERN_ABI
