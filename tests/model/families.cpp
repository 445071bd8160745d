// Every family is compared with Hugging Face transformers: logits of all tokens, loss and gradients
// of tiny models that transformers wrote (tests/oracle/families.py), and ternary checkpoints in the
// three conventions of `bitnet`. Stage 1 and the way to a file and back are tested, too.
#include <cmath>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/quant/half.hpp"
#include "tests/message.hpp"
#include "tests/model/reference.hpp"

using namespace tern;
using namespace tern_test;

TEST_CASE("logits, loss and gradients of each family are those of transformers") {
  const std::string family = GENERATE("qwen2", "llama", "gemma3", "bitnet");
  INFO(family);
  const problem p(oracle_folder(family + "_tiny"));
  auto model = load_model<decoder<>>(oracle_folder(family + "_tiny"));
  compare(model, p, "full", 1e-5, {});
}

TEST_CASE("what the name of a family says, and its config.json") {
  const auto config = [](const char* name) {
    return read_model_config(oracle_folder(name) / "config.json");
  };
  const model_config qwen2 = config("qwen2_tiny"), llama = config("llama_tiny"),
                     gemma = config("gemma3_tiny"), bitnet = config("bitnet_tiny");
  CHECK((qwen2.attention_bias && !qwen2.output_bias && !qwen2.qk_norm));
  CHECK(qwen2.sliding_layers == std::vector<bool>{false, true});
  CHECK(llama.rope_scaling == rope_scaling{rope_scaling_kind::llama3, 4, 1, 4, 32});
  CHECK((!llama.attention_bias && !llama.qk_norm && !llama.tie_word_embeddings));
  CHECK((gemma.unit_offset && gemma.output_norms && gemma.scaled_embedding && gemma.qk_norm));
  CHECK(gemma.sliding_layers == std::vector<bool>{true, true, false});
  CHECK((gemma.rope_theta == 1000 && gemma.rope_local_theta == 100));
  CHECK((bitnet.ternary && bitnet.sub_ln == norm_placement::subln && bitnet.sub_ln_eps == 1e-5));
}

TEST_CASE("packed checkpoints compute with the stored codes and scales") {
  const std::string name =
      GENERATE("bitnet_offline_tiny", "bitnet_llama_tiny", "bitnet_qwen2_tiny");
  INFO(name);
  const problem p(oracle_folder(name));
  auto model = load_model<>(oracle_folder(name));
  const matrix<float> packed = logits(model, p.batch);
  CHECK(difference<float>(packed, p.expected.at("full.logits")) < 1e-5);

  // The masters that are restored quantize to the same codes, and to the scales within a rounding.
  const auto gate = model.layers()[0].gate.packed;
  REQUIRE(gate);
  restore_masters(model);
  CHECK((logits(model, p.batch) - packed).cwiseAbs().maxCoeff() < 1e-5);
  const auto w = std::as_const(model.layers()[0].gate.weight).view();
  matrix<std::int8_t> codes(24, 16), stored(24, 16);
  float scale = 0;
  model.weight_quantizer().quantize<float>(w, codes, matrix_view<float>(&scale, 1, 1));
  gate->visit([&](const auto& deployed) {
    unpack(deployed.packed, {stored.data(), 24, 16});
    CHECK(scale == Approx(deployed.scales()(0, 0)).epsilon(1e-6));
  });
  CHECK(codes == stored);
}

TEST_CASE("stage 1 applies to every family") {
  const scratch_dir scratch;
  const std::string family = GENERATE("qwen2", "qwen3", "llama", "gemma3");
  INFO(family);
  const problem p(oracle_folder(family + "_tiny"));
  auto model = load_model<>(oracle_folder(family + "_tiny"));
  insert_sub_ln(model);
  make_ternary(model);
  // This is steepest descent with the straight-through gradient.
  model.train(true);
  objective<float> loss;
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    tape<float> t;
    const auto h = model.hidden(t, p.batch);
    last = loss.record(t, h, model.head().variable(), p.targets).total;
    if (step == 0) first = last;
    t.backward();
    model.for_each_parameter([](auto& each) {
      each.value -= 0.05f * each.grad;
      each.grad.setZero();
    });
  }
  CHECK(last < 0.8 * first);

  model.for_each_parameter([&](auto& each) {  // the file stores these as F16
    for (float& x : each.value.reshaped())
      if (each.is_vector() || &each == &model.head() || each.name == "model.embed_tokens.weight")
        x = from_f16(to_f16(x));
  });
  save_model(model, scratch.path() / "d", storage::deployed);
  auto deployed = load_model<>(scratch.path() / "d");
  REQUIRE(deployed.layers()[1].down.packed);
  CHECK(logits(deployed, p.batch) == logits(model, p.batch));
}

TEST_CASE("each family comes back from a file as it was") {
  const scratch_dir scratch;
  const std::string family = GENERATE("qwen2", "llama", "gemma3", "bitnet");
  INFO(family);
  const problem p(oracle_folder(family + "_tiny"));
  auto model = load_model<>(oracle_folder(family + "_tiny"));
  save_model(model, scratch.path(), storage::master);
  auto again = load_model<>(scratch.path());
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(logits(again, p.batch) == logits(model, p.batch));
}

TEST_CASE("a configuration that would compute something else is refused by its key") {
  const auto [family, change, message] = GENERATE(table<std::string, std::string, std::string>({
      {"gemma3", R"({"final_logit_softcapping": 30.0})",
       "'final_logit_softcapping': expected null"},
      {"gemma3", R"({"attn_logit_softcapping": 50.0})", "'attn_logit_softcapping': expected null"},
      {"gemma3", R"({"use_bidirectional_attention": true})",
       "'use_bidirectional_attention': expected false"},
      {"gemma3", R"({"layer_types": ["full_attention"]})", "'layer_types': expected 3 of them"},
      {"gemma3", R"({"layer_types": ["full_attention", "chunked_attention", "full_attention"]})",
       "'layer_types': expected full_attention or sliding_attention, got chunked_attention"},
      {"gemma3", R"({"sliding_window": 0})", "'sliding_window': expected a positive integer"},
      {"gemma3",
       R"({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2}}})",
       "'rope_parameters.sliding_attention.rope_type': expected default"},
      {"gemma3", R"({"num_key_value_heads": 3})",
       "config: num_attention_heads (4) must be a multiple"},
      {"gemma3", R"({"num_hidden_layers": 1000000000000, "layer_types": null})",
       "'num_hidden_layers': expected at most 65536"},
      {"llama", R"({"mlp_bias": true})", "'mlp_bias': expected false"},
      {"llama", R"({"rope_parameters": {"rope_type": "yarn"}})",
       "'rope_parameters.rope_type': expected one of default, linear, llama3, got \"yarn\""},
      {"llama", R"({"rope_parameters": {"partial_rotary_factor": 0.5}})",
       "'rope_parameters.partial_rotary_factor': expected 1"},
      {"llama", R"({"rope_parameters": null, "rope_scaling": {"type": "dynamic", "factor": 2}})",
       "'rope_scaling.type': expected one of"},
      {"llama", R"({"rope_parameters": {"factor": null}})", "'rope_parameters.factor': expected a"},
      {"llama", R"({"rope_parameters": {"low_freq_factor": 4}})",
       "rope_scaling: llama3 needs 0 < low_freq_factor < high_freq_factor"},
      {"llama", R"({"architectures": ["LlamaForSequenceClassification"]})",
       "'architectures': expected LlamaForCausalLM, got LlamaForSequenceClassification"},
      {"llama", R"({"model_type": null, "architectures": ["MambaForCausalLM"]})",
       "'architectures': expected one of Qwen3ForCausalLM,"},
      {"qwen2", R"({"use_sliding_window": false})",
       "'layer_types': expected full_attention where use_sliding_window is false"},
      {"bitnet", R"({"quantization_config": {"use_rms_norm": true}})",
       "'quantization_config.use_rms_norm': expected false in this family"},
      {"bitnet", R"({"quantization_config": {"linear_class": "linear"}})",
       "'quantization_config.linear_class': expected one of bitlinear, autobitlinear"},
      {"bitnet", R"({"quantization_config": {"modules_to_not_convert": ["model.layers.0"]}})",
       "'quantization_config.modules_to_not_convert': expected lm_head"},
  }));
  INFO(family << " with " << change);
  auto json = read_json(oracle_folder(family + "_tiny") / "config.json");
  json.merge_patch(nlohmann::json::parse(change));
  const auto what = message_of<config_error>([&] { model_config_from_json(json, "c.json"); });
  INFO(what);
  CHECK(what.find(message) != std::string::npos);
}

TEST_CASE("a configuration may leave out what its family says") {
  const auto [family, change] = GENERATE(table<std::string, std::string>({
      {"llama", R"({"model_type": null})"},
      {"qwen2", R"({"layer_types": null, "max_window_layers": 2})"},
  }));
  INFO(family << " with " << change);
  auto json = read_json(oracle_folder(family + "_tiny") / "config.json");
  json.merge_patch(nlohmann::json::parse(change));
  CHECK_NOTHROW(model_config_from_json(json, "c.json"));
}

TEST_CASE("weights that do not fit the configuration are named") {
  const auto [family, change, message] = GENERATE(table<std::string, std::string, std::string>({
      {"qwen2", R"({"model_type": "llama", "architectures": null})",
       "k_proj.bias': has no place in a model of model_type llama"},
      {"qwen2", R"({"tie_word_embeddings": true})",
       "'lm_head.weight': differs from the embedding, but config.json ties the two"},
      {"qwen2", R"({"vocab_size": 1000000000000})", "million weights, the files hold 0.0"},
      {"qwen2", R"({"intermediate_size": 1000000000000})", "million weights, the files hold 0.0"},
      {"qwen2", R"({"head_dim": 1000000000000})", "million weights, the files hold 0.0"},
      {"qwen2", R"({"max_position_embeddings": 1000000000000000})", "no error"},
      {"gemma3", R"({"tie_word_embeddings": false})", "no tensor 'lm_head.weight'"},
      {"gemma3", R"({"num_hidden_layers": 4, "layer_types": null})", "no tensor 'model.layers.3"},
      {"bitnet", R"({"quantization_config": {"quantization_mode": "offline"}})",
       "q_proj.weight': is not packed"},
      {"bitnet_offline", R"({"quantization_config": {"quantization_mode": "online"}})",
       "q_proj.weight': is packed"},
  }));
  INFO(family << " with " << change);
  const scratch_dir scratch;
  const auto from = oracle_folder(family + "_tiny"), to = scratch.path() / family;
  std::filesystem::copy(from, to);
  auto json = read_json(from / "config.json");
  json.merge_patch(nlohmann::json::parse(change));
  write_json(to / "config.json", json);
  const auto what = message_of([&] { load_model<>(to); });
  INFO(what);
  CHECK(what.find(message) != std::string::npos);
}

TEST_CASE("real configurations of other families are understood") {
  const auto qwen = data_file("configs/Qwen2.5-0.5B/config.json"),
             gemma = data_file("configs/gemma-3-1b.transcribed/config.json");
  if (qwen.empty() || gemma.empty()) return;
  const model_config q = read_model_config(qwen), g = read_model_config(gemma);
  CHECK((q.attention_bias && q.sliding_layers.empty() && q.head_dim == 64));
  CHECK((g.tie_word_embeddings && g.sliding(4) && !g.sliding(5) && g.sliding_window == 512));
  CHECK(g.attention_scale() == 1.0 / 16);
}
