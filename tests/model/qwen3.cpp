// The decoder against Hugging Face transformers (full precision, float) and against a PyTorch
// transcription of BitDistill's stage 1 (ternary, double): logits, loss and every gradient. Made by
// tests/oracle/qwen3.py.
#include <cmath>
#include <filesystem>
#include <vector>

#include "tern/distill/objective.hpp"
#include "tern/model/checkpoint.hpp"
#include "tern/model/surgery.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

const std::filesystem::path folder =
    std::filesystem::path(__FILE__).parent_path().parent_path() / "oracle" / "qwen3_tiny";

struct problem {
  safetensors_file expected{folder / "expected.safetensors"};
  token_batch batch;
  std::vector<std::int32_t> targets;

  problem() {
    const auto tokens = read_values<std::int32_t>(expected.at("tokens"));
    std::size_t at = 0;
    for (const std::int32_t n : read_values<std::int32_t>(expected.at("lengths"))) {
      const auto sequence = std::span(tokens).subspan(at, static_cast<std::size_t>(n));
      batch.add(sequence);
      targets.insert(targets.end(), sequence.begin() + 1, sequence.end());
      targets.push_back(-100);
      at += sequence.size();
    }
  }
};

/// Largest difference between a matrix and a stored tensor, relative to the tensor's largest value.
template <class T>
double difference(matrix_view<const T> got, const tensor_info& tensor) {
  const auto want = read_values<T>(tensor);
  REQUIRE(want.size() == got.size());
  double worst = 0, scale = 1e-30;
  for (std::size_t r = 0; r < got.rows; ++r)
    for (std::size_t c = 0; c < got.cols; ++c) {
      const double w = static_cast<double>(want[r * got.cols + c]);
      worst = std::max(worst, std::abs(static_cast<double>(got(r, c)) - w));
      scale = std::max(scale, std::abs(w));
    }
  return worst / scale;
}

template <class Model>
void compare(Model& model, const problem& p, const std::string& prefix, double tolerance,
             executor_ref ex) {
  using T = typename Model::scalar;
  tape<T> t(ex);
  objective<T> loss;
  model.train(true);
  const variable<T> h = model.hidden(t, p.batch);
  matrix<T> logits(static_cast<Eigen::Index>(h.rows()), 40);
  gemm<T>(T(1), h.value, model.head().variable().value.transposed(), logits);
  CHECK(difference<T>(logits, p.expected.at(prefix + ".logits")) < tolerance);

  const loss_terms terms = loss.record(t, h, model.head().variable(), p.targets);
  const double want = read_values<double>(p.expected.at(prefix + ".loss"))[0];
  CHECK(std::abs(terms.total / want - 1) < tolerance);
  t.backward();
  model.for_each_parameter([&](auto& parameter) {
    INFO(prefix << " gradient of " << parameter.name);
    CHECK(difference<T>(parameter.variable().grad,
                        p.expected.at(prefix + ".grad." + parameter.name)) < 10 * tolerance);
  });
}

}  // namespace

TEST_CASE("a Qwen3 of transformers: logits and gradients") {
  const problem p;
  auto model = load_model<decoder<>>(folder);
  CHECK(model.config().rope_theta == 10000.0);
  compare(model, p, "full", 1e-5, {});
}

TEST_CASE("ternary Qwen3 with SubLN: logits and straight-through gradients") {
  const problem p;
  auto model = load_model<decoder<matrix<double>>>(folder);
  insert_sub_ln(model);
  make_ternary(model);
  model.for_each_parameter([&](auto& parameter) {
    if (parameter.name.find("sub_norm") != std::string::npos)
      tern::read_row<double>(p.expected.at("gain." + parameter.name), parameter.view().row(0));
  });
  // transformers computes the angles of RoPE in float whatever the model's type: hence 1e-7.
  thread_pool pool(3);
  compare(model, p, "ternary", 1e-7, {});
  compare(model, p, "ternary", 1e-7, pool);
}
