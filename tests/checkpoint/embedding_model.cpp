// Models in the two forms of Microsoft's BitNet-Embedding: folders and GGUF files of a Qwen3 and of
// a Gemma 3 with a norm before every linear. tests/oracle/embedding.py computes what the models of
// tests/oracle compute. Files that tern writes in this form come back bit for bit.
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/checkpoint/pooling_files.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/infer/pool.hpp"
#include "tern/io/text_file.hpp"
#include "tern/json/write_json.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/pack/two_bit.hpp"
#include "tests/message.hpp"
#include "tests/model/reference.hpp"

using namespace tern;
using namespace tern_test;

namespace {

namespace fs = std::filesystem;

fs::path embedding_folder(const std::string& family) {
  return oracle_folder("embedding_" + family + "_tiny");
}

/// The texts of a model's oracle as tokens, and the expected values.
struct embedding_problem {
  safetensors_file expected;
  token_batch batch;

  explicit embedding_problem(const fs::path& file) : expected(file) {
    const auto tokens = read_values<std::int32_t>(expected.at("tokens"));
    std::size_t at = 0;
    for (const std::int32_t n : read_values<std::int32_t>(expected.at("lengths"))) {
      batch.add(std::span(tokens).subspan(at, static_cast<std::size_t>(n)));
      at += static_cast<std::size_t>(n);
    }
  }
};

template <class Model>
auto embeddings_of(Model& model, const token_batch& batch) {
  using T = typename Model::scalar;
  matrix<T> out(static_cast<Eigen::Index>(batch.sequences()),
                static_cast<Eigen::Index>(model.config().hidden_size));
  embed(model, batch, {}, matrix_view<T>(out));
  return out;
}

/// A ternary student whose linears I2_S can hold, with norms before every linear.
decoder<> student(const std::string& family) {
  model_config c = find_family(family)->defaults;
  c.vocab_size = 40;
  c.hidden_size = 128;
  c.intermediate_size = 256;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 64;
  if (c.query_pre_attn_scalar != 0) c.query_pre_attn_scalar = 64;
  decoder<> model(c);
  model.initialize(3);
  insert_sub_ln(model, norm_placement::all, c.rms_norm_eps);
  make_ternary(model);
  philox random(8);
  model.for_each_parameter([&](auto& p) {
    if (p.is_vector())  // multiples of 2^-10, so that Gemma's 1 + w is exact
      for (float& x : p.value.reshaped())
        x = 1 + std::round(100 * static_cast<float>(random.normal())) / 1024;
  });
  return model;
}

token_batch two_sequences() {
  token_batch batch;
  batch.add(std::vector<std::int32_t>{1, 30, 7, 7, 0});
  batch.add(std::vector<std::int32_t>{12, 2, 5});
  return batch;
}

matrix<float> logits_of_student(decoder<>& model) {
  tape<float> t({}, false);
  const auto y = model.logits(t, model.hidden(t, two_sequences())).value;
  return Eigen::Map<matrix<float>>(y.data, static_cast<Eigen::Index>(y.rows),
                                   static_cast<Eigen::Index>(y.cols));
}

}  // namespace

TEST_CASE("a folder of BitNet-Embedding says by its tensors that there are norms everywhere",
          "[embedding_model]") {
  const std::string family = GENERATE("qwen3", "gemma3");
  INFO(family);
  const model_config c = load_config(embedding_folder(family));
  CHECK(c.sub_ln == norm_placement::all);
  CHECK(c.sub_ln_eps == 1e-6);
  CHECK(c.ternary);
  CHECK(c.tie_word_embeddings);
  CHECK(differing_fields(load_model<>(embedding_folder(family)).config(), c).empty());
}

TEST_CASE("a folder of BitNet-Embedding: logits and gradients in double", "[embedding_model]") {
  const std::string family = GENERATE("qwen3", "gemma3");
  INFO(family);
  auto model = load_model<decoder<matrix<double>>>(embedding_folder(family));
  compare(model, problem(embedding_folder(family)), "ternary", 1e-12, {});
}

TEST_CASE("embeddings of a folder, packed or not, are those that its description gives",
          "[embedding_model]") {
  const std::string family = GENERATE("qwen3", "gemma3");
  INFO(family);
  const embedding_problem p(embedding_folder(family) / "expected.safetensors");
  auto model = load_model<decoder<matrix<double>>>(embedding_folder(family));
  const matrix<double> trained = embeddings_of(model, p.batch);
  CHECK(difference<double>(trained, p.expected.at("embeddings")) < 1e-12);
  pack_ternary<two_bit>(model);
  CHECK(embeddings_of(model, p.batch) == trained);
}

TEST_CASE("embeddings of a GGUF file with I2_S are those that its description gives",
          "[embedding_model]") {
  const std::string family = GENERATE("qwen3", "gemma3");
  INFO(family);
  const fs::path file = embedding_folder(family) / "model.gguf";
  const embedding_problem p(embedding_folder(family) / "expected_gguf.safetensors");
  auto model = load_model<decoder<matrix<double>>>(file);
  REQUIRE(model.layers()[0].q.packed);
  CHECK(model.config().sub_ln == norm_placement::all);
  CHECK(difference<double>(embeddings_of(model, p.batch), p.expected.at("embeddings")) < 1e-12);
}

TEST_CASE("the tokenizers of both forms put the end token behind a text", "[embedding_model]") {
  const std::string form = GENERATE("", "model.gguf");
  INFO(form);
  const fs::path folder = embedding_folder("qwen3");
  const auto tokenizer = load_tokenizer(form.empty() ? folder : folder / form);
  const embedding_problem p(folder / "expected.safetensors");
  token_batch batch;
  for (std::string text : {"a cab", "z", "the quick brown fox", "dog"})
    batch.add(tokenizer.encode(text, added_text::plain, special_tokens::add));
  CHECK(batch.tokens == p.batch.tokens);
}

TEST_CASE("both forms say that the last token counts", "[embedding_model]") {
  const fs::path folder = embedding_folder("gemma3");
  CHECK(read_pooling(folder) == pooling_rule{pooling::last, true});
  CHECK(read_pooling(folder / "model.gguf") == pooling_rule{pooling::last, true});
  CHECK(!read_pooling(oracle_folder("qwen3_tiny")));
}

TEST_CASE("a student with norms before every linear comes back from a GGUF file bit for bit",
          "[embedding_model]") {
  const scratch_dir dir;
  const std::string family = GENERATE("qwen3", "gemma3_text", "llama");
  INFO(family);
  auto model = student(family);
  save_gguf(model, dir.path() / "m.gguf", {ggml_type::i2_s, ggml_type::f32});
  const gguf_file file(dir.path() / "m.gguf");
  const auto stored = [&](const char* name) { return read_values(file.at(name))[5]; };
  const auto& layer = model.layers()[0];
  CHECK(stored("blk.0.attn_q_norm_in.weight") == layer.q.norm->view()(0, 5));
  CHECK(stored("blk.0.ffn_down_norm_in.weight") == layer.down.norm->view()(0, 5));
  CHECK(stored("blk.0.attn_norm.weight") ==
        layer.attention_norm.view()(0, 5) + static_cast<float>(model.config().norm_offset()));

  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(logits_of_student(again) == logits_of_student(model));
}

TEST_CASE("an embedding model goes from a folder to a GGUF file, its pooling with it",
          "[embedding_model]") {
  const scratch_dir dir;
  const std::string family = GENERATE("qwen3", "gemma3");
  INFO(family);
  const embedding_problem p(embedding_folder(family) / "expected_gguf.safetensors");
  auto model = load_model<>(embedding_folder(family) / "model.gguf");
  save_gguf(model, dir.path() / "m.gguf", {ggml_type::i2_s, ggml_type::f16}, nullptr, {},
            pooling::last);
  auto again = load_model<>(dir.path() / "m.gguf");
  CHECK(embeddings_of(again, p.batch) == embeddings_of(model, p.batch));
  CHECK(read_pooling(dir.path() / "m.gguf") == pooling_rule{pooling::last, true});
}

TEST_CASE("an embedding model comes back from a folder of masters", "[embedding_model]") {
  const scratch_dir dir;
  const embedding_problem p(embedding_folder("gemma3") / "expected.safetensors");
  auto model = load_model<>(embedding_folder("gemma3"));
  save_model(model, dir.path(), storage::master);
  auto again = load_model<>(dir.path());
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(embeddings_of(again, p.batch) == embeddings_of(model, p.batch));
}

TEST_CASE("norms inside linears beside norms at other places are refused", "[embedding_model]") {
  const scratch_dir dir;
  fs::copy(embedding_folder("qwen3") / "model.safetensors", dir.path() / "model.safetensors");
  auto config = read_json(embedding_folder("qwen3") / "config.json");
  config["model_type"] = "bitnet";
  config["architectures"] = {"BitNetModel"};
  write_json(dir.path() / "config.json", config);
  const auto message = message_of<config_error>([&] { load_model<>(dir.path()); });
  INFO(message);
  CHECK(message.find("_proj.norm.weight' is a norm before a linear, but config.json has norms at "
                     "other places") != message.npos);
}

TEST_CASE("what the files of a folder say about pooling", "[embedding_model]") {
  const std::string modules = R"([{"type": "a.Transformer", "path": ""},
                                  {"type": "a.Pooling", "path": "1_Pooling"})";
  const auto [name, list, config, says] =
      GENERATE_COPY(table<std::string, std::string, std::string, std::string>({
          {"mean without norm", modules + "]", R"({"pooling_mode_mean_tokens": true})", "mean"},
          {"first with norm", modules + R"(, {"type": "a.Normalize"}])",
           R"({"pooling_mode_cls_token": true})", "first, normalized"},
          {"no list of modules", "", R"({"pooling_mode_lasttoken": true})", "last, normalized"},
          {"newer files", "", R"({"pooling_mode": "lasttoken"})", "last, normalized"},
          {"a list without pooling", R"([{"type": "a.Transformer"}])", "{}", "nothing"},
          {"another kind", modules + "]", R"({"pooling_mode_max_tokens": true})",
           "key 'pooling_mode_max_tokens': expected false, got true"},
          {"two kinds", modules + "]",
           R"({"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true})",
           "key 'pooling_mode_lasttoken': expected one kind of pooling, got two"},
          {"no kind", modules + "]", R"({"pooling_mode_mean_tokens": false})",
           "key 'pooling_mode_lasttoken': expected one kind of pooling, got none"},
          {"another module", R"([{"type": "a.Dense"}])", "{}",
           "key 'modules[0].type': expected Transformer, Pooling or Normalize, got Dense"},
      }));
  INFO(name);
  const scratch_dir dir;
  fs::create_directory(dir.path() / "1_Pooling");
  write_file(dir.path() / "1_Pooling/config.json", config);
  if (!list.empty()) write_file(dir.path() / "modules.json", list);
  std::string got;
  try {
    const auto rule = read_pooling(dir.path());
    got = !rule ? "nothing"
                : std::string(name_of(rule->kind, pooling_names)) +
                      (rule->normalize ? ", normalized" : "");
  } catch (const config_error& e) {
    got = e.what();
  }
  CHECK(got.ends_with(says));
}

TEST_CASE("files that say a rule are read as this rule", "[embedding_model]") {
  const scratch_dir dir;
  const auto rule = GENERATE(pooling_rule{pooling::last, true}, pooling_rule{pooling::mean, false},
                             pooling_rule{pooling::first, true});
  INFO(name_of(rule.kind, pooling_names));
  fs::create_directory(dir.path() / "1_Pooling");
  for (const auto& [name, content] : pooling_files(rule, 16))
    write_file(dir.path() / name, content);
  CHECK(read_pooling(dir.path()) == rule);
}
