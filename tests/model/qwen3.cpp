// The decoder is compared with Hugging Face transformers (full precision, float) and with a PyTorch
// transcription of BitDistill's stage 1 (ternary, double), in logits, loss and every gradient.
// tests/oracle/qwen3.py computes the expected values.
#include "tern/core/thread_pool.hpp"
#include "tern/model/surgery.hpp"
#include "tests/model/reference.hpp"

using namespace tern;
using namespace tern_test;

namespace {

const std::filesystem::path folder = oracle_folder("qwen3_tiny");

}  // namespace

TEST_CASE("a Qwen3 of transformers: logits and gradients") {
  const problem p(folder);
  auto model = load_model<decoder<>>(folder);
  CHECK(model.config().rope_theta == 10000.0);
  compare(model, p, "full", 1e-5, {});
}

TEST_CASE("ternary Qwen3 with SubLN: logits and straight-through gradients") {
  const problem p(folder);
  auto model = load_model<decoder<matrix<double>>>(folder);
  insert_sub_ln(model);
  make_ternary(model);
  model.for_each_parameter([&](auto& parameter) {
    if (parameter.name.find("sub_norm") != std::string::npos)
      tern::read_row<double>(p.expected.at("gain." + parameter.name), parameter.view().row(0));
  });
  // The tolerance is 1e-7, because transformers computes the angles of RoPE in float for every
  // type.
  thread_pool pool(3);
  compare(model, p, "ternary", 1e-7, {});
  compare(model, p, "ternary", 1e-7, pool);
}
