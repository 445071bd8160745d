// Model folders. Masters come back exactly, deployed models compute the bits of the training graph,
// and the message of an error says what is wrong with a folder.
#include <cmath>
#include <fstream>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_deployed.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/quant/half.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

model_config tiny() {
  model_config c;
  c.vocab_size = 31;
  c.hidden_size = 24;
  c.intermediate_size = 50;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 6;
  c.max_position_embeddings = 16;
  c.initializer_range = 0.3;
  return c;
}

decoder<> ternary_model(norm_placement placement) {
  decoder<> model(tiny());
  model.initialize(3);
  if (placement != norm_placement::none) insert_sub_ln(model, placement, 1e-6);
  make_ternary(model);
  philox random(8);
  model.for_each_parameter([&](auto& p) {
    if (p.is_vector())
      for (float& x : p.value.reshaped()) x = 1.0f + 0.1f * static_cast<float>(random.normal());
  });
  return model;
}

matrix<float> hidden(decoder<>& model) {
  tape<float> t({}, false);
  token_batch batch;
  batch.add(std::vector<std::int32_t>{1, 30, 7, 7, 0});
  batch.add(std::vector<std::int32_t>{12, 2, 5});
  const auto h = model.hidden(t, batch).value;
  return Eigen::Map<matrix<float>>(h.data, static_cast<Eigen::Index>(h.rows),
                                   static_cast<Eigen::Index>(h.cols));
}

void replace_in(const std::filesystem::path& path, const std::string& from, const std::string& to) {
  std::ifstream in(path);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const auto at = text.find(from);
  REQUIRE(at != text.npos);
  write_file(path, text.replace(at, from.size(), to));
}

std::string loading_says(const std::filesystem::path& folder) {
  return tern_test::message_of([&] { load_model<>(folder); });
}

void check_says(const std::filesystem::path& folder, const std::string& text) {
  const std::string message = loading_says(folder);
  INFO(message);
  CHECK(message.find(text) != std::string::npos);
}

}  // namespace

TEST_CASE("masters come back bit for bit") {
  const auto placement = GENERATE(norm_placement::subln, norm_placement::all);
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(placement);
  save_model(model, scratch.path() / "m", storage::master);
  auto again = load_model<>(scratch.path() / "m");
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(hidden(again) == hidden(model));
}

TEST_CASE("masters and their learned scales come back bit for bit") {
  const tern_test::scratch_dir scratch;
  const auto [granularity, group] =
      GENERATE(table<scale_granularity, std::size_t>({{scale_granularity::tensor, 0},
                                                      {scale_granularity::row, 0},
                                                      {scale_granularity::group, 8}}));
  auto model = ternary_model(norm_placement::subln);
  learn_scales(model, granularity, group);
  save_model(model, scratch.path() / "m", storage::master);
  auto again = load_model<>(scratch.path() / "m");
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(again.layers()[0].q.scales->value == model.layers()[0].q.scales->value);
  CHECK(hidden(again) == hidden(model));
}

TEST_CASE("a model with learned scales computes the same bits when it is packed") {
  const tern_test::scratch_dir scratch;
  const auto [granularity, group] =
      GENERATE(table<scale_granularity, std::size_t>({{scale_granularity::tensor, 0},
                                                      {scale_granularity::row, 0},
                                                      {scale_granularity::group, 8}}));
  auto model = ternary_model(norm_placement::none);
  learn_scales(model, granularity, group);
  const matrix<float> expected = hidden(model);
  pack_ternary<base3>(model);
  CHECK(hidden(model) == expected);
  save_packed_model(model, scratch.path() / "p", dtype::f32);
  auto again = load_model<>(scratch.path() / "p");
  CHECK(differing_fields(again.config(), model.config()).empty());
  CHECK(hidden(again) == expected);
  restore_masters(again);
  CHECK(hidden(again) == expected);
  pack_ternary<two_bit>(again);
  CHECK(hidden(again) == expected);
}

TEST_CASE("a deployed folder holds one learned scale for each matrix") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::none);
  model.for_each_parameter([&](auto& p) {  // the file stores these as F16
    for (float& x : p.value.reshaped())
      if (p.is_vector() || &p == &model.head()) x = from_f16(to_f16(x));
  });
  learn_scales(model, scale_granularity::tensor);
  save_model(model, scratch.path() / "d", storage::deployed);
  auto deployed = load_model<>(scratch.path() / "d");
  CHECK(hidden(deployed) == hidden(model));
  learn_scales(model, scale_granularity::row);
  const auto message = tern_test::message_of<config_error>(
      [&] { save_model(model, scratch.path() / "r", storage::deployed); });
  INFO(message);
  CHECK(message.ends_with("stores one for a tensor; a packed folder holds them"));
}

TEST_CASE("a model of any weight policy computes the same bits from its files") {
  const tern_test::scratch_dir scratch;
  const auto [name, policy] = GENERATE(values(weight_policy_names));
  INFO(name);
  auto model = ternary_model(norm_placement::none);
  const matrix<float> absmean = hidden(model);
  make_ternary(model, policy);
  const matrix<float> expected = hidden(model);
  CHECK((expected == absmean) == (policy == weight_policy::absmean));
  save_model(model, scratch.path() / "m", storage::master);
  auto masters = load_model<>(scratch.path() / "m");
  CHECK(masters.config().weight_quantizer == policy);
  CHECK(hidden(masters) == expected);
  pack_ternary<base3>(model);
  CHECK(hidden(model) == expected);
  save_packed_model(model, scratch.path() / "p", dtype::f32);
  auto packed = load_model<>(scratch.path() / "p");
  CHECK(differing_fields(packed.config(), model.config()).empty());
  CHECK(hidden(packed) == expected);
  save_deployed(masters, scratch.path() / "d");
  CHECK(load_model<>(scratch.path() / "d").config().weight_quantizer == policy);
}

TEST_CASE("a model that is not quantized yet computes what its weights do in full precision") {
  auto model = ternary_model(norm_placement::subln);
  const matrix<float> ternary = hidden(model);
  model.set_quantization(0);
  const matrix<float> start = hidden(model);
  model.set_quantization(0.5);
  const matrix<float> half = hidden(model);
  model.set_quantization(1);
  CHECK(hidden(model) == ternary);
  model.set_ternary(false);
  CHECK(hidden(model) == start);
  CHECK(half != start);
  CHECK(half != ternary);
}

TEST_CASE("masters that come back from packed weights quantize to the same codes and scales") {
  const auto [name, policy] = GENERATE(values(weight_policy_names));
  INFO(name);
  auto model = ternary_model(norm_placement::none);
  make_ternary(model, policy);
  const matrix<float> expected = hidden(model);
  pack_ternary<two_bit>(model);
  if (policy == weight_policy::paper_gptq || policy == weight_policy::paper_awq) {
    const auto message = tern_test::message_of<config_error>([&] { restore_masters(model); });
    CHECK(message.ends_with(std::string("the quantizer ") + name + " makes the packed ones"));
    CHECK(hidden(model) == expected);
    return;
  }
  restore_masters(model);
  CHECK((hidden(model) - expected).cwiseAbs().maxCoeff() < 1e-4);
}

TEST_CASE("masters come back under the same names, in the same order") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::all);
  save_model(model, scratch.path() / "m", storage::master);
  auto again = load_model<>(scratch.path() / "m");
  std::vector<std::string> names, read;
  model.for_each_parameter([&](auto& p) { names.push_back(p.name); });
  again.for_each_parameter([&](auto& p) { read.push_back(p.name); });
  CHECK(names == read);
}

TEST_CASE("a master in double says so") {
  const tern_test::scratch_dir scratch;
  decoder<matrix<double>> model(tiny());
  save_model(model, scratch.path(), storage::master);
  CHECK(read_json(scratch.path() / "config.json").at("torch_dtype") == "float64");
}

TEST_CASE("an architecture without q/k norm comes back") {
  const tern_test::scratch_dir scratch;
  model_config config = tiny();
  config.qk_norm = false;
  decoder<> model(config);
  model.initialize(5);
  save_model(model, scratch.path() / "m", storage::master);
  auto again = load_model<>(scratch.path() / "m");
  CHECK(hidden(again) == hidden(model));
}

TEST_CASE("a deployed model computes the bits of the training graph") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  model.for_each_parameter([&](auto& p) {  // the file stores these as F16
    for (float& x : p.value.reshaped())
      if (p.is_vector() || &p == &model.head()) x = from_f16(to_f16(x));
  });
  save_model(model, scratch.path() / "d", storage::deployed);
  auto deployed = load_model<>(scratch.path() / "d");
  REQUIRE(deployed.layers()[1].down.packed);
  CHECK(hidden(deployed) == hidden(model));
}

TEST_CASE("a deployed model takes less than a third of its masters' file") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  save_model(model, scratch.path() / "d", storage::deployed);
  save_model(model, scratch.path() / "m", storage::master);
  const auto size = [&](const char* folder) {
    return std::filesystem::file_size(scratch.path() / folder / "model.safetensors");
  };
  CHECK(3 * size("d") < size("m"));
}

TEST_CASE("a deployed model has no masters to save, and no gradient") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  save_model(model, scratch.path() / "d", storage::deployed);
  auto deployed = load_model<>(scratch.path() / "d");
  CHECK_THROWS_AS(save_model(deployed, scratch.path() / "again", storage::deployed), config_error);
  tape<float> recording;
  token_batch batch;
  batch.add(std::vector<std::int32_t>{1, 2});
  CHECK_THROWS_AS(deployed.hidden(recording, batch), config_error);
}

TEST_CASE("a packed model computes the bits of the training graph where its file is mapped") {
  const tern_test::scratch_dir scratch;
  const auto placement = GENERATE(norm_placement::subln, norm_placement::all);
  auto model = ternary_model(placement);
  const matrix<float> expected = hidden(model);
  pack_ternary<two_bit>(model);
  CHECK(hidden(model) == expected);
  CHECK(std::as_const(model.layers()[1].down.weight).view().size() == 0);
  pack_ternary<base3>(model);  // they are packed again in another format
  CHECK(hidden(model) == expected);

  save_packed_model(model, scratch.path() / "p", dtype::f32);
  auto again = load_model<>(scratch.path() / "p");
  CHECK(hidden(again) == expected);
  const safetensors_file file(scratch.path() / "p" / "model.safetensors");
  again.for_each_projection([&](auto& p) {
    if (!p.packed) return;
    const auto bytes = file.at(p.weight.name).data;
    CHECK(bytes.size() == p.packed->visit([](const auto& w) { return header_of(w).total; }));
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0);
  });
  CHECK(again.config().ternary);

  // Masters to train on come back from any format.
  restore_masters(again);
  CHECK((hidden(again) - expected).cwiseAbs().maxCoeff() < 1e-4);
}

TEST_CASE("only a packed model is saved as such") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  const auto message =
      tern_test::message_of<config_error>([&] { save_packed_model(model, scratch.path()); });
  INFO(message);
  CHECK(message.find("q_proj.weight' is not packed") != std::string::npos);
}

TEST_CASE("packed weights with a damaged header are refused by file and tensor") {
  const auto [name, at] = GENERATE(
      table<std::string, std::size_t>({{"its magic", 0}, {"its format", 6}, {"its rows", 8}}));
  INFO(name);
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  pack_ternary<two_bit>(model);
  save_packed_model(model, scratch.path());
  const auto file = scratch.path() / "model.safetensors";
  auto bytes = std::string(mapped_file(file).text());
  const auto first = bytes.find("TERN");
  REQUIRE(first % 64 == 0);
  bytes[first + at] ^= 1;
  write_file(file, bytes);
  const auto message = loading_says(scratch.path());
  INFO(message);
  CHECK(message.starts_with(file.string() +
                            ": tensor 'model.layers.0.self_attn.q_proj.weight': packed weights: "));
}

TEST_CASE("packed weights of another shape than the configuration's are refused") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  pack_ternary<two_bit>(model);
  save_packed_model(model, scratch.path());
  replace_in(scratch.path() / "config.json", "\"intermediate_size\": 50",
             "\"intermediate_size\": 51");
  check_says(scratch.path(), "holds 50 x 24 weights, expected 51 x 24");
}

TEST_CASE("a config.json that does not fit is refused by its key or tensor") {
  const auto [from, to, message] = GENERATE(table<std::string, std::string, std::string>({
      {"\"tern\"", "\"tern\"", "no error"},
      {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
       "must be a multiple of num_key_value_heads (3)"},
      {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4",
       "tensor 'model.layers.0.self_attn.k_proj.weight': expected shape [24, 24], got [12, 24]"},
      {"\"hidden_size\": 24", "\"hidden_size\": \"24\"",
       "key 'hidden_size': expected a positive integer, got \"24\""},
      {"\"qwen3\"", "\"mamba\"",
       "key 'model_type': expected one of qwen3, qwen2, llama, gemma3_text, bitnet, got mamba"},
      {"\"silu\"", "\"silo\"", "key 'hidden_act': expected one of silu, swish, gelu"},
      {"\"sub_ln_eps\"", "\"sub_ln_epsilon\"", "unknown key 'tern.sub_ln_epsilon'"},
  }));
  INFO(to);
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  save_model(model, scratch.path(), storage::master);
  replace_in(scratch.path() / "config.json", from, to);
  check_says(scratch.path(), message);
}

TEST_CASE("a folder without weights says which files it looked for") {
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  save_model(model, scratch.path(), storage::master);
  std::filesystem::remove(scratch.path() / "model.safetensors");
  check_says(scratch.path(), "holds neither model.safetensors.index.json nor model.safetensors");
}

TEST_CASE("a folder that does not exist is an io_error") {
  const tern_test::scratch_dir scratch;
  CHECK_THROWS_AS(load_model<>(scratch.path() / "nowhere"), io_error);
}

TEST_CASE("a quantization_config that contradicts the weights or the rest is refused") {
  const auto [from, to, message] = GENERATE(table<std::string, std::string, std::string>({
      {"\"bitnet\"", "\"bitnet\"", "no error"},
      {"\"bitnet\"", "\"gptq\"",
       "key 'quantization_config.quant_method': expected bitnet or tern, got gptq"},
      {"\"ternary\": true", "\"ternary\": false", "key 'tern.ternary': expected true"},
      {"quantization_config", "quantisation_config", "q_proj.weight': is packed, but"},
  }));
  INFO(to);
  const tern_test::scratch_dir scratch;
  auto model = ternary_model(norm_placement::subln);
  save_model(model, scratch.path(), storage::deployed);
  replace_in(scratch.path() / "config.json", from, to);
  check_says(scratch.path(), message);
}

TEST_CASE("a quantization_config beside masters is refused") {
  const tern_test::scratch_dir scratch;
  const auto deployed = scratch.path() / "d", master = scratch.path() / "m";
  auto model = ternary_model(norm_placement::subln);
  save_model(model, deployed, storage::deployed);
  save_model(model, master, storage::master);
  std::filesystem::rename(master / "model.safetensors", deployed / "model.safetensors");
  check_says(deployed, "q_proj.weight': is not packed, but");
}

TEST_CASE("a config.json without head_dim means that of its family, as in transformers") {
  const auto [type, expected] = GENERATE(table<std::string, std::size_t>(
      {{"qwen3", 128}, {"gemma3_text", 256}, {"llama", 16}, {"qwen2", 16}}));
  INFO(type);
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "config.json";
  std::ofstream(path) << R"({"model_type": ")" << type << R"(", "vocab_size": 8, "hidden_size": 64,
      "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 4})";
  CHECK(read_model_config(path).head_dim == expected);
}

TEST_CASE("real configurations are understood") {
  const auto path = tern_test::data_file("configs/Qwen3-1.7B/config.json");
  if (path.empty()) return;
  const model_config c = read_model_config(path);
  CHECK(c.num_hidden_layers == 28);
  CHECK(c.hidden_size == 2048);
  CHECK(c.head_dim == 128);
  CHECK(c.tie_word_embeddings);
  CHECK(c.rope_theta == 1e6);
}
