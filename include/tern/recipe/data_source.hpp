// The field "data" of a recipe: which files are read, and how rows become prompts and answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/core/describe.hpp"

namespace tern::inline TERN_ABI {

/// Which part of a prompt that is too long is left out.
enum class prompt_cut {
  front,  ///< the beginning of the prompt: its end, which asks the question, stays
  back,   ///< the end of the last column: the text of the template after that column stays
};

/// The data of a run. An empty string or list is not used; for `prompt`, `answer`, `labels`,
/// `label_words` and `metrics` it means that the task's own value counts.
struct data_source {
  std::string task{};       ///< name of a task, see named_task(); "own": all is given here
  std::string directory{};  ///< folder that holds the task's files
  std::string prompt{};     ///< template of what the model reads; empty: the task's own
  std::string answer{};     ///< template of what it should write; empty: the task's own
  std::vector<std::string> labels{};       ///< values that the answer takes in the files
  std::vector<std::string> label_words{};  ///< what the model says instead of each label
  std::vector<std::string> metrics{};      ///< what is measured on the answers
  std::vector<std::string> corpus{};       ///< files of general text
  std::vector<std::string> unlabelled{};   ///< files of inputs of the task without answers
  /// Where the tokenizer comes from: a tokenizer.json, a folder with one, or a file *.gguf. Empty:
  /// it is that of the model, or is trained on the corpus for a new model.
  std::string tokenizer{};
  std::string
      separator{};  ///< token between documents; empty: the one that ends a text for the model
  std::vector<std::string> end_tokens{};  ///< tokens that end an answer; empty: those of the model
  std::size_t vocab_size = 4096;          ///< largest vocabulary of a tokenizer that is trained
  std::size_t prompt_tokens = 128;  ///< most tokens of a prompt, its separator included; 2 or more
  prompt_cut cut = prompt_cut::front;  ///< what is left out of a longer prompt
  std::size_t answer_tokens = 64;      ///< most tokens that an evaluation generates
  std::size_t documents = 0;           ///< most documents of the corpus; 0: all
  std::size_t train_examples = 0;      ///< most training examples of the task; 0: all
  std::size_t dev_examples = 0;        ///< most development examples of the task; 0: all
  std::size_t test_examples = 0;       ///< most test examples of the task; 0: all
  std::uint64_t seed = 1;              ///< draws data that are made rather than read
};

/// Shows the fields of data_source; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, data_source& d) {
  v.value("task", d.task);
  v.value("directory", d.directory);
  v.value("prompt", d.prompt);
  v.value("answer", d.answer);
  v.value("labels", d.labels);
  v.value("label_words", d.label_words);
  v.value("metrics", d.metrics);
  v.value("corpus", d.corpus);
  v.value("unlabelled", d.unlabelled);
  v.value("tokenizer", d.tokenizer);
  v.value("separator", d.separator);
  v.value("end_tokens", d.end_tokens);
  v.value("vocab_size", d.vocab_size);
  v.value("prompt_tokens", d.prompt_tokens);
  v.choice("cut", d.cut,
           enum_names<prompt_cut>{{"front", prompt_cut::front}, {"back", prompt_cut::back}});
  v.value("answer_tokens", d.answer_tokens);
  v.value("documents", d.documents);
  v.value("train_examples", d.train_examples);
  v.value("dev_examples", d.dev_examples);
  v.value("test_examples", d.test_examples);
  v.value("seed", d.seed);
}
static_assert(describes_all_members<data_source>());

}  // namespace tern::inline TERN_ABI
