// BLEU (Papineni et al. 2002) of a corpus, with the values of the Python package sacrebleu:
// tokenization 13a, n-grams of up to four tokens, smoothing "exp".
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/metric/ngram_counts.hpp"
#include "tern/metric/tokenize_13a.hpp"

namespace tern::inline TERN_ABI {

/// Which lengths of n-grams the score is a mean over.
enum class bleu_order {
  four,      ///< one to four tokens; near 0 where no prediction has four tokens
  effective  ///< the lengths that occur in the predictions; meant for single sentences
};

/// Counts over the predictions of a corpus, and the score that follows from them.
class bleu {
 public:
  /// Adds a prediction. Throws config_error where it has no reference.
  void add(std::string_view prediction, std::span<const std::string> references) {
    if (references.empty()) throw config_error("bleu: expected at least one reference");
    const std::vector<std::string> tokens = tokenize_13a(prediction);
    std::vector<std::vector<std::string>> referred;
    for (const std::string& reference : references) referred.push_back(tokenize_13a(reference));
    prediction_length_ += tokens.size();
    reference_length_ += closest_length(tokens.size(), referred);
    for (std::size_t order = 0; order < orders; ++order) {
      const std::size_t n = order + 1;
      ngram_counts most;  // the largest count of each n-gram in any one reference
      for (const auto& reference : referred)
        for (const auto& [ngram, count] : count_ngrams(reference, n)) {
          std::size_t& known = most[ngram];
          known = std::max(known, count);
        }
      for (const auto& [ngram, count] : count_ngrams(tokens, n)) {
        totals_[order] += count;
        if (const auto other = most.find(ngram); other != most.end())
          matches_[order] += std::min(count, other->second);
      }
    }
  }

  /// BLEU in percent: brevity penalty times the geometric mean of the precisions. An order without
  /// a match counts as half a match, the next such order as a quarter, and so on (smoothing "exp").
  /// 0 where no order has a match.
  [[nodiscard]] double score(bleu_order order = bleu_order::four) const {
    if (std::ranges::count(matches_, std::size_t{0}) == std::ptrdiff_t{orders}) return 0;
    // Stands for the logarithm of a precision of 0, as in sacrebleu.
    constexpr double log_of_zero = -9999999999.0;
    std::array<double, orders> logs;
    logs.fill(log_of_zero);
    std::size_t used = orders;
    double smoothing = 1;
    for (std::size_t i = 0; i < orders && totals_[i] > 0; ++i) {
      if (order == bleu_order::effective) used = i + 1;
      const auto total = static_cast<double>(totals_[i]);
      if (matches_[i] == 0) smoothing *= 2;
      logs[i] = std::log(matches_[i] == 0 ? 100. / (smoothing * total)
                                          : 100. * static_cast<double>(matches_[i]) / total);
    }
    double sum = 0;
    for (std::size_t i = 0; i < used; ++i) sum += logs[i];
    return brevity_penalty() * std::exp(sum / static_cast<double>(used));
  }

 private:
  static constexpr std::size_t orders = 4;

  /// The reference length nearest to `length`; the shorter one where two are equally near.
  static std::size_t closest_length(std::size_t length,
                                    const std::vector<std::vector<std::string>>& references) {
    const auto distance = [&](std::size_t other) {
      return other > length ? other - length : length - other;
    };
    std::size_t closest = references[0].size();
    for (const auto& reference : references) {
      const std::size_t size = reference.size();
      if (distance(size) < distance(closest) ||
          (distance(size) == distance(closest) && size < closest))
        closest = size;
    }
    return closest;
  }

  /// A factor below 1 where all predictions together are shorter than the references.
  [[nodiscard]] double brevity_penalty() const {
    if (prediction_length_ >= reference_length_) return 1;
    return std::exp(1 - static_cast<double>(reference_length_) /
                            static_cast<double>(prediction_length_));
  }

  std::array<std::size_t, orders> matches_{}, totals_{};  // index: length of the n-gram, minus one
  std::size_t prediction_length_ = 0, reference_length_ = 0;
};

}  // namespace tern::inline TERN_ABI
