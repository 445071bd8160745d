#include "tern/data/named_task.hpp"

#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("the tasks that are known by name are valid", "[named_task]") {
  const std::string name = GENERATE("sst2", "mnli", "qnli", "cnn_dailymail", "scitldr");
  CAPTURE(name);
  const auto task = tern::named_task(name);
  CHECK(task.name == name);
  CHECK_NOTHROW(task.validate());
}

TEST_CASE("an unknown task is refused with the names of all", "[named_task]") {
  CHECK(tern_test::message_of<tern::config_error>([] { tern::named_task("cola"); }) ==
        "unknown task 'cola', expected sst2, mnli, qnli, cnn_dailymail or scitldr");
}

TEST_CASE("labels are asked in the form that the method was measured with", "[named_task]") {
  const auto [name, prompt, labels, words] =
      GENERATE(table<std::string, std::string, std::vector<std::string>, std::vector<std::string>>(
          {{"sst2", "{sentence} it was", {"0", "1"}, {"terrible", "great"}},
           {"mnli",
            "{sentence1} So {sentence2}?",
            {"entailment", "neutral", "contradiction"},
            {"yes", "maybe", "no"}},
           {"qnli",
            "{sentence} Does this answer: {question}",
            {"entailment", "not_entailment"},
            {"yes", "no"}}}));
  const auto task = tern::named_task(name);
  CHECK(task.prompt == prompt);
  CHECK(task.labels == labels);
  CHECK(task.label_words == words);
}
