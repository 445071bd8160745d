// What is compared in the distillation of attention relations, and how it is averaged: where the
// BitDistill paper and its official code disagree, both, by name.
#pragma once

#include <cstddef>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// From states s (T, D) to the rows whose KL divergence is taken.
enum class relation_form {
  cosine,      ///< softmax(s s^T / temperature), rows of s L2-normalised: Algorithm 1, the code
  scaled_dot,  ///< softmax(A A^T / (sqrt(D) temperature)): Eq. 11 and MiniLMv2 at temperature 1
};

/// What a relation loss is averaged over.
enum class relation_normaliser {
  paper,     ///< mean over split heads and rows
  official,  ///< that, further divided by n_layers * split_heads
};

/// Which rows and columns of a relation count.
enum class relation_mask {
  all,     ///< every position, padding too: Algorithm 1
  nonpad,  ///< rows and columns below the sequence's valid length
  causal,  ///< as nonpad, and row t sees columns up to t
};

/// Defaults: Algorithm 1 of the paper.
struct relation_options {
  std::size_t split_heads = 32;  ///< heads that Q, K and V are split into anew; divides their width
  relation_form form = relation_form::cosine;                   ///< of both sides
  relation_normaliser normaliser = relation_normaliser::paper;  ///< of the loss
  std::size_t n_layers = 1;  ///< layers distilled; the official normaliser divides by it
  relation_mask mask = relation_mask::all;  ///< of both sides
  double temperature = 1;                   ///< of both softmaxes
  double clamp = 1e-8;  ///< probabilities of both sides are raised to it before the logarithm
};

}  // namespace tern::inline TERN_ABI
