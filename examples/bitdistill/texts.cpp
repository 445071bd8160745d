#include "texts.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <utility>

#include "microworld_texts.hpp"
#include "standard_output.hpp"
#include "tern/recipe/task_data.hpp"
#include "tern/text/vocabulary_difference.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// The embedded language, with as many documents and examples as the recipe wants.
tern::task_texts embedded_texts(const tern::data_source& d, bool with_corpus) {
  return microworld_texts(
      microworld(),
      {with_corpus ? d.documents : 0, d.train_examples, d.dev_examples, d.test_examples}, d.seed);
}

}  // namespace

tern::task_texts load_texts(const tern::recipe& r) {
  const bool corpus = learns_from(r, tern::stage_data::corpus);
  if (r.data.task == "microworld") {
    if (!r.data.unlabelled.empty())
      throw tern::config_error("data.unlabelled: the task microworld makes its own inputs");
    return embedded_texts(r.data, corpus);
  }
  tern::task_texts texts;
  const bool measured = has_rows(r);
  if (learns_from(r, tern::stage_data::task) || measured)
    texts = tern::read_task_texts(r.data, measured);
  if (!r.data.corpus.empty()) texts.documents = tern::read_documents(r.data);
  return texts;
}

tern::task_texts load_part(const tern::data_source& d, const std::string& part) {
  if (d.task == "microworld") {
    auto texts = embedded_texts(d, false);
    if (part != "train") texts.train.clear();
    if (part == "train" || part == "dev") texts.test.clear();
    if (part != "dev") texts.dev.clear();
    return texts;
  }
  using enum tern::task_part;
  if (part == "train") return read_task_texts(d, train);
  if (part == "dev") return read_task_texts(d, dev);
  const bool has_test = tern::has_task_part(d.directory, tern::task_of(d), test);
  return read_task_texts(d, part == "test" || has_test ? test : dev);
}

tern::model_text read_text_of(const std::string& model, const std::string& tokenizer) {
  auto text = tern::load_model_text(model, tokenizer);
  for (const std::string& note : text.notes) say("bitdistill: note: " + note);
  return text;
}

tern::model_text make_text(const settings& s, const tern::task_texts& texts) {
  const tern::data_source& d = s.recipe.data;
  if (!s.model.empty() || !d.tokenizer.empty()) {
    const std::string& place = s.model.empty() ? d.tokenizer : s.model;
    auto text = read_text_of(place, s.model.empty() ? "" : d.tokenizer);
    static_cast<void>(text.required(place));
    return text;
  }
  auto tokenizer = d.task == "microworld" ? word_tokenizer(microworld().words())
                                          : tern::train_tokenizer(texts.documents, d.vocab_size);
  const auto end = tokenizer.token_id(tern::document_separator).value();
  return tern::new_model_text(std::move(tokenizer), end);
}

void require_same_vocabulary(const std::string& teacher, const tern::bpe_tokenizer& student) {
  const auto text = tern::load_model_text(teacher);
  if (!text.tokenizer) return;  // nothing says what its ids are
  const std::string difference = tern::vocabulary_difference(student, *text.tokenizer);
  if (!difference.empty())
    throw tern::config_error("the teacher '" + teacher +
                             "' has another tokenizer than the student: " + difference);
}

}  // namespace bitdistill
