#include "tern/data/named_task.hpp"

#include "tern/metric/text_metric.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("the tasks that are known by name are valid and have metrics that exist",
          "[named_task]") {
  for (const auto& task : tern::named_tasks()) {
    INFO(task.name);
    CHECK_NOTHROW(task.validate());
    CHECK(tern::named_task(task.name).prompt == task.prompt);
    for (const auto& metric : task.metrics) CHECK_NOTHROW(tern::named_text_metric(metric));
  }
}

TEST_CASE("an unknown task is refused with the names of all", "[named_task]") {
  const auto message = tern_test::message_of<tern::config_error>([] { tern::named_task("cola"); });
  CHECK(message.starts_with("unknown task 'cola', expected one of sst2, mnli, "));
  for (const auto& task : tern::named_tasks()) {
    INFO(task.name);
    CHECK(message.find(task.name) != std::string::npos);
  }
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
