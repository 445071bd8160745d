// The choice of the next token from the logits: the most probable one, or a draw with temperature,
// top-k, top-p, min-p and repetition penalty. Their definitions and their order are those of
// Hugging Face transformers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/random.hpp"
#include "tern/core/simd.hpp"

namespace tern::inline TERN_ABI {

/// Options of a sampler. They are applied in this order: penalty, temperature, top_k, top_p, min_p.
struct sampling_options {
  /// Logits are divided by it. 0 chooses the largest logit; then only the penalty has an effect.
  double temperature = 0;
  std::size_t top_k = 0;  ///< keeps this number of the most probable tokens; 0 keeps all
  /// Keeps the most probable tokens, as few as have at least this total probability.
  double top_p = 1;
  /// Keeps tokens whose probability is at least this fraction of the largest one.
  double min_p = 0;
  /// Positive logits of tokens in the history are divided by it, negative ones multiplied.
  double repetition_penalty = 1;
  std::uint64_t seed = 0;  ///< seed of the sampler's random numbers

  /// Throws config_error if an option is outside its range.
  void validate() const {
    const auto require = [](bool good, const char* what) {
      if (!good) throw config_error(std::string("sampling: ") + what);
    };
    require(temperature >= 0 && is_finite(temperature), "temperature must be 0 or more");
    require(top_p > 0 && top_p <= 1, "top_p must be above 0 and at most 1");
    require(min_p >= 0 && min_p <= 1, "min_p must be between 0 and 1");
    require(repetition_penalty > 0 && is_finite(repetition_penalty),
            "repetition_penalty must be positive");
  }
};

/// Chooses the tokens of one sequence. It allocates memory in the constructor only. Among equally
/// probable tokens, top-k and top-p prefer the lower id.
class sampler {
 public:
  /// `never`: tokens that are never chosen, such as ids without text (see ids_without_text()).
  /// Throws config_error if an option is outside its range, the vocabulary is empty or `never` has
  /// a token outside of it.
  sampler(const sampling_options& options, std::size_t vocabulary,
          std::vector<std::int32_t> never = {})
      : options_(options),
        random_(options.seed),
        scores_(vocabulary),
        seen_(vocabulary),
        never_(std::move(never)) {
    options.validate();
    if (vocabulary == 0) throw config_error("sampling: the vocabulary is empty");
    for (const std::int32_t token : never_)
      if (token < 0 || static_cast<std::size_t>(token) >= vocabulary)
        throw config_error("sampling: token " + std::to_string(token) +
                           " is not in the vocabulary");
    candidates_.reserve(vocabulary);
  }

  /// Returns the next token. logits: one for each token of the vocabulary; history: the tokens that
  /// the penalty applies to. Throws shape_error, and numeric_error if the largest logit is not
  /// finite.
  std::int32_t operator()(row_view<const float> logits, std::span<const std::int32_t> history) {
    require_size(logits.size, scores_.size(), "sampler: logits");
    for (std::size_t i = 0; i < scores_.size(); ++i) scores_[i] = logits[i];
    penalize(history);
    for (const std::int32_t token : never_)
      scores_[static_cast<std::size_t>(token)] = std::numeric_limits<float>::lowest();
    const auto best = std::max_element(scores_.begin(), scores_.end());
    if (!is_finite(*best)) throw numeric_error("sampler: the largest logit is not finite");
    if (options_.temperature == 0) return static_cast<std::int32_t>(best - scores_.begin());
    to_weights(*best);
    choose_candidates();
    std::erase_if(candidates_,
                  [&](std::int32_t c) { return static_cast<double>(weight(c)) < options_.min_p; });
    return draw();
  }

 private:
  [[nodiscard]] float weight(std::int32_t token) const {
    return scores_[static_cast<std::size_t>(token)];
  }

  /// Applies the penalty once to each token of the history, no matter how often it occurs.
  void penalize(std::span<const std::int32_t> history) {
    const auto factor = static_cast<float>(options_.repetition_penalty);
    if (factor == 1) return;
    for (const std::int32_t token : history) {
      const auto i = static_cast<std::size_t>(token);
      if (i >= scores_.size()) throw shape_error("sampler: a token outside of the vocabulary");
      if (!seen_[i]) scores_[i] = scores_[i] < 0 ? scores_[i] * factor : scores_[i] / factor;
      seen_[i] = true;
    }
    for (const std::int32_t token : history) seen_[static_cast<std::size_t>(token)] = false;
  }

  /// Replaces the scores by weights: probabilities relative to the largest one.
  void to_weights(float top) {
    const simd::batch<float> shift(top), slope(static_cast<float>(1 / options_.temperature));
    const row_view<float> row(scores_.data(), scores_.size());
    simd::transform(
        row, [&](const auto& s) { return simd::exp((s - shift) * slope); },
        row_view<const float>(row));
  }

  /// Sets the candidates to the tokens that top-k and top-p keep.
  void choose_candidates() {
    const std::size_t n = scores_.size(), k = options_.top_k;
    if (k != 0 && k < n) {
      take_largest(k);
      keep_share(options_.top_p * total());
      return;
    }
    candidates_.resize(n);
    std::iota(candidates_.begin(), candidates_.end(), 0);
    if (options_.top_p == 1) return;
    const double share = options_.top_p * total();
    // Few tokens usually suffice, so the whole vocabulary is sorted only if it must be.
    for (std::size_t few = 64; few < n; few *= 8) {
      take_largest(few);
      if (keep_share(share)) return;
    }
    take_largest(n);
    keep_share(share);
  }

  /// Sets the candidates to the n tokens of largest weight, in descending order.
  void take_largest(std::size_t n) {
    candidates_.resize(scores_.size());
    std::iota(candidates_.begin(), candidates_.end(), 0);
    const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(n);
    std::partial_sort(candidates_.begin(), end, candidates_.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        return weight(a) != weight(b) ? weight(a) > weight(b) : a < b;
                      });
    candidates_.erase(end, candidates_.end());
  }

  [[nodiscard]] double total() const {
    double sum = 0;
    for (const std::int32_t c : candidates_) sum += static_cast<double>(weight(c));
    return sum;
  }

  /// Keeps the first candidates, as few as have the total weight `share`. Returns false if all of
  /// them have less.
  bool keep_share(double share) {
    double sum = 0;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      sum += static_cast<double>(weight(candidates_[i]));
      if (sum < share) continue;
      candidates_.resize(i + 1);
      return true;
    }
    return false;
  }

  std::int32_t draw() {
    double left = random_.uniform() * total();
    for (const std::int32_t c : candidates_) {
      left -= static_cast<double>(weight(c));
      if (left < 0) return c;
    }
    // Rounding can leave a little more than the last weight.
    while (candidates_.size() > 1 && weight(candidates_.back()) == 0) candidates_.pop_back();
    return candidates_.back();
  }

  sampling_options options_;
  philox random_;
  std::vector<float> scores_;  ///< first the logits, then the weights
  std::vector<bool> seen_;
  std::vector<std::int32_t> never_;
  std::vector<std::int32_t> candidates_;
};

}  // namespace tern::inline TERN_ABI
