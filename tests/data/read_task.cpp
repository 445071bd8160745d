#include "tern/data/read_task.hpp"

#include "tern/core/atomic_file.hpp"
#include "tern/data/named_task.hpp"
#include "tests/data/gzip.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;
using examples = std::vector<tern::text_example>;

/// A file with a content, read as a task; where that fails, the text of the error behind the path.
class task_file {
 public:
  explicit task_file(const std::string& name) : path_(dir_.path() / name) {}

  examples read(const std::string& content, const tern::text_task& task) {
    tern::write_file(path_, content);
    return tern::read_task_file(path_, task);
  }
  std::string error(const std::string& content, const tern::text_task& task) {
    const auto what = tern_test::message_of<tern::format_error>([&] { read(content, task); });
    return what.starts_with(path_.string()) ? what.substr(path_.string().size()) : what;
  }

 private:
  tern_test::scratch_dir dir_;
  std::filesystem::path path_;
};

const auto sst2 = tern::named_task("sst2");
const auto mnli = tern::named_task("mnli");
const auto qnli = tern::named_task("qnli");
const tern::text_task summary{.name = "summary", .prompt = "{text} =>", .answer = "{summary}"};
const tern::text_task topics{.name = "topics",
                             .prompt = "{text} =>",
                             .answer = "{topic}",
                             .label_words = {"painting", "running"}};

tern::text_example answered(const std::string& prompt, const std::string& word, int label) {
  return {prompt, word, {word}, label};
}

}  // namespace

TEST_CASE("tab-separated files as GLUE has them", "[read_task]") {
  const auto [name, task, content,
              expected] = GENERATE(table<std::string, tern::text_task, std::string, examples>({
      {"quotes are text",
       sst2,
       "sentence\tlabel\na \"bad film\t0\n\"good\" ,\t1\n",
       {answered("a \"bad film it was", "terrible", 0), answered("\"good\" , it was", "great", 1)}},
      {"columns in any order, CRLF, a byte-order mark, empty lines",
       sst2,
       "\xEF\xBB\xBFlabel\tsentence\r\n1\tgood\r\n\r\n0\t\r\n\r\n",
       {answered("good it was", "great", 1), answered(" it was", "terrible", 0)}},
      {"no end of the last line",
       sst2,
       "label\tsentence\n1\tno end of line",
       {answered("no end of line it was", "great", 1)}},
      {"spaces at the ends of a text are left out",
       sst2,
       "sentence\tlabel\n  a  b \t1\n",
       {answered("a  b it was", "great", 1)}},
      {"MNLI in its original columns",
       mnli,
       "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
       "sentence1_parse\tsentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
       "0\t31193\t31193n\tgov\t( a )\t( b )\t(R a)\t(R b)\tp\th\tentailment\tneutral\n",
       {answered("p So h?", "maybe", 1)}},
      {"MNLI in fewer columns",
       mnli,
       "index\tsentence1\tsentence2\tgold_label\n0\tp\th\tcontradiction\n1\tq\ti\tentailment\n",
       {answered("p So h?", "no", 2), answered("q So i?", "yes", 0)}},
      {"QNLI, the sentence first",
       qnli,
       "index\tquestion\tsentence\tlabel\n3\tq?\ta.\tnot_entailment\n",
       {answered("a. Does this answer: q?", "no", 1)}},
      {"an answer in free text",
       summary,
       "text\tsummary\nlong\tshort \n",
       {{"long =>", "short", {"short"}, -1}}},
  }));
  INFO(name);
  CHECK(task_file("f.tsv").read(content, task) == expected);
}

TEST_CASE("JSON lines with the fields of a task", "[read_task]") {
  auto further = summary;
  further.references = "more";
  const auto [name, task, content, expected] =
      GENERATE_COPY(table<std::string, tern::text_task, std::string, examples>({
          {"one object a line, blank lines between",
           summary,
           "{\"text\": \"a\\nb\", \"id\": null, \"summary\": \"s\"}\r\n "
           "\n{\"text\":\"c\",\"summary\":\"t\"}",
           {{"a\nb =>", "s", {"s"}, -1}, {"c =>", "t", {"t"}, -1}}},
          {"a list in the prompt is joined by spaces",
           summary,
           R"({"text": ["a.", "b.", "c."], "summary": "s"})",
           {{"a. b. c. =>", "s", {"s"}, -1}}},
          {"a list in the answer is a list of references",
           summary,
           R"({"text": "a", "summary": ["s", "t", "s"]})",
           {{"a =>", "s", {"s", "t", "s"}, -1}}},
          {"further references, one",
           further,
           R"({"text": "a", "summary": "s", "more": "t"})",
           {{"a =>", "s", {"s", "t"}, -1}}},
          {"further references, a list",
           further,
           R"({"text": "a", "summary": ["s", "t"], "more": ["u", "v"]})",
           {{"a =>", "s", {"s", "t", "u", "v"}, -1}}},
          {"empty further references are left out",
           further,
           R"({"text": "a", "summary": "s", "more": ["", "t"]})",
           {{"a =>", "s", {"s", "t"}, -1}}},
          {"no further references",
           further,
           "{\"text\": \"a\", \"summary\": \"s\"}\n{\"text\": \"a\", \"summary\": \"s\", \"more\": "
           "null}",
           {{"a =>", "s", {"s"}, -1}, {"a =>", "s", {"s"}, -1}}},
          {"numbers and booleans as JSON writes them",
           summary,
           R"({"text": [1, -2.5, true], "summary": false})",
           {{"1 -2.5 true =>", "false", {"false"}, -1}}},
          {"labels that are numbers",
           sst2,
           R"({"sentence": "a", "label": 1})",
           {answered("a it was", "great", 1)}},
      }));
  INFO(name);
  CHECK(task_file("f.jsonl").read(content, task) == expected);
}

TEST_CASE("a file's content tells what it is, whatever its name is", "[read_task]") {
  const std::string tsv = "text\tsummary\na\tb\n", json = R"({"text":"a","summary":"b"})";
  const auto [name, content] =
      GENERATE_COPY(table<std::string, std::string>({{"a.tsv", tsv},
                                                     {"a.jsonl", json},
                                                     {"a.tsv.gz", tern_test::gzip(tsv)},
                                                     {"a.jsonl.gz", tern_test::gzip(json)},
                                                     {"a.txt", tsv},
                                                     {"a.json", "\n \n" + json},
                                                     {"a.json", "[\n" + json + "]"},
                                                     {"a.NDJSON", json},
                                                     {"a.tsv", json},
                                                     {"a", tern_test::gzip(json)},
                                                     {"a.jsonl", tern_test::gzip(json)},
                                                     {"a.tsv.gz", tsv}}));
  CAPTURE(name, content);
  CHECK(task_file(name).read(content, summary) == examples{{"a =>", "b", {"b"}, -1}});
}

TEST_CASE(
    "bad tab-separated files are refused with the line, what was expected and what stood there",
    "[read_task]") {
  const auto [task, content, expected] = GENERATE(table<tern::text_task, std::string, std::string>({
      {sst2, "",
       ":1: expected a header line with columns 'sentence' and 'label', got an empty file"},
      {sst2, "sentence\tlabel\n", ":2: expected at least one example, got the end of the file"},
      {sst2, "text\tlabel\nx\t1\n",
       ":1: expected a header line with one column 'sentence', got 'text' and 'label'"},
      {sst2, "label\tsentence\tlabel\n1\tx\t1\n",
       ":1: expected a header line with one column 'label', got 'label', 'sentence' and "
       "'label'"},
      {sst2, "sentence\tlabel\nx\t1\ny\tpositive\n",
       ":3: expected label '0' or '1', got 'positive'"},
      {sst2, "sentence\tlabel\nx\t1\ny\n", ":3: expected 2 fields separated by tabs, got 1"},
      {sst2, "sentence\tlabel\nx\ty\t1\n", ":2: expected 2 fields separated by tabs, got 3"},
      {sst2, "sentence\tlabel\nx\t1\nab\xFFy\t1\n",
       ":3: expected UTF-8 text, got an invalid byte at column 3"},
      {mnli, "index\tsentence1\tsentence2\tgold_label\n0\tp\th\t-\n",
       ":2: expected label 'entailment', 'neutral' or 'contradiction', got '-'"},
      {summary, "text\tsummary\nx\t \n",
       ":2: expected an answer '{summary}' of at least one character, got none"},
  }));
  CAPTURE(content);
  CHECK(task_file("f.tsv").error(content, task) == expected);
}

TEST_CASE("bad JSON lines are refused with the line, what was expected and what stood there",
          "[read_task]") {
  const auto [task, content, expected] = GENERATE(table<tern::text_task, std::string, std::string>({
      {summary, "\n", ":1: expected a JSON object on each line, got an empty file"},
      {summary, "[1]", ":1: expected a JSON object, got array"},
      {summary, "\n{}", ":2: expected a JSON object with a key 'text', got {}"},
      {summary, R"({"body": 1, "summary": 2})",
       ":1: expected a JSON object with a key 'text', got 'body' and 'summary'"},
      {summary, R"({"text": null, "summary": 2})",
       ":1: expected a string, a number, true, false or a list of these as value of 'text', got "
       "null"},
      {summary, R"({"text": [[1]], "summary": 2})",
       ":1: expected a list of strings, numbers, true or false as value of 'text', got array"},
      {summary, R"({"text": "x", "summary": []})",
       ":1: expected at least one item in 'summary', got an empty list"},
      {summary, R"({"text": "x", "text": "y", "summary": "s"})",
       ":1: key \"text\" stands twice in one object"},
      {sst2, R"({"sentence": "x", "label": [0, 1]})", ":1: expected one label, got a list of 2"},
  }));
  CAPTURE(content);
  CHECK(task_file("f.jsonl").error(content, task) == expected);
  const auto cut = task_file("f.jsonl").error("{\"text\": \"x\"", summary);
  CHECK(cut.starts_with(":1: not valid JSON: "));
}

TEST_CASE("lists in an answer must be of the same length", "[read_task]") {
  auto task = summary;
  task.answer = "{title}: {summary}";
  task_file file("f.jsonl");
  CHECK(file.read(R"({"text": "x", "title": "t", "summary": ["s", "u"]})", task)[0].references ==
        strings{"t: s", "t: u"});
  CHECK(file.read(R"({"text": "x", "title": ["t", "v"], "summary": ["s", "u"]})", task)[0]
            .references == strings{"t: s", "v: u"});
  CHECK(file.error(R"({"text": "x", "title": ["t", "v"], "summary": ["s", "u", "w"]})", task) ==
        ":1: expected 2 items in 'summary', got 3");
}

TEST_CASE("long texts are shortened between characters in messages", "[read_task]") {
  std::string novel = "It";
  for (int i = 0; i < 200; ++i) novel += "wäs ";
  const auto shortened = task_file("f.tsv").error(novel, sst2);
  CHECK(shortened.size() < 400);
  CHECK(shortened.ends_with("s w..."));
}

TEST_CASE("files that cannot be read are io_errors", "[read_task]") {
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::read_task_file(dir.path() / "none.tsv", sst2), tern::io_error);
  CHECK_THROWS_AS(tern::read_task_file(dir.path(), sst2), tern::io_error);
}

TEST_CASE("without a training file labels are those of the other files", "[read_task]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "dev.tsv", "topic\ttext\nsports\ta run\n");
  tern::write_file(dir.path() / "test.jsonl", R"({"topic": "arts", "text": "a play"})");
  CHECK(tern::with_labels(topics, dir.path()).labels == strings{"arts", "sports"});
}

TEST_CASE("a part that is there in two forms is refused", "[read_task]") {
  const auto second = GENERATE("dev.jsonl", "dev.ndjson", "dev.tsv.gz");
  CAPTURE(second);
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "dev.tsv", "x");
  tern::write_file(dir.path() / second, "x");
  CHECK(tern_test::message_of<tern::config_error>(
            [&] { tern::has_task_part(dir.path(), topics, tern::task_part::dev); }) ==
        "'" + dir.path().string() + "' has both dev.tsv and " + second + ", expected one of them");
}

TEST_CASE("a test part is found under each of its names", "[read_task]") {
  const auto name = GENERATE("test.tsv", "test.tsv.gz", "test.jsonl", "test.ndjson.gz");
  CAPTURE(name);
  const tern_test::scratch_dir dir;
  CHECK_FALSE(tern::has_task_part(dir.path(), topics, tern::task_part::test));
  tern::write_file(dir.path() / name, "x");
  CHECK(tern::has_task_part(dir.path(), topics, tern::task_part::test));
  CHECK_FALSE(tern::has_task_part(dir.path(), sst2, tern::task_part::test));  // has no labels
}

TEST_CASE("labels are the different answers in sorted order", "[read_task]") {
  const tern_test::scratch_dir dir;
  const std::string content =
      "id\ttopic\ttext\n1\tsports\ta goal\n2\tarts\ta play\n3\tsports\ta win\n";
  tern::write_file(dir.path() / "train.tsv", content);
  tern::write_file(dir.path() / "dev.tsv", "topic\ttext\nsports\ta run\n");
  CHECK(tern::read_labels({dir.path() / "train.tsv"}, topics) == strings{"arts", "sports"});
  CHECK_THROWS_AS(tern::read_task_file(dir.path() / "train.tsv", topics), tern::config_error);
  CHECK(tern::with_labels(topics, dir.path()).labels == strings{"arts", "sports"});
  CHECK(tern::read_task_part(dir.path(), topics, tern::task_part::dev) ==
        examples{answered("a run =>", "running", 1)});
  CHECK(tern::with_labels(sst2, dir.path()).labels == sst2.labels);
  CHECK(tern::with_labels(summary, dir.path()).labels.empty());
}

TEST_CASE("the first file of a part that exists counts, packed or not", "[read_task]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "b.tsv", "x");
  tern::write_file(dir.path() / "c.tsv.gz", "x");
  CHECK(tern::find_data_file(dir.path(), {"a.tsv", "b.tsv", "c.tsv"}) == dir.path() / "b.tsv");
  CHECK(tern::find_data_file(dir.path(), {"a.tsv", "c.tsv"}) == dir.path() / "c.tsv.gz");
  CHECK(tern_test::message_of<tern::io_error>([&] {
          tern::find_data_file(dir.path(), {"a.tsv", "d.tsv"});
        }) == "cannot find 'a.tsv' or 'd.tsv' in '" + dir.path().string() + "'");
}

TEST_CASE("parts that a task or a directory lacks", "[read_task]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "dev.tsv", "text\tsummary\na\tb\n");
  CHECK_FALSE(tern::has_task_part(dir.path(), summary, tern::task_part::train));
  CHECK(tern::has_task_part(dir.path(), summary, tern::task_part::dev));
  CHECK_FALSE(tern::has_task_part(dir.path(), summary, tern::task_part::test));
  CHECK(tern::read_task_part(dir.path(), summary, tern::task_part::dev).size() == 1);
  CHECK_THROWS_AS(tern::read_task_part(dir.path(), summary, tern::task_part::train),
                  tern::io_error);
  CHECK_THROWS_AS(tern::read_task_part(dir.path(), summary, tern::task_part::test), tern::io_error);
  CHECK(tern_test::message_of<tern::config_error>([&] {
          tern::read_task_part(dir.path(), sst2, tern::task_part::test);
        }) == "task sst2 has no part test");
  CHECK(tern_test::message_of<tern::io_error>([&] {
          tern::read_task_part(dir.path() / "dev.tsv", sst2, tern::task_part::dev);
        }).ends_with("dev.tsv', which is a file, not a folder"));
}

TEST_CASE("tasks that contradict themselves are refused", "[text_task]") {
  const auto [expected, labels, words, prompt, answer] =
      GENERATE(table<std::string, strings, strings, std::string, std::string>({
          {"at least two labels, got 1", {"a"}, {"a"}, "{x}", "{y}"},
          {"at least two labels, got 0", {}, {"a", "b"}, "{x}", "{y}"},
          {"one label word for each label, got 3 words for 2 labels",
           {"a", "b"},
           {"a", "b", "c"},
           "{x}",
           "{y}"},
          {"labels and their words to be different", {"a", "b"}, {"same", "same"}, "{x}", "{y}"},
          {"labels and their words to be different", {"a", "a"}, {"a", "b"}, "{x}", "{y}"},
          {"an answer with a column, such as '{label}', got 'y'", {}, {}, "{x}", "y"},
          {"'}' after '{'", {}, {}, "{x", "{y}"},
      }));
  const tern::text_task task{
      .name = "mine", .prompt = prompt, .answer = answer, .labels = labels, .label_words = words};
  const auto message = tern_test::message_of<tern::config_error>([&] { task.validate(); });
  INFO(message);
  CHECK(message.find("expected " + expected) != std::string::npos);
}

TEST_CASE("the real files", "[read_task][data]") {
  struct expectation {
    std::string directory, task;
    tern::task_part part;
    std::size_t size, references;
    std::string prompt, answer;  // of the first example; the prompt's beginning
  };
  using part = tern::task_part;
  const auto expected = GENERATE(values<expectation>({
      {"glue/SST-2", "sst2", part::train, 67349, 67349,
       "hide new secretions from the parental units it was", "terrible"},
      {"glue/SST-2", "sst2", part::dev, 436, 436,
       "it 's a charming and often affecting journey . it was", "great"},
      {"glue/MNLI", "mnli", part::train, 9881, 9881,
       "The default procedures provide for the sale of all allowances at a single, clearing price "
       "So The default makes sure there isn't more than one sale?",
       "yes"},
      {"glue/MNLI", "mnli", part::dev, 4230, 4230, "Kicked out of the house when", "yes"},
      {"glue/QNLI", "qnli", part::train, 3305, 3305, "The most important tributaries", "no"},
      {"glue/QNLI", "qnli", part::dev, 786, 786,
       "As of that day, the new constitution heralding the Second Republic came into force. Does "
       "this answer: What came into force after the new constitution was herald?",
       "yes"},
      {"cnn_dailymail", "cnn_dailymail", part::train, 150, 150, "By. Associated Press.", ""},
      {"cnn_dailymail", "cnn_dailymail", part::test, 100, 1100, "Paul Merson has restarted", ""},
      {"scitldr/SciTLDR-A", "scitldr", part::train, 1992, 1992, "Due to the success of", ""},
      {"scitldr/SciTLDR-A", "scitldr", part::dev, 619, 1453, "Mixed precision training (MPT)", ""},
  }));
  const auto directory = tern_test::data_file(expected.directory);
  if (directory.empty()) return;
  const auto rows = tern::read_task_part(directory, tern::named_task(expected.task), expected.part);
  INFO(expected.directory);
  CHECK(rows.size() == expected.size);
  std::size_t references = 0;
  for (const auto& row : rows) references += row.references.size();
  CHECK(references == expected.references);
  CHECK(rows[0].prompt.starts_with(expected.prompt));
  if (!expected.answer.empty()) CHECK(rows[0].answer == expected.answer);
}

TEST_CASE("the real unlabelled test file of QNLI is refused", "[read_task][data]") {
  const auto path = tern_test::data_file("glue/QNLI/test.tsv");
  if (path.empty()) return;
  CHECK_THROWS_AS(tern::read_task_file(path, qnli), tern::format_error);
}
