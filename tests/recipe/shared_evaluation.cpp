// Ranks that share the examples of an evaluation: the row is that of one process.
#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "tern/recipe/pipeline.hpp"
#include "tests/message.hpp"
#include "tests/rank_threads.hpp"
#include "tests/recipe/byte_tokenizer.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// Twenty examples with answers in free text. `references` are the right answers, if any.
task_data free_text_task(const std::vector<std::string>& references = {}) {
  task_texts texts;
  texts.task = {.name = "x", .prompt = "{a}", .answer = "{b}", .metrics = {"rouge1", "bleu"}};
  for (std::size_t i = 0; i < 20; ++i) {
    const std::string answer = "answer " + std::to_string(i);
    texts.train.push_back({std::string(1 + i % 7, static_cast<char>('a' + i)), answer, {answer}});
  }
  texts.dev = texts.train;
  for (std::size_t i = 0; i < references.size(); ++i) texts.dev[i].references = {references[i]};
  return tokenize_task(texts, tern_test::byte_tokenizer(),
                       {.prompt_tokens = 24, .answer_tokens = 6});
}

/// A stage that deploys packed weights.
recipe ternary_stage() {
  recipe r;
  r.model = tern_test::small_config(tern_test::byte_tokenizer().vocab_size());
  stage s;
  s.name = "student";
  s.row = "Student";
  s.from = "new";
  s.data = stage_data::task;
  s.losses = loss_options::with(cross_entropy_options{});
  s.optimizer.rules = {adamw_options{}, {}};
  s.steps = 2;
  s.sequences = 2;
  s.edits.make_ternary = true;
  r.stages = {s};
  return r;
}

/// Asks to stop as soon as the stage is measured.
struct stopping : run_observer {
  explicit stopping(bool stops) : stops_(stops) {}
  void on_end(const stage&) override { ended = true; }
  bool stop_requested() override { return stops_ && ended; }
  static inline std::atomic<bool> ended = false;

 private:
  bool stops_;
};

std::vector<result_row> run(const std::filesystem::path& path, const task_data& data,
                            run_observer& observer, reducer& ranks) {
  const recipe r = ternary_stage();
  std::optional<run_directory> directory;
  if (ranks.rank() == 0) directory.emplace(path, write_fields(r));
  return pipeline<>(r, data, tern_test::byte_tokenizer(), directory ? &*directory : nullptr,
                    observer, {}, ranks)
      .run();
}

}  // namespace

TEST_CASE("ranks share the examples of an evaluation, and the row is that of one process") {
  const tern_test::scratch_dir scratch;
  run_observer observer;
  run(scratch.path() / "alone", free_text_task(), observer, one_rank());
  auto model = load_model<decoder<>>(scratch.path() / "alone" / "models" / "student");
  auto answers =
      evaluate(model, free_text_task(), free_text_task().dev, tern_test::byte_tokenizer())
          .predictions;
  for (std::size_t i = 0; i < answers.size(); i += 3) answers[i] = "something else";
  const task_data data = free_text_task(answers);
  const auto expected = run(scratch.path() / "alone", data, observer, one_rank());
  REQUIRE(expected.size() == 1);
  const double rouge = expected[0].metrics.at(0).second;
  CHECK(rouge > 10);
  CHECK(rouge < 80);
  const std::size_t n = GENERATE(2u, 3u, 22u);
  std::vector<std::vector<result_row>> rows(n);
  tern_test::on_ranks(n, [&](reducer& r) {
    run_observer silent;
    rows[r.rank()] = run(scratch.path() / "ranks", data, silent, r);
  });
  REQUIRE(rows[0].size() == 1);
  CHECK(rows[0][0].metrics == expected[0].metrics);
  CHECK(rows[0][0].megabytes == expected[0].megabytes);
  for (std::size_t r = 1; r < n; ++r) CHECK(rows[r].empty());
}

TEST_CASE("a rank that is asked to stop while it answers stops all of them") {
  const tern_test::scratch_dir scratch;
  stopping::ended = false;
  const task_data data = free_text_task();
  std::vector<std::string> messages(3);
  tern_test::on_ranks(3, [&](reducer& r) {
    stopping observer(r.rank() == 2);
    messages[r.rank()] =
        tern_test::message_of<interrupted>([&] { run(scratch.path(), data, observer, r); });
  });
  for (const std::string& m : messages) CHECK(m == "stopped while stage student was measured");
}
