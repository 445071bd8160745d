// This is compiled with a model_config that has one field more, `field_of_tomorrow`, and a line for
// it in describe(), but no other change (tests/cmake/new_field.cmake). Nothing may lose the field:
// every exporter refuses a model that has it set, and tern's own folders bring it back.
#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/gguf_architecture_for.hpp"
#include "tern/checkpoint/transformers_config.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/model/model_family.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::message_of;

namespace {

model_config model_of_tomorrow(const std::string& family) {
  model_config c = find_family(family)->defaults;
  c.vocab_size = 12;
  c.hidden_size = c.intermediate_size = 16;
  c.num_hidden_layers = 2;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.head_dim = 4;
  c.tie_word_embeddings = true;
  c.sub_ln_eps = c.rms_norm_eps;
  if (family == "bitnet") c.hidden_act = activation::silu;
  c.field_of_tomorrow = true;
  return c;
}

std::string any_family() { return GENERATE("qwen3", "qwen2", "llama", "gemma3_text", "bitnet"); }

}  // namespace

TEST_CASE("no GGUF architecture holds a field that it was not taught") {
  const std::string family = any_family();
  INFO(family);
  const auto message =
      message_of<config_error>([&] { gguf_architecture_for(model_of_tomorrow(family)); });
  INFO(message);
  CHECK(message.find("would lose field_of_tomorrow;") != message.npos);
}

TEST_CASE("no deployed folder holds a field that it was not taught") {
  const std::string family = any_family();
  INFO(family);
  const auto message =
      message_of<config_error>([&] { transformers_config(model_of_tomorrow(family)); });
  INFO(message);
  CHECK(message.starts_with("a deployed folder cannot hold field_of_tomorrow of this model"));
}

TEST_CASE("a Llama with SubLN and another field does not become another program's bitnet") {
  model_config c = model_of_tomorrow("llama");
  c.ternary = true;
  c.sub_ln = norm_placement::subln;
  CHECK_FALSE(detail::is_bitnet_of_transformers(c));
  c.field_of_tomorrow = false;
  CHECK(detail::is_bitnet_of_transformers(c));
}

TEST_CASE("tern's own config.json brings the field back without being taught") {
  const std::string family = any_family();
  INFO(family);
  const auto json = to_json(model_of_tomorrow(family), "float32");
  CHECK(json.at("tern").at("field_of_tomorrow") == true);
  CHECK(model_config_from_json(json, "config.json").field_of_tomorrow);
}
