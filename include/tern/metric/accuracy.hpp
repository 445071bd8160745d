// The share of right answers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Percent of the predictions that equal one of their references. Throws shape_error where there
/// are not as many predictions as lists of references, and config_error where there are none.
inline double accuracy(std::span<const std::string> predictions,
                       std::span<const std::vector<std::string>> references) {
  require_size(predictions.size(), references.size(), "accuracy: predictions");
  if (predictions.empty()) throw config_error("accuracy: expected at least one prediction");
  std::size_t right = 0;
  for (std::size_t i = 0; i < predictions.size(); ++i)
    right += std::ranges::find(references[i], predictions[i]) != references[i].end();
  return 100.0 * static_cast<double>(right) / static_cast<double>(predictions.size());
}

}  // namespace tern::inline TERN_ABI
