// Models in GGUF files. Every family comes back bit for bit, ternary weights come back code for
// code, rows have llama.cpp's order, and what does not fit is refused.
#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/quant/half.hpp"
#include "tests/message.hpp"
#include "tests/model/reference.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// A random model; gains and biases are multiples of 2^-10, so that Gemma's 1 + w is exact.
decoder<> random_model(const model_config& c) {
  decoder<> model(c);
  model.initialize(3);
  philox random(8);
  model.for_each_parameter([&](auto& p) {
    if (p.is_vector())
      for (float& x : p.value.reshaped())
        x = 1 + std::round(100 * static_cast<float>(random.normal())) / 1024;
  });
  return model;
}

/// The configuration of a family's tiny model, with windows only where GGUF has them.
model_config tiny(const std::string& family) {
  model_config c = read_model_config(oracle_folder(family + "_tiny") / "config.json");
  c.initializer_range = 0.02;  // GGUF does not store it
  c.ternary = false;
  c.query_pre_attn_scalar = 0;
  if (family == "gemma3")
    c.query_pre_attn_scalar = c.head_dim;
  else
    c.sliding_layers.clear(), c.sliding_window = 0;
  return c;
}

model_config bitnet(activation act = activation::silu) {
  model_config c = find_family("bitnet")->defaults;
  c.vocab_size = 40;
  c.hidden_size = 256;
  c.intermediate_size = 512;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 64;
  c.hidden_act = act;
  c.tie_word_embeddings = true;
  c.ternary = true;
  c.sub_ln_eps = c.rms_norm_eps;
  return c;
}

matrix<float> logits_of_two(decoder<>& model) {
  tape<float> t({}, false);
  token_batch batch;
  batch.add(std::vector<std::int32_t>{1, 30, 7, 7, 0});
  batch.add(std::vector<std::int32_t>{12, 2, 5});
  const auto y = model.logits(t, model.hidden(t, batch)).value;
  return Eigen::Map<matrix<float>>(y.data, static_cast<Eigen::Index>(y.rows),
                                   static_cast<Eigen::Index>(y.cols));
}

std::string saving_says(const model_config& c, const gguf_storage& storage) {
  const scratch_dir dir;
  decoder<> model(c);
  return message_of<config_error>([&] { save_gguf(model, dir.path() / "m.gguf", storage); });
}

constexpr gguf_storage exact{ggml_type::f32, ggml_type::f32};

/// A file that is copied with changes, and what loading the copy says. `key` and `tensor` copy one
/// of each, `more` adds to the end.
struct changed_file {
  std::function<void(gguf_writer&, const gguf_value&)> key = copy_key;
  std::function<void(gguf_writer&, const gguf_tensor&)> tensor = copy_tensor;
  std::function<void(gguf_writer&)> more = [](gguf_writer&) {};

  static void copy_key(gguf_writer& to, const gguf_value& v) {
    if (const auto text = v.as<std::string>(); text && !v.is_list) to.metadata(v.key, (*text)[0]);
    if (const auto n = v.as<std::uint32_t>(); n && !v.is_list) to.metadata(v.key, (*n)[0]);
    if (const auto x = v.as<float>(); x && !v.is_list) to.metadata(v.key, (*x)[0]);
  }
  static void copy_tensor(gguf_writer& to, const gguf_tensor& t) {
    to.add_bytes(t.name, t.type, t.shape, t.data);
  }

  [[nodiscard]] std::string says(const model_config& c, const gguf_storage& storage) const {
    const scratch_dir dir;
    auto model = random_model(c);
    save_gguf(model, dir.path() / "a.gguf", storage);
    const gguf_file file(dir.path() / "a.gguf");
    gguf_writer to;
    for (const auto& v : file.metadata().values()) key(to, v);
    for (const auto& t : file.tensors()) tensor(to, t);
    more(to);
    to.write(dir.path() / "b.gguf");
    const auto what = message_of([&] { load_model<>(dir.path() / "b.gguf"); });
    const std::size_t name = what.find("b.gguf: ");
    return name == what.npos ? what : what.substr(name + 8);
  }
};

changed_file with_key(const std::string& key, const auto& value) {
  changed_file f;
  f.key = [=](gguf_writer& to, const gguf_value& v) {
    if (v.key == key)
      to.metadata(key, value);
    else
      changed_file::copy_key(to, v);
  };
  return f;
}

changed_file with_new_key(const std::string& key, const auto& value) {
  changed_file f;
  f.more = [=](gguf_writer& to) { to.metadata(key, value); };
  return f;
}

changed_file with_row(const std::string& name) {
  changed_file f;
  f.more = [name, x = std::make_shared<const std::vector<float>>(4)](gguf_writer& to) {
    to.add_row<float>(name, *x);
  };
  return f;
}

changed_file without_tensor(const std::string& name) {
  changed_file f;
  f.tensor = [=](gguf_writer& to, const gguf_tensor& t) {
    if (t.name != name) changed_file::copy_tensor(to, t);
  };
  return f;
}

}  // namespace

TEST_CASE("every family comes back from a GGUF file bit for bit", "[gguf_model]") {
  const scratch_dir dir;
  const std::string family = GENERATE("qwen2", "qwen3", "llama", "gemma3");
  INFO(family);
  auto model = random_model(tiny(family));
  save_gguf(model, dir.path() / "m.gguf", exact);
  CHECK(differing_fields(load_config(dir.path() / "m.gguf"), model.config()).empty());
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(differing_fields(again.config(), model.config()).empty());
  std::vector<matrix<float>> values;
  model.for_each_parameter([&](auto& p) { values.push_back(p.value); });
  std::size_t i = 0;
  again.for_each_parameter([&](auto& p) {
    INFO(p.name);
    CHECK(p.value == values[i++]);
  });
  CHECK(i == values.size());
  CHECK(logits_of_two(again) == logits_of_two(model));
}

TEST_CASE("biases of Llama come back, those of q and k in their order", "[gguf_model]") {
  const scratch_dir dir;
  model_config c = tiny("llama");
  c.attention_bias = c.output_bias = true;
  c.tie_word_embeddings = true;
  auto model = random_model(c);
  save_gguf(model, dir.path() / "m.gguf", exact);
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(differing_fields(again.config(), c).empty());
  CHECK(logits_of_two(again) == logits_of_two(model));
}

TEST_CASE("rows of q and k stand in llama.cpp's order, Gemma's gains with their one",
          "[gguf_model]") {
  const scratch_dir dir;
  auto llama = random_model(tiny("llama")), qwen = random_model(tiny("qwen3")),
       gemma = random_model(tiny("gemma3"));
  const auto stored = [&](decoder<>& model, const char* name) {
    save_gguf(model, dir.path() / "m.gguf", exact);
    const gguf_file file(dir.path() / "m.gguf");
    const auto& t = file.at(name);
    matrix<float> w(static_cast<Eigen::Index>(t.shape.size() == 2 ? t.shape[0] : 1),
                    static_cast<Eigen::Index>(t.shape.back()));
    std::ranges::copy(read_values(t), w.data());
    return w;
  };
  const auto half = static_cast<Eigen::Index>(llama.config().head_dim / 2);
  const auto k = stored(llama, "blk.1.attn_k.weight");
  for (Eigen::Index i = 0; i < half; ++i) {
    CHECK(k.row(2 * half + 2 * i) == llama.layers()[1].k.weight.value.row(2 * half + i));
    CHECK(k.row(2 * half + 2 * i + 1) == llama.layers()[1].k.weight.value.row(3 * half + i));
  }
  CHECK(stored(llama, "blk.1.attn_v.weight") == llama.layers()[1].v.weight.value);
  CHECK(stored(qwen, "blk.1.attn_k.weight") == qwen.layers()[1].k.weight.value);
  auto& behind = *gemma.layers()[0].attention_output_norm;
  CHECK(stored(gemma, "blk.0.post_attention_norm.weight") ==
        (behind.value.array() + 1.0f).matrix());
  CHECK(stored(gemma, "blk.0.ffn_norm.weight") ==
        (gemma.layers()[0].feed_forward_norm.value.array() + 1.0f).matrix());
}

TEST_CASE("ternary weights keep their codes, and their scale as the type has it", "[gguf_model]") {
  const scratch_dir dir;
  const bool packed = GENERATE(false, true);
  const auto storage = GENERATE(gguf_storage{ggml_type::tq1_0, ggml_type::f32},
                                gguf_storage{ggml_type::tq2_0, ggml_type::f32},
                                gguf_storage{ggml_type::i2_s, ggml_type::f32},
                                gguf_storage{ggml_type::i2_s, ggml_type::f32, i2_s_layout::arm});
  const auto act = GENERATE(activation::silu, activation::relu2);
  auto model = random_model(bitnet(act));
  pack_ternary<base3>(model);
  auto masters = random_model(bitnet(act));
  save_gguf(packed ? model : masters, dir.path() / "m.gguf", storage);
  auto again = load_gguf<>(dir.path() / "m.gguf", storage.layout);
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(gguf_file(dir.path() / "m.gguf").metadata().get<std::string>("general.architecture") ==
        (act == activation::silu ? "bitnet" : "bitnet-b1.58"));
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<std::pair<std::vector<std::int8_t>, float>> trits;
    for (auto* m : {&model, &again})
      m->layers()[i].for_each_projection([&](auto& p) {
        REQUIRE(p.packed);
        const detail::trits_of_projection read(*m, p);
        REQUIRE(read.scales.size() == 1);
        trits.emplace_back(read.codes, read.scales[0]);
      });
    REQUIRE(trits.size() == 14);
    for (std::size_t n = 0; n < 7; ++n) {
      CHECK(trits[n].first == trits[n + 7].first);
      const bool exactly = storage.linears == ggml_type::i2_s;
      const float scale = trits[n].second;
      CHECK(trits[n + 7].second == (exactly ? scale : from_f16(to_f16(scale))));
    }
  }
  if (storage.linears == ggml_type::i2_s) CHECK(logits_of_two(again) == logits_of_two(model));
}

TEST_CASE("ternary Llamas, Qwens and Gemmas without SubLN are files too", "[gguf_model]") {
  const scratch_dir dir;
  const std::string family = GENERATE("llama", "qwen2", "qwen3", "gemma3");
  INFO(family);
  model_config c = tiny(family);
  c.hidden_size = c.intermediate_size = 256;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 64;
  c.ternary = true;
  if (family == "gemma3") c.query_pre_attn_scalar = 64;
  auto model = random_model(c);
  pack_ternary<two_bit>(model);
  save_gguf(model, dir.path() / "m.gguf", {ggml_type::i2_s, ggml_type::f32});
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(differing_fields(again.config(), c).empty());
  CHECK(logits_of_two(again) == logits_of_two(model));
}

TEST_CASE("a reader gets the rounded weights of a ternary model", "[gguf_model]") {
  const scratch_dir dir;
  const auto [name, granularity, group,
              type] = GENERATE(table<std::string, scale_granularity, std::size_t, ggml_type>({
      {"one scale, as floats", scale_granularity::none, 0, ggml_type::f32},
      {"a scale for every 64 columns, as floats", scale_granularity::group, 64, ggml_type::f32},
      {"a scale for each row, as trits", scale_granularity::row, 0, ggml_type::tq2_0},
      {"a scale for every 256 columns, as trits", scale_granularity::group, 256, ggml_type::tq1_0},
      {"a scale for each row, in groups of 64", scale_granularity::row, 0, ggml_type::q2_0},
      {"a scale for every 64 columns, as trits", scale_granularity::group, 64, ggml_type::q2_0},
      {"a scale for every 128 columns, as trits", scale_granularity::group, 128, ggml_type::pq2_0},
  }));
  INFO(name);
  // Llama's rows of q and k stand in another order in the file.
  model_config c = bitnet();
  c.model_type = "llama";
  c.sub_ln = norm_placement::none;
  c.hidden_act = activation::silu;
  auto model = random_model(c);
  if (granularity != scale_granularity::none) learn_scales(model, granularity, group);
  const bool packed = GENERATE(false, true);
  if (packed) pack_ternary<base3>(model);
  save_gguf(model, dir.path() / "m.gguf", {type, ggml_type::f32});
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(again.config().ternary == is_ternary(type));
  for (std::size_t i = 0; i < 2; ++i) {
    std::vector<std::vector<float>> read;
    again.layers()[i].for_each_projection([&](auto& p) {
      CHECK(p.packed.has_value() == is_ternary(type));
      matrix<float> w = p.weight.value;
      if (p.packed) {
        w = matrix<float>(p.weight.shape.rows, p.weight.shape.cols);
        p.packed->visit([&](const auto& kept) { dequantize(kept, matrix_view<float>(w)); });
      }
      read.emplace_back(w.data(), w.data() + w.size());
    });
    std::size_t at = 0;
    model.layers()[i].for_each_projection([&](auto& p) {
      detail::trits_of_projection trits(model, p);
      if (is_ternary(type))
        for (float& s : trits.scales) s = from_f16(to_f16(s));
      CHECK(trits.dequantized() == read[at++]);
    });
  }
}

TEST_CASE("ternary tensors keep their codes where one of them has several scales", "[gguf_model]") {
  const scratch_dir dir;
  auto model = random_model(bitnet());
  save_gguf(model, dir.path() / "a.gguf", {ggml_type::tq2_0, ggml_type::f32});
  const gguf_file file(dir.path() / "a.gguf");
  const std::string name = "blk.1.ffn_up.weight";
  std::vector<std::byte> bytes(file.at(name).data.begin(), file.at(name).data.end());
  const bool zeros = GENERATE(false, true);
  // The last block gets another scale, or the scale 0.
  ggml::tq2_0::set_scale(zeros ? 0.0f : 0.25f, bytes.data() + bytes.size() - 66);
  gguf_writer to;
  for (const auto& v : file.metadata().values()) changed_file::copy_key(to, v);
  for (const auto& t : file.tensors())
    t.name == name ? to.add_bytes(name, t.type, t.shape, bytes) : changed_file::copy_tensor(to, t);
  to.write(dir.path() / "b.gguf");
  auto again = load_model<>(dir.path() / "b.gguf");
  CHECK(again.config().ternary);
  CHECK((again.config().learned_scales == scale_granularity::group) == !zeros);
  auto& up = again.layers()[1].up;
  REQUIRE(up.packed.has_value());
  matrix<float> w(512, 256), want(512, 256);
  up.packed->visit([&](const auto& packed) { dequantize(packed, matrix_view<float>(w)); });
  read_matrix<float>(gguf_file(dir.path() / "b.gguf").at(name), want);
  CHECK(w == want);
}

TEST_CASE("types of numbers round as they do", "[gguf_model]") {
  const scratch_dir dir;
  const auto type = GENERATE(ggml_type::f16, ggml_type::bf16, ggml_type::q8_0);
  model_config c = tiny("llama");
  c.hidden_size = 64, c.intermediate_size = 96, c.num_attention_heads = 2;
  c.num_key_value_heads = 1, c.head_dim = 32;
  auto model = random_model(c);
  save_gguf(model, dir.path() / "m.gguf", {type, type});
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(gguf_file(dir.path() / "m.gguf").at("output.weight").type == type);
  CHECK(logits_of_two(again) != logits_of_two(model));
  CHECK((logits_of_two(again) - logits_of_two(model)).cwiseAbs().maxCoeff() <
        0.02f * logits_of_two(model).cwiseAbs().maxCoeff());
}

TEST_CASE("a model that no architecture holds is refused with the reason", "[gguf_model]") {
  using change = std::function<void(model_config&)>;
  const std::string lost = ", which comes nearest, would lose ";
  const auto [name, family, made,
              reason] = GENERATE_COPY(table<std::string, std::string, change, std::string>({
      {"norms of q and k beside SubLN", "bitnet", [](auto& c) { c.qk_norm = true; },
       "bitnet" + lost + "qk_norm;"},
      {"norms before every linear", "bitnet",
       [](auto& c) { c.sub_ln = norm_placement::all, c.hidden_act = activation::relu2; },
       "bitnet-b1.58" + lost + "sub_ln;"},
      {"another eps of norms before every linear", "qwen3",
       [](auto& c) { c.sub_ln = norm_placement::all, c.sub_ln_eps = 1e-5; },
       "qwen3 has one eps for all norms, but this model has sub_ln_eps 1e-05 beside rms_norm_eps "
       "1e-06"},
      {"biases beside SubLN", "bitnet", [](auto& c) { c.attention_bias = true; },
       "bitnet" + lost + "attention_bias;"},
      {"gains of 1 + w beside SubLN", "bitnet", [](auto& c) { c.unit_offset = true; },
       "bitnet" + lost + "unit_offset;"},
      {"another activation", "bitnet", [](auto& c) { c.hidden_act = activation::gelu; },
       "bitnet" + lost + "hidden_act;"},
      {"SubLN in a Qwen3", "qwen3",
       [](auto& c) { c.sub_ln = norm_placement::subln, c.unit_offset = true; },
       "qwen3" + lost + "unit_offset and sub_ln;"},
      {"heads wider than the hidden state", "bitnet", [](auto& c) { c.num_attention_heads = 8; },
       "bitnet needs heads as wide as the hidden state, 256, not 512"},
      {"a head of its own beside SubLN", "bitnet", [](auto& c) { c.tie_word_embeddings = false; },
       "bitnet has no head but the embedding"},
      {"another eps of SubLN", "bitnet", [](auto& c) { c.sub_ln_eps = 1e-3; },
       "bitnet has one eps for all norms"},
      {"llama3's scaling in another family", "bitnet",
       [](auto& c) { c.rope_scaling.kind = rope_scaling_kind::llama3; },
       "bitnet does not know llama3's scaling of RoPE"},
      {"llama3's scaling with other factors", "llama",
       [](auto& c) { c.rope_scaling.high_freq_factor = 8; },
       "llama has llama3's scaling of RoPE with low_freq_factor 1 and high_freq_factor 4"},
      {"another scale of attention scores", "qwen3", [](auto& c) { c.query_pre_attn_scalar = 100; },
       "qwen3 divides scores by the root of 8"},
      {"windows in a Qwen3", "qwen3",
       [](auto& c) { c.sliding_layers.assign(c.num_hidden_layers, true), c.sliding_window = 4; },
       "qwen3 has no windows"},
      {"windows at other layers", "gemma3", [](auto& c) { c.sliding_layers = {false, true, true}; },
       "gemma3 has windows in all layers but every n-th"},
  }));
  INFO(name);
  model_config c = family == "bitnet" ? bitnet() : tiny(family);
  made(c);
  const auto message =
      message_of<config_error>([&, &config = c] { gguf_architecture_for(config); });
  INFO(message);
  CHECK(message.starts_with("no GGUF architecture holds this model: " + reason));
}

TEST_CASE("a type that cannot hold the weights is refused", "[gguf_model]") {
  constexpr gguf_storage tq2{ggml_type::tq2_0, ggml_type::f32};
  model_config odd = bitnet();
  odd.intermediate_size = 300;
  model_config of_groups = bitnet();
  of_groups.learned_scales = scale_granularity::group;
  of_groups.scale_group = 64;
  const auto [name, config, storage, reason] =
      GENERATE_COPY(table<std::string, model_config, gguf_storage, std::string>({
          {"rows that are no whole blocks", odd, tq2,
           "tensor 'blk.0.ffn_down.weight': TQ2_0 needs rows"},
          {"a scale for every 64 columns as one for every 256", of_groups, tq2,
           "'model.layers.0.self_attn.q_proj.weight' has a scale for every 1 x 64 weights, and "
           "TQ2_0 holds one for every 1 x 256; Q2_0 holds them, F16 holds the rounded weights"},
          {"a scale for every 64 columns as one for the matrix",
           of_groups,
           {ggml_type::i2_s, ggml_type::f32},
           "'model.layers.0.self_attn.q_proj.weight' has a scale for every 1 x 64 weights, and "
           "I2_S holds one for every 256 x 256"},
          {"an embedding as trits",
           bitnet(),
           {ggml_type::tq2_0, ggml_type::tq2_0},
           "'model.embed_tokens.weight' is no ternary weight: TQ2_0 cannot hold it"},
          {"numbers as trits", tiny("qwen3"), tq2,
           "linears of a full-precision model are not stored as TQ2_0"},
      }));
  INFO(name);
  const auto message = saving_says(config, storage);
  INFO(message);
  CHECK(message.starts_with(reason));
}

TEST_CASE("a key that no model can have is refused by its name", "[gguf_model]") {
  const auto [name, family, change,
              reason] = GENERATE(table<std::string, std::string, changed_file, std::string>({
      {"an unchanged file", "llama", {}, "no error"},
      {"an unknown architecture", "llama", with_key("general.architecture", std::string("mamba")),
       "key 'general.architecture': expected one of llama, qwen2"},
      {"no layers", "llama", with_key("llama.block_count", 0u),
       "key 'llama.block_count': expected a positive integer, got 0"},
      {"more layers than any model has", "llama", with_key("llama.block_count", 4000000000u),
       "key 'llama.block_count': expected at most 65536, got 4000000000"},
      {"more layers than the file holds", "llama", with_key("llama.block_count", 60000u),
       "its metadata describes"},
      {"wider layers than the file holds", "llama",
       with_key("llama.feed_forward_length", 4000000000u), "its metadata describes"},
      {"keys and values of two widths", "llama", with_key("llama.attention.value_length", 2u),
       "key 'llama.attention.value_length': expected "},
      {"RoPE on a part of the head", "llama", with_key("llama.rope.dimension_count", 2u),
       "key 'llama.rope.dimension_count': expected "},
      {"a negative base of RoPE", "llama", with_key("llama.rope.freq_base", -1.0f),
       "key 'llama.rope.freq_base': expected a positive number"},
      {"heads that cannot share keys", "llama", with_key("llama.attention.head_count_kv", 3u),
       "config: num_attention_heads (4) must be a multiple"},
      {"another context of pretraining", "llama",
       with_key("llama.rope.scaling.original_context_length", 64u),
       "tensor 'rope_freqs.weight': expected the factors of llama3 for a context of 64"},
      {"a mixture of experts", "llama", with_new_key("llama.expert_count", 8u),
       "key 'llama.expert_count': mixtures of experts are not supported"},
      {"an unknown scaling of RoPE", "qwen3", with_new_key("qwen3.rope.scaling.type", "yarn"),
       "key 'qwen3.rope.scaling.type': expected none or linear, got yarn"},
      {"linear scaling beside the factors of llama3", "llama",
       with_new_key("llama.rope.scaling.factor", 2.0f),
       "key 'llama.rope.scaling.type': expected none beside a tensor rope_freqs.weight"},
      {"a cap on logits", "gemma3", with_new_key("gemma3.final_logit_softcapping", 30.0f),
       "key 'gemma3.final_logit_softcapping': caps are not supported"},
  }));
  INFO(name);
  const auto message = change.says(tiny(family), exact);
  INFO(message);
  CHECK(message.starts_with(reason));
}

TEST_CASE("tensors that are not those of the model are refused by name", "[gguf_model]") {
  const auto [name, family, change, reason] =
      GENERATE(table<std::string, std::string, changed_file, std::string>({
          {"another width than the metadata says", "llama", with_key("llama.embedding_length", 8u),
           "tensor 'token_embd.weight': expected"},
          {"no embedding", "llama", without_tensor("token_embd.weight"),
           "no tensor 'token_embd.weight'"},
          {"a norm is missing", "llama", without_tensor("blk.1.ffn_norm.weight"),
           "no tensor 'blk.1.ffn_norm.weight'"},
          {"a norm of Gemma is missing", "gemma3", without_tensor("blk.0.post_ffw_norm.weight"),
           "no tensor 'blk.0.post_ffw_norm.weight'"},
          {"no head, so the embedding is the head", "llama", without_tensor("output.weight"),
           "no error"},
          {"a bias that the model has no place for", "llama", with_row("blk.0.ffn_up.bias"),
           "tensor 'blk.0.ffn_up.bias': has no place in a model of architecture llama"},
      }));
  INFO(name);
  const auto message = change.says(tiny(family), exact);
  INFO(message);
  CHECK(message.starts_with(reason));
}

TEST_CASE("a tokenizer goes with its model", "[gguf_model]") {
  const scratch_dir dir;
  bpe_definition d;
  d.tokens = {"a", "b", " ", " a", "", "\n"};
  d.merges = {{2, 0}};
  d.added = {{"<|im_end|>", 4, true}, {"<u>", 7, false}};
  const auto kind = GENERATE(0, 1, 2);
  if (kind == 1)
    d.prefix = {4}, d.normalizer.clear(), d.whole_words = true,
    d.pretokenizer = detail::gguf_pretokenizers[4].steps();
  if (kind == 2)
    d.suffix = {4}, d.normalizer.clear(), d.pretokenizer = detail::gguf_pretokenizers[1].steps();
  const bpe_tokenizer tokenizer(d);
  model_config c = tiny("qwen3");
  decoder<> model(c);
  save_gguf(model, dir.path() / "m.gguf", exact, &tokenizer);
  const auto again = load_tokenizer(dir.path() / "m.gguf");
  CHECK(again.vocab_size() <= c.vocab_size);
  CHECK(again.definition().merges == d.merges);
  CHECK(again.definition().pretokenizer == d.pretokenizer);
  CHECK(again.definition().normalizer == d.normalizer);
  CHECK((again.definition().prefix == d.prefix && again.definition().suffix == d.suffix));
  CHECK(again.encode("a a<|im_end|><u>b") == tokenizer.encode("a a<|im_end|><u>b"));
  CHECK(again.decode(again.encode("a<u><|im_end|>"), true) == "a<u>");
  const gguf_file file(dir.path() / "m.gguf");
  CHECK(file.metadata().get<int>("tokenizer.ggml.eos_token_id") == 4);
  CHECK(file.metadata().list<std::string>("tokenizer.ggml.tokens").size() == c.vocab_size);

  const auto refuse = [&](const std::function<void(bpe_definition&)>& change) {
    bpe_definition other = d;
    change(other);
    const bpe_tokenizer made(std::move(other));
    return message_of<config_error>([&] { save_gguf(model, dir.path() / "n.gguf", exact, &made); });
  };
  CHECK(
      refuse([](auto& o) { o.whole_words = !o.whole_words; }).starts_with("no tokenizer.ggml.pre"));
  CHECK(refuse([&](auto& o) {
          o.tokens.resize(c.vocab_size, ""), o.tokens.push_back("c");
        }).starts_with("the tokenizer has"));
  CHECK(refuse([](auto& o) { o.prefix = {4, 4}; }).starts_with("GGUF puts one token"));
  CHECK(!std::filesystem::exists(dir.path() / "n.gguf"));
}
