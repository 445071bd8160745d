// The texts of a recipe: which task a data source describes, and which parts are read.
#include "tern/recipe/task_texts.hpp"

#include <fstream>
#include <string>
#include <vector>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// A directory with parts of a task in the form of SciTLDR.
struct summary_files {
  void write(const std::string& part, int examples) const {
    std::ofstream out(scratch.path() / (part + ".jsonl"));
    for (int i = 0; i < examples; ++i)
      out << R"({"source": ["text", ")" << part << R"("], "target": ["answer )" << i << "\"]}\n";
  }
  [[nodiscard]] data_source source() const {
    return {.task = "scitldr", .directory = scratch.path().string()};
  }
  tern_test::scratch_dir scratch;
};

}  // namespace

TEST_CASE("a data source replaces the fields of a named task that it has") {
  const text_task plain = named_task("sst2");
  const text_task own = task_of({.task = "sst2", .prompt = "{sentence}?", .metrics = {"bleu"}});
  CHECK(own.prompt == "{sentence}?");
  CHECK(own.metrics == std::vector<std::string>{"bleu"});
  CHECK(own.answer == plain.answer);
  CHECK(own.label_words == plain.label_words);
}

TEST_CASE("the task named own has nothing but what the data source says") {
  const text_task own = task_of({.task = "own", .prompt = "{a}", .answer = "{b}"});
  CHECK(own.prompt == "{a}");
  CHECK(own.answer == "{b}");
  CHECK_FALSE(own.classifies());
}

TEST_CASE("an unknown task is refused with the names of those that there are") {
  CHECK(tern_test::message_of<config_error>([] {
          task_of({.task = "sst3"});
        }).find("unknown task 'sst3', expected one of sst2, ") == 0);
}

TEST_CASE("a task that is not measured needs a training part only") {
  const summary_files files;
  files.write("train", 3);
  CHECK(read_task_texts(files.source(), false).train.size() == 3);
  CHECK_THROWS_AS(read_task_texts(files.source()), io_error);
}

TEST_CASE("the parts that have files are read") {
  const summary_files files;
  files.write("train", 3);
  struct row {
    const char* name;
    int dev, test;  // examples; 0: there is no file
  };
  const auto r = GENERATE(values<row>({{"dev", 2, 0}, {"test", 0, 4}, {"dev and test", 2, 4}}));
  INFO(r.name);
  if (r.dev > 0) files.write("dev", r.dev);
  if (r.test > 0) files.write("test", r.test);
  const task_texts texts = read_task_texts(files.source());
  CHECK(texts.train.size() == 3);
  CHECK(texts.dev.size() == static_cast<std::size_t>(r.dev));
  CHECK(texts.test.size() == static_cast<std::size_t>(r.test));
}

TEST_CASE("a task without a part to measure is refused") {
  const summary_files files;
  files.write("train", 3);
  CHECK(tern_test::message_of<io_error>([&] {
          read_task_texts(files.source());
        }).find("cannot find 'dev.jsonl'") == 0);
}

TEST_CASE("as many examples of each part are kept as the data source wants") {
  const summary_files files;
  for (const char* part : {"train", "dev", "test"}) files.write(part, 4);
  auto source = files.source();
  source.train_examples = 1;
  source.dev_examples = 2;
  source.test_examples = 9;
  const task_texts texts = read_task_texts(source);
  CHECK(texts.train.size() == 1);
  CHECK(texts.dev.size() == 2);
  CHECK(texts.test.size() == 4);
  CHECK(texts.train[0].prompt == "text train\nTL;DR:");
  CHECK(texts.train[0].answer == "answer 0");
}

TEST_CASE("one part can be read alone") {
  const summary_files files;
  files.write("dev", 4);
  auto source = files.source();
  source.dev_examples = 3;
  const task_texts texts = read_task_texts(source, task_part::dev);
  CHECK(texts.train.empty());
  CHECK(texts.dev.size() == 3);
  CHECK(texts.test.empty());
}

TEST_CASE("as many documents are kept as the data source wants") {
  const tern_test::scratch_dir scratch;
  const auto file = scratch.path() / "corpus.txt";
  std::ofstream(file) << "one\n\ntwo\n\nthree\n";
  CHECK(read_documents({.corpus = {file.string()}}).size() == 3);
  CHECK(read_documents({.corpus = {file.string()}, .documents = 2}) ==
        std::vector<std::string>{"one", "two"});
}

TEST_CASE("inputs without labels are read for a task with labels, and refused for another one") {
  const tern_test::scratch_dir scratch;
  const auto write = [&](const char* name, const char* content) {
    std::ofstream(scratch.path() / name) << content;
    return (scratch.path() / name).string();
  };
  write("train.tsv", "sentence\tlabel\na film\t1\n");
  const data_source source{.task = "sst2",
                           .directory = scratch.path().string(),
                           .unlabelled = {write("a", "one\ntwo\n"), write("b", "three\n")}};
  const auto texts = read_task_texts(source, false);
  CHECK(texts.train.size() == 1);
  REQUIRE(texts.unlabelled.size() == 3);
  CHECK(texts.unlabelled[2].prompt == "three it was");
  CHECK(texts.unlabelled[2].label == 0);

  const summary_files files;
  files.write("train", 1);
  data_source summaries = files.source();
  summaries.unlabelled = source.unlabelled;
  CHECK(tern_test::message_of<config_error>([&] {
          read_task_texts(summaries, false);
        }).find("data.unlabelled: expected a task with labels") == 0);
}
