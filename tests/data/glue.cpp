#include "tern/data/glue.hpp"

#include "tern/core/atomic_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

/// A file with this content, read as a task; the error's text behind the path where it fails.
class task_file {
 public:
  std::vector<tern::classification_example> read(const std::string& content,
                                                 const tern::glue_task& task) {
    tern::write_file(path_, content);
    return tern::read_glue(path_, task);
  }
  std::string error(const std::string& content, const tern::glue_task& task) {
    const auto what = tern_test::message_of<tern::format_error>([&] { read(content, task); });
    return what.starts_with(path_.string()) ? what.substr(path_.string().size()) : what;
  }

 private:
  tern_test::scratch_dir dir_;
  std::filesystem::path path_ = dir_.path() / "f.tsv";
};

using examples = std::vector<tern::classification_example>;
const auto sst2 = tern::glue_task::named("sst2");
const auto mnli = tern::glue_task::named("mnli");
const auto qnli = tern::glue_task::named("qnli");

}  // namespace

TEST_CASE("quotes are text, line ends of both kinds, columns in any order", "[glue]") {
  task_file file;
  CHECK(file.read("sentence\tlabel\na \"bad film\t0\n\"good\" ,\t1\n", sst2) ==
        examples{{"a \"bad film", "", 0}, {"\"good\" ,", "", 1}});
  CHECK(file.read("\xEF\xBB\xBFlabel\tsentence\r\n1\tgood\r\n\r\n0\t\r\n\r\n", sst2) ==
        examples{{"good", "", 1}, {"", "", 0}});
  CHECK(file.read("label\tsentence\n1\tno end of line", sst2) ==
        examples{{"no end of line", "", 1}});
}

TEST_CASE("MNLI in its original columns and in fewer", "[glue]") {
  task_file file;
  CHECK(file.read("index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
                  "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
                  "0\t31193\t31193n\tgov\t( a )\t( b )\t(R a)\t(R b)\tp\th\tentailment\tneutral\n",
                  mnli) == examples{{"p", "h", 1}});
  CHECK(file.read("index\tsentence1\tsentence2\tgold_label\n0\tp\th\tcontradiction\n"
                  "1\tq\ti\tentailment\n",
                  mnli) == examples{{"p", "h", 2}, {"q", "i", 0}});
  CHECK(file.read("index\tquestion\tsentence\tlabel\n3\tq?\ta.\tnot_entailment\n", qnli) ==
        examples{{"q?", "a.", 1}});
}

TEST_CASE("bad files are refused with file, line and expectation", "[glue]") {
  task_file file;
  CHECK(file.error("", sst2) ==
        ":1: expected a header line with columns 'label' and 'sentence', got an empty file");
  CHECK(file.error("sentence\tlabel\n", sst2) ==
        ":2: expected at least one example, got the end of the file");
  CHECK(file.error("text\tlabel\nx\t1\n", sst2) ==
        ":1: expected a header line with one column 'sentence', got 'text' and 'label'");
  CHECK(file.error("good film\t1\n", sst2) ==
        ":1: expected a header line with one column 'label', got 'good film' and '1'");
  std::string novel = "It";
  for (int i = 0; i < 100; ++i) novel += "wäs ";
  const auto shortened = file.error(novel, sst2);
  CHECK(shortened.size() < 200);
  CHECK(shortened.ends_with("s w..."));  // not half an ä
  CHECK(file.error("label\tsentence\tlabel\n1\tx\t1\n", sst2) ==
        ":1: expected a header line with one column 'label', got 'label', 'sentence' and 'label'");
  CHECK(file.error("sentence\tlabel\nx\t1\ny\tpositive\n", sst2) ==
        ":3: expected label '0' or '1', got 'positive'");
  CHECK(file.error("sentence\tlabel\nx\t1\ny\n", sst2) ==
        ":3: expected 2 fields separated by tabs, got 1");
  CHECK(file.error("sentence\tlabel\nx\ty\t1\n", sst2) ==
        ":2: expected 2 fields separated by tabs, got 3");
  CHECK(file.error("sentence\tlabel\nx\t1\nab\xFFy\t1\n", sst2) ==
        ":3: expected UTF-8 text, got an invalid byte at column 3");
  CHECK(file.error("index\tsentence1\tsentence2\tgold_label\n0\tp\th\t-\n", mnli) ==
        ":2: expected label 'entailment', 'neutral' or 'contradiction', got '-'");
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::read_glue(dir.path() / "none.tsv", sst2), tern::io_error);
  CHECK_THROWS_AS(tern::read_glue(dir.path(), sst2), tern::io_error);
}

TEST_CASE("a task of one's own", "[glue]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "mine.tsv";
  tern::write_file(path, "id\ttopic\ttext\n1\tsports\ta goal\n2\tarts\ta play\n3\tsports\ta win\n");
  tern::glue_task task{"topics", "text", "", "topic", tern::read_glue_labels(path, "topic")};
  CHECK(task.labels == std::vector<std::string>{"arts", "sports"});
  CHECK_THROWS_AS(tern::read_glue(path, task), tern::config_error);  // no label words
  task.label_words = task.labels;
  CHECK(tern::read_glue(path, task)[1] == tern::classification_example{"a play", "", 0});
  task.label_words = {"same", "same"};
  CHECK_THROWS_AS(task.validate(), tern::config_error);
  task.labels = task.label_words = {"one"};
  CHECK_THROWS_AS(task.validate(), tern::config_error);
  CHECK_THROWS_AS(tern::glue_task::named("cola"), tern::config_error);

  CHECK(tern::find_data_file(dir.path(), {"none.tsv", "mine.tsv"}) == path);
  CHECK(tern_test::message_of([&] {
          tern::find_data_file(dir.path(), {"a.tsv", "b.tsv"});
        }) == "cannot find 'a.tsv' or 'b.tsv' in '" + dir.path().string() + "'");
}

TEST_CASE("the real files", "[glue][data]") {
  struct expectation {
    std::string file, task;
    std::size_t size;
    std::string first;
    int label;
  };
  for (const auto& [file, task, size, first, label] : std::vector<expectation>{
           {"SST-2/train.tsv", "sst2", 67349, "hide new secretions from the parental units ", 0},
           {"SST-2/dev.tsv", "sst2", 436, "it 's a charming and often affecting journey . ", 1},
           {"MNLI/train.tsv", "mnli", 9881,
            "The default procedures provide for the sale of all allowances at a single, clearing "
            "price",
            0},
           {"MNLI/dev_matched.tsv", "mnli", 4230, "", 0},
           {"QNLI/train_from_dev.tsv", "qnli", 3305,
            "What is the first major city in the stream of the Rhine?", 1},
           {"QNLI/dev.tsv", "qnli", 786,
            "What came into force after the new constitution was herald?", 0}}) {
    const auto path = tern_test::data_file("glue/" + file);
    if (path.empty()) return;
    const auto rows = tern::read_glue(path, tern::glue_task::named(task));
    INFO(file);
    CHECK(rows.size() == size);
    if (!first.empty()) CHECK(rows[0].first == first);
    CHECK(rows[0].label == label);
  }
  const auto dir = tern_test::data_dir() / "glue" / "QNLI";
  CHECK(tern::find_data_file(dir, qnli.train_files).filename() == "train_from_dev.tsv");
  CHECK_THROWS_AS(tern::read_glue(dir / "test.tsv", qnli), tern::format_error);  // no labels
}
