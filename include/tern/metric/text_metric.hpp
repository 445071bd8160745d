// The metrics of generated texts by name. To add a metric, write a header with its function and add
// a row to the list here; tasks, recipes and evaluation then know it by its name.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/metric/accuracy.hpp"
#include "tern/metric/bleu.hpp"
#include "tern/metric/rouge.hpp"

namespace tern::inline TERN_ABI {

/// Texts that a model wrote, and the acceptable answers for each. All spans are equally long.
struct scored_texts {
  std::span<const std::string> predictions;              ///< texts of the model
  std::span<const std::vector<std::string>> references;  ///< at least one for each prediction
};

/// A figure in percent over all predictions of a part of a task.
struct text_metric {
  std::string_view name;                   ///< name in tasks, recipes and reports
  double (*percent)(const scored_texts&);  ///< see score_texts() for its errors
};

namespace detail {

/// The mean F1 of a ROUGE score in percent; score(prediction, reference) gives one.
template <class F>
double mean_rouge(const scored_texts& texts, F&& score) {
  double sum = 0;
  for (std::size_t i = 0; i < texts.predictions.size(); ++i)
    sum += best_rouge(texts.references[i], [&](const std::string& reference) {
             return score(texts.predictions[i], reference);
           }).f1;
  return 100 * sum / static_cast<double>(texts.predictions.size());
}

}  // namespace detail

/// All metrics. ROUGE is the mean of F1 without stemming, which is the default of rouge-score;
/// where there are several references, the best score counts.
inline constexpr auto text_metrics = std::to_array<text_metric>({
    {"accuracy",
     [](const scored_texts& texts) { return accuracy(texts.predictions, texts.references); }},
    {"bleu",
     [](const scored_texts& texts) {
       bleu sums;
       for (std::size_t i = 0; i < texts.predictions.size(); ++i)
         sums.add(texts.predictions[i], texts.references[i]);
       return sums.score();
     }},
    {"rouge1",
     [](const scored_texts& texts) {
       return detail::mean_rouge(texts,
                                 [](const auto& p, const auto& r) { return rouge_n(p, r, 1); });
     }},
    {"rouge2",
     [](const scored_texts& texts) {
       return detail::mean_rouge(texts,
                                 [](const auto& p, const auto& r) { return rouge_n(p, r, 2); });
     }},
    {"rougeL",
     [](const scored_texts& texts) {
       return detail::mean_rouge(texts, [](const auto& p, const auto& r) { return rouge_l(p, r); });
     }},
    {"rougeLsum",
     [](const scored_texts& texts) {
       return detail::mean_rouge(texts,
                                 [](const auto& p, const auto& r) { return rouge_lsum(p, r); });
     }},
});

/// The metric of this name. Throws config_error, which lists all names, where there is none.
inline const text_metric& named_text_metric(std::string_view name) {
  std::string names;
  for (const text_metric& metric : text_metrics) {
    if (metric.name == name) return metric;
    names.append(names.empty() ? "" : ", ").append(metric.name);
  }
  throw config_error("unknown metric '" + std::string(name) + "', expected one of " + names);
}

/// The value of a metric in percent. Throws shape_error where there are not as many predictions as
/// lists of references, config_error where there is no prediction or one has no reference, and as
/// named_text_metric().
inline double score_texts(std::string_view metric, const scored_texts& texts) {
  const text_metric& found = named_text_metric(metric);
  const std::string what(metric);
  require_size(texts.references.size(), texts.predictions.size(), what + ": lists of references");
  if (texts.predictions.empty()) throw config_error(what + ": expected at least one prediction");
  for (std::size_t i = 0; i < texts.references.size(); ++i)
    if (texts.references[i].empty())
      throw config_error(what + ": expected a reference for prediction " + std::to_string(i));
  return found.percent(texts);
}

}  // namespace tern::inline TERN_ABI
