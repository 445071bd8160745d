#include "texts.hpp"

#include "microworld_texts.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

tern::glue_task own_task(const data_source& d) {
  tern::glue_task task{"tsv", d.text_column, d.pair_column, d.label_column};
  if (task.first_column.empty()) task.first_column = "sentence";
  if (task.label_column.empty()) task.label_column = "label";
  task.labels = tern::read_glue_labels(tern::find_data_file(d.directory, task.train_files),
                                       task.label_column);
  task.prompt = task.pairs() ? "{1} {2} =>" : "{1} =>";
  task.label_words = task.labels;
  return task;
}

tern::task_texts files(const settings& s) {
  const data_source& d = s.data;
  tern::glue_task task = s.run.task == "tsv" ? own_task(d) : tern::glue_task::named(s.run.task);
  if (!d.prompt.empty()) task.prompt = d.prompt;
  if (!d.label_words.empty()) task.label_words = d.label_words;
  return tern::glue_texts(d.directory, task);
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
