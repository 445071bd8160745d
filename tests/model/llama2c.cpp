// Two trained models: llama2.c's stories260K and bitllama2-3M, which is ternary. Their C programs
// continued a prompt greedily; the decoder must choose the same tokens and agree in the logits.
#include "examples/llama2c.hpp"

#include <fstream>
#include <iterator>

#include "tern/checkpoint/save_model.hpp"
#include "tern/model/surgery.hpp"
#include "tests/model/reference.hpp"

using namespace tern;
using namespace tern_test;

namespace {

constexpr std::size_t prompt = 9;  // <s> Once upon a time, there was a

struct golden {
  token_batch batch;
  matrix<float> logits;

  golden(const std::filesystem::path& folder, std::size_t vocabulary) {
    std::ifstream tokens(folder / "tokens.txt");
    batch.add(std::vector<std::int32_t>(std::istream_iterator<std::int32_t>(tokens), {}));
    logits = tensor_traits<matrix<float>>::make(batch.tokens.size(), vocabulary);
    llama2c::input(folder / "logits.f32").matrix(logits);
  }
};

/// Checks that every token behind the prompt is the most probable one after those before it.
void check_story(const matrix<float>& logits, const token_batch& batch) {
  const auto n = static_cast<Eigen::Index>(batch.tokens.size());
  for (Eigen::Index i = prompt - 1; i + 1 < n; ++i) {
    Eigen::Index best = 0;
    logits.row(i).maxCoeff(&best);
    CHECK(best == batch.tokens[static_cast<std::size_t>(i) + 1]);
  }
}

}  // namespace

TEST_CASE("stories260K tells its story") {
  const auto file = data_file("models/stories260K/stories260K.bin");
  if (file.empty()) return;
  const scratch_dir scratch;
  const golden want(file.parent_path() / "golden", 512);
  auto model = llama2c::read_floats(file);
  const matrix<float> got = logits(model, want.batch);
  check_story(got, want.batch);
  CHECK((got - want.logits).cwiseAbs().maxCoeff() < 1e-3f);
  save_model(model, scratch.path(), storage::master);
  auto converted = load_model<>(scratch.path());
  CHECK(logits(converted, want.batch) == got);
}

TEST_CASE("bitllama2-3M tells its story") {
  const auto file = data_file("models/bitllama2-3M/model.bin");
  if (file.empty()) return;
  const scratch_dir scratch;
  const golden want(file.parent_path() / "golden", 512);
  auto model = llama2c::read_ternary(file);
  const matrix<float> got = logits(model, want.batch), error = (got - want.logits).cwiseAbs();
  check_story(got, want.batch);
  // From the fourth token on, a float sum in another order rounds some activation to the next code.
  // The C program itself, built with -ffast-math, differs from the golden values by 0.23.
  CHECK(error.topRows(3).maxCoeff() < 1e-4f);
  CHECK(error.maxCoeff() < 0.4f);
  restore_masters(model);
  save_model(model, scratch.path(), storage::deployed);
  auto converted = load_model<>(scratch.path());
  check_story(logits(converted, want.batch), want.batch);
}
