// Writes deployed models that transformers loads. `bitnet FOLDER` writes a folder FOLDER/<case>/
// for each, with the values that its masters compute in expected.safetensors, and one packed model,
// FOLDER/packed/.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/quant/half.hpp"

namespace {

using namespace tern;

constexpr std::size_t tokens = 24;

model_config config_of(const std::string& model_type, norm_placement sub_ln) {
  model_config c = find_family(model_type)->defaults;
  c.vocab_size = 96;
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 16;
  c.rms_norm_eps = 1e-5;
  c.initializer_range = 0.2;
  c.ternary = true;
  c.sub_ln = sub_ln;
  c.quantizer_eps = bitnet_quantizer_eps;  // as transformers defines it
  return c;
}

void write(const std::filesystem::path& folder, const model_config& config) {
  decoder<> model(config);
  model.initialize(7);
  std::uint64_t stream = 100;
  model.for_each_parameter([&](auto& p) {  // gains and biases get values that matter
    if (!p.is_vector()) return;
    const bool bias = p.name.ends_with("bias");
    philox random(7, ++stream);
    for (std::size_t i = 0; i < p.view().cols; ++i)
      p.view()(0, i) = (bias ? 0.0f : 1.0f) + 0.2f * static_cast<float>(random.normal());
  });
  model.for_each_parameter([&](auto& p) {  // the file stores values as F16
    for (float& x : p.value.reshaped()) x = from_f16(to_f16(x));
  });
  save_model(model, folder, storage::deployed);

  token_batch batch;
  std::vector<std::int32_t> ids(tokens);
  for (std::size_t i = 0; i < tokens; ++i) ids[i] = static_cast<std::int32_t>((i * 37 + 5) % 96);
  batch.add(ids);
  tape<float> t({}, false);
  const auto logits = model.logits(t, model.hidden(t, batch));
  safetensors_writer expected;
  expected.add_values<std::int32_t>("tokens", {tokens}, ids);
  const matrix_view<const float> values = logits.value;
  expected.add_values<float>("logits", {values.rows, values.cols},
                             std::span(values.data, values.size()));
  expected.write(folder / "expected.safetensors");
  if (config.sub_ln != norm_placement::none || config.model_type != "qwen3") return;
  pack_ternary<base3>(model);
  save_packed_model(model, folder.parent_path() / "packed");
}

}  // namespace

int main(int, char** argv) {
  const std::filesystem::path root = argv[1];
  for (const char* type : {"qwen3", "qwen2", "llama", "gemma3_text", "bitnet"})
    for (const auto sub_ln : {norm_placement::none, norm_placement::subln, norm_placement::all})
      if (std::string(type) != "bitnet" || sub_ln == norm_placement::subln)
        write(root / (std::string(type) + '-' + name_of(sub_ln, norm_placement_names)),
              config_of(type, sub_ln));
}
