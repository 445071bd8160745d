// ROUGE (Lin, "ROUGE: a package for automatic evaluation of summaries", 2004), with the values of
// the Python package rouge-score.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/metric/ngram_counts.hpp"
#include "tern/metric/rouge_tokens.hpp"

namespace tern::inline TERN_ABI {

/// How far a prediction agrees with a reference; all values are between 0 and 1.
struct rouge_score {
  double precision = 0;  ///< share of the prediction that stands in the reference
  double recall = 0;     ///< share of the reference that stands in the prediction
  double f1 = 0;         ///< harmonic mean of the two, or 0 where both are 0
};

namespace detail {

inline rouge_score rouge_of(std::size_t hits, std::size_t predicted, std::size_t referred) {
  const auto share = [&](std::size_t all) {
    return static_cast<double>(hits) / static_cast<double>(std::max<std::size_t>(all, 1));
  };
  const double p = share(predicted), r = share(referred);
  return {p, r, p + r > 0 ? 2 * p * r / (p + r) : 0.0};
}

/// Lengths of the longest common subsequences of all beginnings of two token sequences.
class lcs_table {
 public:
  lcs_table(std::span<const std::string> reference, std::span<const std::string> prediction)
      : reference_(reference),
        prediction_(prediction),
        lengths_((reference.size() + 1) * (prediction.size() + 1)) {
    for (std::size_t i = 1; i <= reference.size(); ++i)
      for (std::size_t j = 1; j <= prediction.size(); ++j)
        at(i, j) = reference[i - 1] == prediction[j - 1] ? at(i - 1, j - 1) + 1
                                                         : std::max(at(i - 1, j), at(i, j - 1));
  }

  [[nodiscard]] std::size_t length() const { return lengths_.back(); }

  /// Sets found[i] for each reference token i of one longest common subsequence. Where several
  /// exist, the choice is that of rouge-score: from the end, a token of the prediction is skipped
  /// only if that leaves a strictly longer rest than to skip one of the reference.
  void mark(std::vector<bool>& found) const {
    for (std::size_t i = reference_.size(), j = prediction_.size(); i > 0 && j > 0;) {
      if (reference_[i - 1] == prediction_[j - 1]) {
        found[i - 1] = true;
        --i, --j;
      } else if (at(i, j - 1) > at(i - 1, j)) {
        --j;
      } else {
        --i;
      }
    }
  }

 private:
  [[nodiscard]] const std::size_t& at(std::size_t i, std::size_t j) const {
    return lengths_[i * (prediction_.size() + 1) + j];
  }
  std::size_t& at(std::size_t i, std::size_t j) {
    return lengths_[i * (prediction_.size() + 1) + j];
  }

  std::span<const std::string> reference_, prediction_;
  std::vector<std::size_t> lengths_;
};

/// The tokens of each line that is not empty.
inline std::vector<std::vector<std::string>> rouge_sentences(std::string_view text,
                                                             rouge_stemming stemming) {
  std::vector<std::vector<std::string>> sentences;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (end > 0) sentences.push_back(rouge_tokens(text.substr(0, end), stemming));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return sentences;
}

}  // namespace detail

/// ROUGE-N: common n-grams of `n` >= 1 tokens. An n-gram counts as often as it stands in both
/// texts.
inline rouge_score rouge_n(std::string_view prediction, std::string_view reference, std::size_t n,
                           rouge_stemming stemming = rouge_stemming::none) {
  if (n == 0) throw config_error("rouge_n: expected n-grams of at least one token, got n = 0");
  const auto predicted = rouge_tokens(prediction, stemming);
  const auto referred = rouge_tokens(reference, stemming);
  const ngram_counts in_reference = count_ngrams(referred, n);
  std::size_t hits = 0;
  for (const auto& [ngram, count] : count_ngrams(predicted, n))
    if (const auto other = in_reference.find(ngram); other != in_reference.end())
      hits += std::min(count, other->second);
  const auto ngrams = [&](const auto& tokens) {
    return tokens.size() < n ? 0 : tokens.size() - n + 1;
  };
  return detail::rouge_of(hits, ngrams(predicted), ngrams(referred));
}

/// ROUGE-L: the longest common subsequence of tokens. Line ends count as spaces.
inline rouge_score rouge_l(std::string_view prediction, std::string_view reference,
                           rouge_stemming stemming = rouge_stemming::none) {
  const auto predicted = rouge_tokens(prediction, stemming);
  const auto referred = rouge_tokens(reference, stemming);
  return detail::rouge_of(detail::lcs_table(referred, predicted).length(), predicted.size(),
                          referred.size());
}

/// ROUGE-Lsum: each line is a sentence. For each sentence of the reference, the hits are the tokens
/// in its longest common subsequence with any sentence of the prediction; a token is a hit at most
/// as often as it stands in both texts.
inline rouge_score rouge_lsum(std::string_view prediction, std::string_view reference,
                              rouge_stemming stemming = rouge_stemming::none) {
  const auto predicted = detail::rouge_sentences(prediction, stemming);
  const auto referred = detail::rouge_sentences(reference, stemming);
  std::unordered_map<std::string, std::size_t>
      left;  // tokens of the prediction that are no hit yet
  std::size_t predicted_size = 0, referred_size = 0, hits = 0;
  for (const auto& sentence : predicted) {
    predicted_size += sentence.size();
    for (const auto& token : sentence) ++left[token];
  }
  for (const auto& sentence : referred) {
    referred_size += sentence.size();
    std::vector<bool> found(sentence.size());
    for (const auto& candidate : predicted) detail::lcs_table(sentence, candidate).mark(found);
    for (std::size_t i = 0; i < sentence.size(); ++i) {
      if (!found[i] || left[sentence[i]] == 0) continue;
      --left[sentence[i]];
      ++hits;
    }
  }
  return detail::rouge_of(hits, predicted_size, referred_size);
}

/// The score(reference) with the largest F1 over several references; the first one where several
/// are equal. score_multi() of rouge-score does the same. Throws config_error where there is no
/// reference.
template <class F>
rouge_score best_rouge(std::span<const std::string> references, F&& score) {
  if (references.empty()) throw config_error("best_rouge: expected at least one reference");
  rouge_score best = score(references[0]);
  for (const std::string& reference : references.subspan(1))
    if (const rouge_score next = score(reference); next.f1 > best.f1) best = next;
  return best;
}

}  // namespace tern::inline TERN_ABI
