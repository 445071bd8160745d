// A run: what is trained when a recipe changes, and what stays.
#include "tern/recipe/pipeline.hpp"

#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "tern/io/text_file.hpp"
#include "tests/message.hpp"
#include "tests/recipe/byte_tokenizer.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

task_data data() {
  task_texts texts;
  texts.task = {.name = "x",
                .prompt = "{a}",
                .answer = "{b}",
                .labels = {"0", "1"},
                .label_words = {"no", "yes"}};
  for (int i = 0; i < 6; ++i) {
    const std::string word = i % 2 == 0 ? "no" : "yes";
    texts.train.push_back({"is " + std::to_string(i) + " odd?", word, {word}, i % 2});
  }
  texts.dev = texts.train;
  texts.documents = {std::string(300, 'a') + " no yes no yes"};
  return tokenize_task(texts, tern_test::byte_tokenizer(), {.prompt_tokens = 24});
}

stage tiny_stage(const char* name, const char* from, stage_data kind, const char* row = "") {
  stage s;
  s.name = name;
  s.from = from;
  s.data = kind;
  s.losses = loss_options::with(cross_entropy_options{});
  s.optimizer.rules = {adamw_options{}, {}};
  s.steps = 3;
  s.sequences = 2;
  s.length = 16;
  s.row = row;
  return s;
}

recipe two_stages() {
  recipe r;
  r.model.vocab_size = tern_test::byte_tokenizer().vocab_size();
  r.model.hidden_size = 16;
  r.model.intermediate_size = 24;
  r.model.num_hidden_layers = 2;
  r.model.num_attention_heads = r.model.num_key_value_heads = 2;
  r.model.head_dim = 8;
  r.model.max_position_embeddings = 32;
  r.stages = {tiny_stage("base", "new", stage_data::corpus),
              tiny_stage("tuned", "base", stage_data::task, "Tuned")};
  return r;
}

/// Notes what happens to each stage.
struct notes : run_observer {
  std::vector<std::string> list;
  std::size_t stop_after = 1000;
  void on_change(const stage& s, const std::string& difference) override {
    list.push_back(s.name + " changed: " + difference);
  }
  void on_begin(const stage& s, const model_config&, std::size_t step) override {
    list.push_back(s.name + (step == 0 ? " trains" : " goes on"));
  }
  void on_skip(const stage& s) override { list.push_back(s.name + " stays"); }
  void on_step(const stage&, const step_report&) override { --stop_after; }
  bool stop_requested() override { return stop_after == 0; }
};

struct outcome {
  std::vector<std::string> notes;
  std::vector<result_row> rows;
};

outcome run(const recipe& r, const std::filesystem::path& path, std::size_t stop_after = 1000,
            const task_data& d = data()) {
  run_directory directory(path, write_fields(r));
  notes seen;
  seen.stop_after = stop_after;
  try {
    auto rows = pipeline<>(r, d, tern_test::byte_tokenizer(), directory, seen).run();
    return {seen.list, std::move(rows)};
  } catch (const interrupted&) {
    return {seen.list, {}};
  }
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

using words = std::vector<std::string>;

}  // namespace

TEST_CASE("a finished run trains nothing and has the same rows") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  const auto first = run(two_stages(), path), again = run(two_stages(), path);
  CHECK(first.notes == words{"base trains", "tuned trains"});
  CHECK(again.notes == words{"base stays", "tuned stays"});
  REQUIRE(again.rows.size() == 1);
  CHECK(row_to_json(again.rows[0]) == row_to_json(first.rows[0]));
}

TEST_CASE("a row is measured anew where the references have changed") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  const auto first = run(two_stages(), path);
  REQUIRE(first.rows.at(0).metrics.at(0).second < 100);
  task_data every_answer_is_right = data();
  for (auto& list : every_answer_is_right.dev.references) list = {"no", "yes"};
  const auto again = run(two_stages(), path, 1000, every_answer_is_right);
  CHECK(again.notes == words{"base stays", "tuned stays"});
  CHECK(again.rows.at(0).metrics == metric_values{{"accuracy", 100.0}});
}

TEST_CASE("a row that is added is the only one that trains") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run(two_stages(), path);
  auto r = two_stages();
  r.stages.push_back(tiny_stage("ternary", "base", stage_data::task, "Ternary"));
  r.stages.back().edits.make_ternary = true;
  const auto more = run(r, path);
  CHECK(more.notes == words{"base stays", "tuned stays", "ternary trains"});
  CHECK(more.rows.size() == 2);
}

TEST_CASE("quantization is turned on step by step, and then stays") {
  stage s = tiny_stage("a", "new", stage_data::task);
  s.steps = 8;
  CHECK(quantization_of_step(s, 0) == 1);
  s.quantization_warmup = 0.5;
  CHECK(quantization_of_step(s, 0) == 0);
  CHECK(quantization_of_step(s, 1) == 0.25);
  CHECK(quantization_of_step(s, 4) == 1);
  CHECK(quantization_of_step(s, 7) == 1);

  const tern_test::scratch_dir scratch;
  auto r = two_stages();
  r.stages.push_back(tiny_stage("ternary", "base", stage_data::task, "Ternary"));
  r.stages.back().edits.make_ternary = true;
  const auto weights = [&](double warmup, const char* name) {
    r.stages.back().quantization_warmup = warmup;
    run(r, scratch.path() / name);
    return read_file(scratch.path() / name / "stages/ternary/model.safetensors");
  };
  CHECK(weights(0, "at-once") != weights(1, "slowly"));
}

TEST_CASE("a teacher of 8 bits teaches nearly the same") {
  const tern_test::scratch_dir scratch;
  auto r = two_stages();
  r.stages.push_back(tiny_stage("student", "base", stage_data::task));
  r.stages[2].teacher = "tuned";
  r.stages[2].losses = loss_options::with(logits_term_options{});
  const auto weights = [&](std::size_t bits) {
    r.stages[2].teacher_bits = bits;
    const auto path = scratch.path() / std::to_string(bits);
    run(r, path);
    auto model = load_model<>(path / "stages/student");
    return matrix<float>(model.layers()[0].up.weight.value);
  };
  const matrix<float> exact = weights(32), rounded = weights(8);
  CHECK(exact != rounded);
  CHECK((exact - rounded).norm() < 0.01f * exact.norm());
}

TEST_CASE("what a teacher said is kept while a stage runs, and changes no bit") {
  const tern_test::scratch_dir scratch;
  auto r = two_stages();
  r.stages.push_back(tiny_stage("student", "base", stage_data::task));
  r.stages[2].teacher = "tuned";
  r.stages[2].losses = loss_options::with(cross_entropy_options{}, logits_term_options{});
  r.stages[2].steps = 8;  // of 2 examples each, and there are 6
  const auto file = scratch.path() / "kept/stages/student.teacher";
  run(r, scratch.path() / "kept", 6 + 5);
  CHECK(std::filesystem::file_size(file) > 1000);
  run(r, scratch.path() / "kept");
  CHECK_FALSE(std::filesystem::exists(file));
  r.stages[2].teacher_cache = 0;
  run(r, scratch.path() / "not", 6 + 5);
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "not/stages/student.teacher"));
  run(r, scratch.path() / "not");
  const auto weights = [&](const char* folder) {
    return bytes_of(scratch.path() / folder / "stages/student/model.safetensors");
  };
  CHECK_FALSE(weights("not").empty());
  CHECK(weights("kept") == weights("not"));
  // The recipe of the first run with another cache: nothing trains.
  CHECK(run(r, scratch.path() / "kept").notes ==
        words{"base stays", "tuned stays", "student stays"});
}

TEST_CASE("a stage that changes trains anew, and so do those that start from it") {
  struct row {
    const char* name;
    void (*change)(recipe&);
    words want;
  };
  const auto r = GENERATE(values<row>({
      {"steps of the first",
       [](recipe& x) { x.stages[0].steps = 2; },
       {"base changed: stage.steps", "base trains", "tuned changed: from.stage.steps",
        "tuned trains"}},
      {"seed of the second",
       [](recipe& x) { x.stages[1].seed = 5; },
       {"base stays", "tuned changed: stage.seed", "tuned trains"}},
      {"a weight",
       [](recipe& x) { std::get<0>(x.stages[1].losses.terms)->weight = 2; },
       {"base stays", "tuned changed: stage.losses.cross_entropy.weight", "tuned trains"}},
      {"width of the model",
       [](recipe& x) { x.model.intermediate_size = 32; },
       {"base changed: from.new.intermediate_size", "base trains",
        "tuned changed: from.from.new.intermediate_size", "tuned trains"}},
      {"the log", [](recipe& x) { x.stages[1].log_every = 1; }, {"base stays", "tuned stays"}},
      {"the row", [](recipe& x) { x.stages[1].row = "Other"; }, {"base stays", "tuned stays"}},
  }));
  INFO(r.name);
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run(two_stages(), path);
  auto changed = two_stages();
  r.change(changed);
  const auto again = run(changed, path);
  CHECK(again.notes == r.want);
  CHECK(again.rows.at(0).method == changed.stages[1].row);
  // The changed recipe makes the same weights in a new directory.
  run(changed, scratch.path() / "fresh");
  CHECK(bytes_of(path / "stages/tuned/model.safetensors") ==
        bytes_of(scratch.path() / "fresh/stages/tuned/model.safetensors"));
}

TEST_CASE("a deployed model belongs to the weights that it was made from") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run(two_stages(), path);
  std::filesystem::remove_all(path / "stages/tuned");
  auto changed = two_stages();
  changed.stages[1].learning_rate = 0.5;
  run(changed, path);
  run(changed, scratch.path() / "fresh");
  CHECK(bytes_of(path / "models/tuned/model.safetensors") ==
        bytes_of(scratch.path() / "fresh/models/tuned/model.safetensors"));
}

TEST_CASE("a fingerprint that is damaged counts as changed") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run(two_stages(), path);
  write_file(path / "stages/tuned/fingerprint.json", "null");
  CHECK(run(two_stages(), path).notes ==
        words{"base stays", "tuned changed: fingerprint", "tuned trains"});
}

TEST_CASE("a stage that was stopped goes on, unless it has changed") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  CHECK(run(two_stages(), path, 5).notes == words{"base trains", "tuned trains"});
  auto changed = two_stages();
  SECTION("unchanged") { CHECK(run(changed, path).notes == words{"base stays", "tuned goes on"}); }
  SECTION("changed") {
    changed.stages[1].learning_rate = 0.5;
    CHECK(run(changed, path).notes == words{"base stays", "tuned trains"});
  }
  run(changed, scratch.path() / "fresh");
  CHECK(bytes_of(path / "stages/tuned/model.safetensors") ==
        bytes_of(scratch.path() / "fresh/stages/tuned/model.safetensors"));
}

namespace {

/// Three stages; the last learns from the second, at this layer, or at one that is to be chosen.
recipe with_student(std::optional<int> layer) {
  auto r = two_stages();
  r.stages.push_back(tiny_stage("student", "base", stage_data::task));
  r.stages[2].teacher = "tuned";
  r.stages[2].log_every = 1;
  relation_term_options relations;
  relations.form.split_heads = 2;
  relations.layers.layer = layer;
  r.stages[2].losses = loss_options::with(cross_entropy_options{}, relations);
  return r;
}

/// The lines of a run's log that say which layers were chosen.
std::vector<nlohmann::json> choices_in(const std::filesystem::path& run) {
  std::vector<nlohmann::json> found;
  std::ifstream in(run / "metrics.jsonl");
  for (std::string line; std::getline(in, line);)
    if (auto json = nlohmann::json::parse(line); json.contains("layers")) found.push_back(json);
  return found;
}

}  // namespace

TEST_CASE("a stage trains at the layer that was chosen before, and goes on at it") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "auto";
  CHECK(run(with_student({}), path, 6 + 2).notes ==
        words{"base trains", "tuned trains", "student trains"});
  CHECK(run(with_student({}), path).notes == words{"base stays", "tuned stays", "student goes on"});
  const auto lines = choices_in(path);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].at("stage") == "student");
  const auto& found = lines[0].at("layers").at("relations");
  const auto agreement = found.at("agreement").get<std::vector<double>>();
  const auto chosen = found.at("chosen").get<std::size_t>();
  REQUIRE(agreement.size() == 2);
  CHECK(found.at("error").size() == 2);
  CHECK(agreement[chosen] >= agreement[1 - chosen]);
  const auto weights = [&](std::optional<int> layer, const char* name) {
    run(with_student(layer), scratch.path() / name);
    return bytes_of(scratch.path() / name / "stages/student/model.safetensors");
  };
  const std::string trained = bytes_of(path / "stages/student/model.safetensors");
  CHECK(trained == weights(static_cast<int>(chosen), "chosen"));
  CHECK(trained != weights(static_cast<int>(1 - chosen), "other"));
  // A finished stage is not chosen for again.
  CHECK(run(with_student({}), path).notes == words{"base stays", "tuned stays", "student stays"});
  CHECK(choices_in(path).size() == 1);
}

TEST_CASE("a stage that begins anew has the lines of the new choice alone") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "run";
  run(with_student({}), path);
  auto changed = with_student({});
  changed.stages[2].seed = 7;
  run(changed, path);
  CHECK(choices_in(path).size() == 1);
}

TEST_CASE("a layer that no other loss can choose is refused") {
  auto r = with_student({});
  std::get<0>(r.stages[2].losses.terms).reset();
  CHECK(tern_test::message_of<config_error>([&] { validate(r); }) ==
        "stage student: losses.relations.layer: \"auto\" compares the layers by another loss, and "
        "there is none");
}
