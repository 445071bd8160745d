// Values that transformers computes with a tiny model (tests/oracle), and their comparison with
// those of a decoder.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/checkpoint/load_model.hpp"
#include "tern/distill/objective.hpp"
#include "tern/io/safetensors.hpp"
#include "tests/support.hpp"

namespace tern_test {

using namespace tern;

/// The folder of a model that transformers wrote.
inline std::filesystem::path oracle_folder(const std::string& name) {
  return std::filesystem::path(__FILE__).parent_path().parent_path() / "oracle" / name;
}

/// Token sequences with the next token as the target of each, and the values that are expected.
struct problem {
  safetensors_file expected;
  token_batch batch;
  std::vector<std::int32_t> targets;

  explicit problem(const std::filesystem::path& folder)
      : expected(folder / "expected.safetensors") {
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

/// The largest difference between a matrix and a stored tensor, relative to the tensor's largest
/// value.
template <class T>
double difference(matrix_view<const T> got, const safetensors_tensor& tensor) {
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
matrix<typename Model::scalar> logits_of(Model& model, variable<typename Model::scalar> hidden) {
  using T = typename Model::scalar;
  const matrix_view<const T> head = model.head().view();
  matrix<T> logits = tensor_traits<matrix<T>>::make(hidden.rows(), head.rows);
  gemm<T>(T(1), hidden.value, head.transposed(), logits);
  return logits;
}

/// The logits of every token, without a gradient.
inline matrix<float> logits(decoder<>& model, const token_batch& batch) {
  tape<float> t({}, false);
  return logits_of(model, model.hidden(t, batch));
}

/// Compares logits, loss and all gradients with tensors named "<prefix>.logits", "<prefix>.loss"
/// and
/// "<prefix>.grad.<name>".
template <class Model>
void compare(Model& model, const problem& p, const std::string& prefix, double tolerance,
             executor_ref ex) {
  using T = typename Model::scalar;
  tape<T> t(ex);
  objective<T> loss;
  model.train(true);
  const variable<T> h = model.hidden(t, p.batch);
  CHECK(difference<T>(logits_of(model, h), p.expected.at(prefix + ".logits")) < tolerance);

  const loss_values terms = loss.record(t, h, model.head().variable(), p.targets);
  const double want = read_values<double>(p.expected.at(prefix + ".loss"))[0];
  CHECK(std::abs(terms.total / want - 1) < tolerance);
  t.backward();
  model.for_each_parameter([&](auto& parameter) {
    INFO(prefix << " gradient of " << parameter.name);
    CHECK(difference<T>(parameter.variable().grad,
                        p.expected.at(prefix + ".grad." + parameter.name)) < 10 * tolerance);
  });
}

}  // namespace tern_test
