// Options of the distillation of attention relations: what is compared and how it is averaged. If
// the BitDistill paper and its official code disagree, both ways are offered by name.
#pragma once

#include <cstddef>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// The function of states s (T, D) whose rows are compared by KL divergence.
enum class relation_form {
  cosine,      ///< softmax(s s^T / temperature), rows of s L2-normalised (Algorithm 1, code)
  scaled_dot,  ///< softmax(A A^T / (sqrt(D) temperature)) (Eq. 11; MiniLMv2 at temperature 1)
};

/// The average that a relation loss is.
enum class relation_normaliser {
  paper,     ///< the mean over split heads and rows
  official,  ///< that mean, divided by n_layers * split_heads
};

/// Which rows and columns of a relation count.
enum class relation_mask {
  all,     ///< every position, even padding (Algorithm 1)
  nonpad,  ///< rows and columns below the sequence's valid length
  causal,  ///< like nonpad, and row t sees only the columns up to t
};

/// Options of relation_loss. The defaults are Algorithm 1 of the paper.
struct relation_options {
  std::size_t split_heads = 32;  ///< groups that the columns of Q, K and V are split into
  relation_form form = relation_form::cosine;                   ///< form of both relations
  relation_normaliser normaliser = relation_normaliser::paper;  ///< average of the loss
  std::size_t n_layers = 1;  ///< distilled layers; the official normaliser divides by it
  relation_mask mask = relation_mask::all;  ///< mask of both relations
  double temperature = 1;                   ///< temperature of both softmaxes
  double clamp = 1e-8;  ///< least probability that the logarithm of either side sees
};

}  // namespace tern::inline TERN_ABI
