// Inputs of a task without labels: rows with the columns of the prompt, or lines of text.
#include "tern/data/read_inputs.hpp"

#include "tern/core/atomic_file.hpp"
#include "tern/data/named_task.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

/// The prompts that a file of this name and content gives.
std::vector<std::string> inputs_of(const std::string& name, const std::string& content,
                                   const std::string& task) {
  const tern_test::scratch_dir scratch;
  tern::write_file(scratch.path() / name, content);
  return tern::read_inputs(scratch.path() / name, tern::named_task(task));
}

}  // namespace

TEST_CASE("inputs without labels are rows, JSON lines or lines of text") {
  using list = std::vector<std::string>;
  const auto [name, content, task, expected] =
      GENERATE(table<std::string, std::string, std::string, list>({
          {"rows", "sentence\tlabel\na film\t1\nno \t7\n", "sst2", {"a film it was", "no it was"}},
          {"rows without label", "sentence\r\na film\r\n", "sst2", {"a film it was"}},
          {"objects", "{\"sentence\": \"a film\"}\n", "sst2", {"a film it was"}},
          {"lines", "a film\n\n \na\ttab\n", "sst2", {"a film it was", "a\ttab it was"}},
          {"pairs", "sentence2\tsentence1\nb\ta\n", "mnli", {"a So b?"}},
      }));
  INFO(name);
  CHECK(inputs_of(name, content, task) == expected);
}

TEST_CASE("a file that holds no inputs of the task is refused") {
  const auto [content, task, message] = GENERATE(table<std::string, std::string, std::string>({
      {"", "sst2", ":1: expected text, got an empty file"},
      {"\n \n", "sst2", ":1: expected text, got an empty file"},
      {"a film\n", "mnli", ":1: expected a header line with one column 'sentence1', got 'a film'"},
      {"{\"text\": \"a\"}\n", "sst2", ":1: expected a JSON object with a key 'sentence'"},
      {"a\xFF\n", "sst2", ":1: expected UTF-8 text"},
  }));
  INFO(content);
  const auto what =
      tern_test::message_of<tern::format_error>([&] { inputs_of("file", content, task); });
  INFO(what);
  CHECK(what.find("file" + message) != what.npos);
}
