// What rouge-score, sacrebleu and NLTK give for generated texts (tests/oracle/text_metrics.py).
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tern_test {

/// The document that the script wrote: "pairs", each with a prediction, its references, F1 of
/// ROUGE-1, -2, -L and -Lsum without and with stemming, F1 of ROUGE-3, and BLEU of the one sentence
/// with four orders and with the effective ones; "corpora", each with the number of its first pair,
/// the number of its pairs, and its BLEU of the same two kinds; "stems", pairs of word and stem.
inline const nlohmann::json& text_metrics_oracle() {
  static const nlohmann::json document = [] {
    const auto path = std::filesystem::path(__FILE__).parent_path().parent_path() / "oracle" /
                      "text_metrics.json";
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot open " + path.string());
    return nlohmann::json::parse(file);
  }();
  return document;
}

}  // namespace tern_test
