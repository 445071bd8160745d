// Which examples of a task a stage learns from.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/recipe/stage.hpp"
#include "tern/recipe/token_example.hpp"

namespace tern::inline TERN_ABI {

/// Copies of the examples that have enough tokens, in their order, and at most the wanted number;
/// behind them, where the stage wants them, all examples without labels that have enough tokens.
/// Throws config_error where there are examples, but none is long enough.
inline std::vector<token_example> stage_examples(const stage& s,
                                                 std::span<const token_example> labelled,
                                                 std::span<const token_example> unlabelled = {}) {
  std::vector<token_example> chosen;
  for (const token_example& e : labelled) {
    if (s.examples != 0 && chosen.size() == s.examples) break;
    if (e.tokens.size() >= s.min_tokens) chosen.push_back(e);
  }
  if (s.unlabelled)
    std::ranges::copy_if(unlabelled, std::back_inserter(chosen),
                         [&](const token_example& e) { return e.tokens.size() >= s.min_tokens; });
  if (chosen.empty() && !labelled.empty())
    throw config_error("stage " + s.name + ": no training example has min_tokens (" +
                       std::to_string(s.min_tokens) + ") tokens");
  return chosen;
}

}  // namespace tern::inline TERN_ABI
