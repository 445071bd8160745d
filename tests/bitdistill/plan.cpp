// The command plan against what runs take.
#include "program.hpp"

using namespace tern_test;

namespace {

/// A recipe with a base and a ternary student of it. `width` is that of the model.
std::string recipe_of(int width, const std::string& student_fields) {
  return R"({"data": {"task": "microworld", "documents": 3000, "train_examples": 8,
                      "dev_examples": 8, "test_examples": 8},
             "model": {"hidden_size": )" +
         std::to_string(width) + R"(, "intermediate_size": )" + std::to_string(3 * width) +
         R"(, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
                       "head_dim": )" +
         std::to_string(width / 4) + R"(, "max_position_embeddings": 128},
             "defaults": {"data": "corpus", "optimizer": {"adamw": {}}, "steps": 2,
                          "losses": {"cross_entropy": {}}, "teacher_cache": 0},
             "stages": [{"name": "base", "length": 16, "sequences": 2},
                        {"name": "student", "from": "base", "length": 96,
                         "edits": {"sub_ln": "subln", "make_ternary": true})" +
         student_fields + "}]}";
}

/// The number in front of "GB" in the line of a stage's part; 0 where there is no such line.
double gigabytes(const std::string& text, const std::string& stage, const std::string& part) {
  bool inside = false;
  for (const auto& line : lines_of(text)) {
    if (!line.starts_with(" ")) inside = line.starts_with(stage + ":");
    if (inside && line.starts_with("  " + part + " "))
      return std::stod(line.substr(line.find_first_of("0123456789")));
  }
  return 0;
}

}  // namespace

TEST_CASE("the memory of a plan is that of the run within a tenth") {
  const auto [name, fields] = GENERATE(table<std::string, std::string>(
      {{"alone", R"(, "sequences": 12)"},
       {"eight-bit moments", R"(, "sequences": 12, "optimizer": {"adamw": {"moments": "int8"}})"},
       {"parts", R"(, "accumulate": 4, "sequences": 3, "parts": 4)"},
       {"taught",
        R"(, "sequences": 12, "teacher": "base", "losses": {"cross_entropy": {}, "logits": {}, "relations": {"split_heads": 4}})"}}));
  INFO(name);
  const scratch_dir scratch;
  const auto run = [&](int width) {
    const fs::path recipe = scratch.path() / (std::to_string(width) + ".json");
    write_text(recipe, recipe_of(width, fields));
    return run_bitdistill({"run", "--threads", "1", "--recipe", recipe.string(), "--out",
                           (scratch.path() / std::to_string(width)).string()});
  };
  const outcome small = run(16), large = run(320);
  INFO(large.err);
  REQUIRE(small.code == 0);
  REQUIRE(large.code == 0);
  const auto plan = [&](const std::string& width) {
    return run_bitdistill(
        {"plan", "--threads", "1", "--recipe", (scratch.path() / (width + ".json")).string()});
  };
  const auto small_plan = plan("16"), large_plan = plan("320");
  INFO(large_plan.out << large_plan.err);
  REQUIRE(large_plan.code == 0);
  const double planned = gigabytes(large_plan.out, "student", "memory") -
                         gigabytes(small_plan.out, "student", "memory");
  const double measured = 1024e-9 * static_cast<double>(large.kilobytes - small.kilobytes);
  CHECK(planned == Approx(measured).epsilon(0.1));
}

TEST_CASE("a plan for several ranks says what each of them keeps and sends") {
  const scratch_dir scratch;
  const fs::path recipe = scratch.path() / "recipe.json";
  write_text(recipe, recipe_of(320, R"(, "sequences": 4, "parts": 4)"));
  const auto plan = [&](const char* ranks) {
    return run_bitdistill({"plan", "--recipe", recipe.string(), "--ranks", ranks}).out;
  };
  const std::string one = plan("1"), four = plan("4");
  const double gradients = gigabytes(one, "student", "gradients");
  CHECK(gigabytes(one, "student", "masters") == Approx(gradients));
  CHECK(gigabytes(one, "student", "moments") == Approx(2 * gradients).margin(0.002));
  CHECK(gigabytes(one, "student", "sums of parts") == Approx(2 * gradients).margin(0.002));
  CHECK(gigabytes(one, "student", "sent") == 0);
  const auto coded = run_bitdistill(
      {"plan", "--recipe", recipe.string(), "--set", "student.optimizer.adamw.moments=int8"});
  CHECK(gigabytes(coded.out, "student", "moments") == Approx(gradients / 2).epsilon(0.05));
  CHECK(gigabytes(four, "student", "gradients") == Approx(gradients));
  CHECK(gigabytes(four, "student", "moments") == Approx(gradients / 2).epsilon(0.1));
  CHECK(gigabytes(four, "student", "sums of parts") == 0);
  CHECK(gigabytes(four, "student", "sent") == Approx(1.5 * gradients).margin(0.002));
}
