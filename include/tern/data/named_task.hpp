// The tasks that are known by name: SST-2, MNLI and QNLI of GLUE (Wang et al. 2019), CNN/DailyMail
// (Hermann et al. 2015; Nallapati et al. 2016) and SciTLDR (Cachola et al. 2020).
#pragma once

#include <string>
#include <string_view>

#include "tern/core/error.hpp"
#include "tern/data/text_task.hpp"

namespace tern::inline TERN_ABI {

/// "sst2", "mnli", "qnli", "cnn_dailymail" or "scitldr"; throws config_error for another name.
inline text_task named_task(std::string_view name) {
  if (name == "sst2")
    return {.name = "sst2",
            .prompt = "{sentence} it was",
            .answer = "{label}",
            .labels = {"0", "1"},
            .label_words = {"terrible", "great"},
            .train_files = {"train.tsv"},
            .dev_files = {"dev.tsv"}};
  if (name == "mnli")
    return {.name = "mnli",
            .prompt = "{sentence1} So {sentence2}?",
            .answer = "{gold_label}",
            .labels = {"entailment", "neutral", "contradiction"},
            .label_words = {"yes", "maybe", "no"},
            .train_files = {"train.tsv"},
            .dev_files = {"dev_matched.tsv"}};
  if (name == "qnli")
    return {.name = "qnli",
            .prompt = "{sentence} Does this answer: {question}",
            .answer = "{label}",
            .labels = {"entailment", "not_entailment"},
            .label_words = {"yes", "no"},
            .train_files = {"train.tsv", "train_from_dev.tsv"},
            .dev_files = {"dev.tsv"}};
  if (name == "cnn_dailymail")
    return {.name = "cnn_dailymail",
            .prompt = "{article}\nTL;DR:",
            .answer = "{highlights}",
            .references = "extra_references",
            .train_files = {"train.jsonl", "train_150.jsonl"},
            .dev_files = {"validation.jsonl", "dev.jsonl", "val.jsonl"},
            .test_files = {"test.jsonl", "test_summeval_100.jsonl"},
            .metrics = {"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"}};
  if (name == "scitldr")
    return {.name = "scitldr",
            .prompt = "{source}\nTL;DR:",
            .answer = "{target}",
            .train_files = {"train.jsonl"},
            .dev_files = {"dev.jsonl", "validation.jsonl"},
            .test_files = {"test.jsonl"},
            .metrics = {"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"}};
  throw config_error("unknown task '" + std::string(name) +
                     "', expected sst2, mnli, qnli, cnn_dailymail or scitldr");
}

}  // namespace tern::inline TERN_ABI
