// The fields of a configuration that each format holds. Whichever field is changed, the model comes
// back as it was, or it is refused.
#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::message_of;

namespace {

/// A visitor that changes one field, by its number in the list, to another sensible value.
struct field_changer {
  std::size_t wanted;
  std::size_t count = 0;
  std::string changed{};  ///< key of the field

  template <class T>
  void value(const char* key, T& x) {
    if (!take(key)) return;
    if constexpr (std::is_same_v<T, bool>)
      x = !x;
    else if constexpr (std::is_same_v<T, std::string>)
      x = x == "llama" ? "qwen2" : "llama";
    else if constexpr (std::is_same_v<T, std::vector<bool>>)
      x = x.empty() ? T{true, false} : T{};
    else
      x = x == 0 ? T(2) : 2 * x;
  }
  template <class E>
  void choice(const char* key, E& x, enum_names<E> names) {
    if (!take(key)) return;
    x = std::ranges::find_if(names, [&](const auto& name) { return name.second != x; })->second;
  }
  template <class Inner>
  void object(const char*, Inner&& inner) {
    show_fields(*this, inner);
  }
  template <class S>
  void objects(const char*, std::vector<S>&) {}

 private:
  bool take(const char* key) {
    if (count++ != wanted) return false;
    changed = key;
    return true;
  }
};

std::size_t number_of_fields() {
  field_changer none{1000};
  model_config c;
  describe(none, c);
  return none.count;
}

std::vector<std::string> names_of_families() {
  std::vector<std::string> names;
  for (const model_family& family : model_families()) names.push_back(family.defaults.model_type);
  return names;
}

/// The configuration of a tiny model of a family, which every format holds.
model_config smallest(const std::string& family) {
  model_config c = find_family(family)->defaults;
  c.vocab_size = 12;
  c.hidden_size = 16;
  c.intermediate_size = 8;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 4;
  c.max_position_embeddings = 16;
  c.sub_ln_eps = c.rms_norm_eps;
  c.tie_word_embeddings = true;
  c.rope_scaling.factor = 8;  // takes effect as soon as there is a rule
  if (family == "bitnet") c.hidden_act = activation::silu;
  if (family == "gemma3_text") {
    c.query_pre_attn_scalar = c.head_dim;
    c.sliding_layers = {true, false};
    c.sliding_window = 4;
  }
  return c;
}

/// Names of the fields that change nothing in what a trained model of this configuration computes
/// when its linears are stored as floats: these are the rounded weights of a ternary model.
std::vector<std::string_view> without_effect(const model_config& c) {
  std::vector<std::string_view> names{"model_type",      "initializer_range", "quantizer_eps",
                                      "ternary",         "learned_scales",    "scale_group",
                                      "weight_quantizer"};
  if (c.sliding_layers.empty()) names.insert(names.end(), {"sliding_window", "rope_local_theta"});
  if (c.rope_scaling.kind == rope_scaling_kind::none) names.emplace_back("rope_scaling");
  if (c.sub_ln == norm_placement::none) names.emplace_back("sub_ln_eps");
  if (c.query_pre_attn_scalar == c.head_dim || c.query_pre_attn_scalar == 0)
    names.emplace_back("query_pre_attn_scalar");
  return names;
}

}  // namespace

TEST_CASE("config.json brings back every field of every family") {
  const std::string family = GENERATE(from_range(names_of_families()));
  const std::size_t field = GENERATE(range(std::size_t{0}, number_of_fields()));
  model_config c = smallest(family);
  field_changer change{field};
  describe(change, c);
  INFO(family << ", " << change.changed << " changed");
  if (message_of<config_error>([&] { c.validate(); }) != "no error") return;
  CHECK(differing_fields(model_config_from_json(to_json(c, "float32"), "f"), c) ==
        std::vector<std::string>{});
}

TEST_CASE("a GGUF file brings back every field that has an effect, or is refused") {
  const tern_test::scratch_dir dir;
  const std::string family = GENERATE(from_range(names_of_families()));
  const std::size_t field = GENERATE(range(std::size_t{0}, number_of_fields()));
  model_config c = smallest(family);
  field_changer change{field};
  describe(change, c);
  INFO(family << ", " << change.changed << " changed");
  const auto path = dir.path() / "m.gguf";
  const auto refusal = message_of<config_error>([&] {
    decoder<> model(c);
    save_gguf(model, path, {ggml_type::f32, ggml_type::f32});
  });
  INFO(refusal);
  if (refusal != "no error") {
    CHECK_FALSE(std::filesystem::exists(path));
    return;
  }
  CHECK(unheld_fields(differing_fields(load_config(path), c), without_effect(c)) ==
        std::vector<std::string>{});
}

TEST_CASE("a GGUF file of an unchanged family is not refused") {
  const std::string family = GENERATE("qwen3", "qwen2", "llama", "gemma3_text", "bitnet");
  INFO(family);
  CHECK(gguf_architecture_for(smallest(family)).model_type == family);
}
