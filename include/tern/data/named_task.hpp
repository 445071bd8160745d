// The tasks that are known by name: SST-2, MNLI and QNLI of GLUE (Wang et al. 2019), CNN/DailyMail
// (Hermann et al. 2015; Nallapati et al. 2016) and SciTLDR (Cachola et al. 2020); and `tsv`, any
// files with columns "sentence" and "label".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/text_task.hpp"

namespace tern::inline TERN_ABI {

/// All tasks with a name. The answer to a prompt continues its last sentence or line.
inline std::vector<text_task> named_tasks() {
  const std::vector<std::string> summary_metrics{"bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"};
  return {
      {.name = "sst2",
       .prompt = "{sentence} it was",
       .answer = "{label}",
       .labels = {"0", "1"},
       .label_words = {"terrible", "great"},
       .train_files = {"train.tsv"},
       .dev_files = {"dev.tsv"},
       .test_files = {}},  // published without labels
      {.name = "mnli",
       .prompt = "{sentence1} So {sentence2}?",
       .answer = "{gold_label}",
       .labels = {"entailment", "neutral", "contradiction"},
       .label_words = {"yes", "maybe", "no"},
       .train_files = {"train.tsv"},
       .dev_files = {"dev_matched.tsv"},
       .test_files = {}},  // published without labels
      {.name = "qnli",
       .prompt = "{sentence} Does this answer: {question}",
       .answer = "{label}",
       .labels = {"entailment", "not_entailment"},
       .label_words = {"yes", "no"},
       .train_files = {"train.tsv", "train_from_dev.tsv"},
       .dev_files = {"dev.tsv"},
       .test_files = {}},  // published without labels
      {.name = "cnn_dailymail",
       .prompt = "{article}\nTL;DR:",
       .answer = "{highlights}",
       .references = "extra_references",
       .train_files = {"train.jsonl", "train_150.jsonl"},
       .dev_files = {"validation.jsonl", "dev.jsonl", "val.jsonl"},
       .test_files = {"test.jsonl", "test_summeval_100.jsonl"},
       .metrics = summary_metrics},
      {.name = "scitldr",
       .prompt = "{source}\nTL;DR:",
       .answer = "{target}",
       .train_files = {"train.jsonl"},
       .dev_files = {"dev.jsonl", "validation.jsonl"},
       .test_files = {"test.jsonl"},
       .metrics = summary_metrics},
      {.name = "tsv", .prompt = "{sentence}", .answer = "{label}"},
  };
}

/// The task of this name. Throws config_error, which lists all names, where there is none.
inline text_task named_task(std::string_view name) {
  std::string names;
  for (const text_task& task : named_tasks()) {
    if (task.name == name) return task;
    names.append(names.empty() ? "" : ", ").append(task.name);
  }
  throw config_error("unknown task '" + std::string(name) + "', expected one of " + names);
}

}  // namespace tern::inline TERN_ABI
