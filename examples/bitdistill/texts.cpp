#include "texts.hpp"

#include "microworld_texts.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/data/named_task.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

tern::text_task own_task(const data_source& d) {
  const auto column = [](const std::string& name, const char* fallback) {
    return "{" + (name.empty() ? fallback : name) + "}";
  };
  tern::text_task task{.name = "tsv",
                       .prompt = column(d.text_column, "sentence"),
                       .answer = column(d.label_column, "label")};
  if (!d.pair_column.empty()) task.prompt += " " + column(d.pair_column, "");
  task.prompt += " =>";
  task.labels = tern::read_labels(tern::find_data_file(d.directory, task.train_files), task);
  task.label_words = task.labels;
  return task;
}

tern::task_texts files(const settings& s) {
  const data_source& d = s.data;
  tern::text_task task = s.run.task == "tsv" ? own_task(d) : tern::named_task(s.run.task);
  if (!d.prompt.empty()) task.prompt = d.prompt;
  if (!d.label_words.empty()) task.label_words = d.label_words;
  return tern::classification_texts(d.directory, task);
}

}  // namespace

needs needs_of(const std::vector<tern::stage>& stages) {
  needs n;
  for (const auto& stage : stages)
    (stage.loss == tern::stage_loss::language_model ? n.corpus : n.task) = true;
  return n;
}

tern::task_texts load_texts(const settings& s, needs what) {
  const data_source& d = s.data;
  if (s.run.task == "microworld")
    return microworld_texts(
        microworld(),
        {what.corpus ? d.documents : 0, s.run.train_examples, d.dev_examples, d.test_examples},
        s.run.seed);
  tern::task_texts texts;
  if (what.task) texts = files(s);
  if (what.corpus) texts.documents = tern::read_corpus({d.corpus.begin(), d.corpus.end()});
  return texts;
}

tern::bpe_tokenizer make_tokenizer(const settings& s, const tern::task_texts& texts,
                                   const fs::path& saved) {
  if (!s.data.model.empty()) return tern::load_tokenizer(s.data.model);
  if (!s.data.tokenizer.empty()) return tern::bpe_tokenizer::load(s.data.tokenizer);
  if (fs::exists(saved)) return tern::bpe_tokenizer::load(saved);
  if (s.run.task == "microworld") return word_tokenizer(microworld().words());
  return tern::train_tokenizer(texts.documents, s.run.vocab_size);
}

}  // namespace bitdistill
