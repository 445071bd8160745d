// What was found about the layers of a loss term before a layer was chosen for it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tern/metric/sample_statistics.hpp"

namespace tern::inline TERN_ABI {

/// How well a term at each layer of the student agrees with the other terms, and the choice.
struct layer_agreement {
  std::string term;        ///< loss_term::name()
  std::size_t chosen = 0;  ///< the layer with the largest mean; of equal ones the last
  /// For each layer: the cosine of the term's gradient and that of all other terms, over
  /// micro-batches.
  std::vector<sample_statistics> layers;
};

}  // namespace tern::inline TERN_ABI
