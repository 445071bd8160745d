// A config.json in which several keys speak of RoPE means what transformers takes it to mean.
#include <cmath>
#include <string>

#include "tern/checkpoint/config_json.hpp"
#include "tests/message.hpp"
#include "tests/oracle/rope_keys.inc"
#include "tests/support.hpp"

using namespace tern;

namespace {

model_config config_with(const std::string& keys) {
  auto config = parse_json(keys, "keys");
  config.update({{"vocab_size", 32},
                 {"hidden_size", 16},
                 {"intermediate_size", 16},
                 {"num_hidden_layers", 6},
                 {"num_attention_heads", 2},
                 {"num_key_value_heads", 1},
                 {"head_dim", 8},
                 {"max_position_embeddings", 128}});
  return model_config_from_json(config, "c/config.json");
}

std::string refusal(const std::string& keys) {
  return tern_test::message_of<config_error>([&] { config_with(keys); });
}

}  // namespace

TEST_CASE("bases and factors of RoPE are those that transformers takes") {
  for (const rope_case& each : rope_cases) {
    INFO(each.keys);
    const model_config c = config_with(each.keys);
    CHECK(c.rope_theta == each.base);
    CHECK(c.rope_local_theta == each.local);
    CHECK(c.rope_scaling.factor == each.factor);
  }
}

TEST_CASE("rules of RoPE that contradict one another are refused by their keys") {
  const auto [keys, message] = GENERATE(table<std::string, std::string>({
      {R"({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 2},
          "rope_parameters": {"full_attention": {"rope_type": "default"}}})",
       "key 'rope_scaling': expected nothing beside rope_parameters"},
      {R"({"model_type": "gemma3_text", "rope_parameters": {"rope_type": "default"}})",
       "key 'rope_parameters': expected a rule for each kind of layer"},
      {R"({"model_type": "qwen3", "rope_theta": 0})",
       "key 'rope_theta': expected a positive number, got 0"},
      {R"({"model_type": "qwen3", "rope_parameters": {"rope_theta": -1}})",
       "key 'rope_parameters.rope_theta': expected a positive number, got -1"},
  }));
  const auto said = refusal(keys);
  INFO(said);
  CHECK(said.starts_with("c/config.json: " + message));
}

TEST_CASE("a window that is null is no window") {
  const std::string windows = R"({"model_type": "qwen3", "use_sliding_window": true,
                                  "max_window_layers": 3, "sliding_window": )";
  CHECK(config_with(windows + "null}").sliding_layers.empty());
  CHECK(config_with(windows + "7}").sliding_window == 7);
}

TEST_CASE("a window without a width has that of transformers") {
  const auto c =
      config_with(R"({"model_type": "qwen3", "use_sliding_window": true, "max_window_layers": 3})");
  CHECK(c.sliding_window == 4096);
  CHECK((!c.sliding(2) && c.sliding(3)));
}

TEST_CASE("layers with windows need a width") {
  const std::string layers =
      R"("layer_types": ["sliding_attention", "full_attention", "full_attention",
                         "full_attention", "full_attention", "full_attention"])";
  CHECK(refusal(R"({"model_type": "qwen3", "use_sliding_window": true, "sliding_window": null, )" +
                layers + "}") ==
        "c/config.json: key 'layer_types': expected full_attention where sliding_window is null, "
        "got others");
  CHECK(refusal(R"({"model_type": "gemma3_text", "sliding_window": null})") ==
        "c/config.json: key 'sliding_window': expected a positive integer, got null");
}

TEST_CASE("a configuration that contradicts itself is refused with its file") {
  CHECK(refusal(R"({"model_type": "qwen3", "rope_scaling": {"rope_type": "linear", "factor": 0}})")
            .starts_with("c/config.json: "));
}
