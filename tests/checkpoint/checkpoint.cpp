// Model folders: masters come back exactly, deployed models compute the bits of the training graph,
// and what is wrong with a folder is said.
#include <cmath>
#include <fstream>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
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
  insert_sub_ln(model, placement, 1e-6);
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
  const tern_test::scratch_dir scratch;
  for (const auto placement : {norm_placement::subln, norm_placement::all}) {
    auto model = ternary_model(placement);
    save_model(model, scratch.path() / "m", storage::master);
    auto again = load_model<>(scratch.path() / "m");
    CHECK(again.config().ternary);
    CHECK(again.config().sub_ln == placement);
    CHECK(again.config().sub_ln_eps == 1e-6);
    CHECK(hidden(again) == hidden(model));
    std::vector<std::string> names, read;
    model.for_each_parameter([&](auto& p) { names.push_back(p.name); });
    again.for_each_parameter([&](auto& p) { read.push_back(p.name); });
    CHECK(names == read);
  }
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
  model.for_each_parameter([&](auto& p) {  // what the file stores as F16
    for (float& x : p.value.reshaped())
      if (p.is_vector() || &p == &model.head()) x = from_f16(to_f16(x));
  });
  save_model(model, scratch.path() / "d", storage::deployed);
  auto deployed = load_model<>(scratch.path() / "d");
  REQUIRE(deployed.blocks()[1].down.packed);
  CHECK(hidden(deployed) == hidden(model));

  const auto size = std::filesystem::file_size(scratch.path() / "d" / "model.safetensors");
  save_model(model, scratch.path() / "m", storage::master);
  CHECK(3 * size < std::filesystem::file_size(scratch.path() / "m" / "model.safetensors"));
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
  CHECK(std::as_const(model.blocks()[1].down.weight).view().size() == 0);
  pack_ternary<base3>(model);  // again, in another format
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

  // In whatever format, masters come back to train on.
  restore_masters(again);
  CHECK((hidden(again) - expected).cwiseAbs().maxCoeff() < 1e-4);
}

TEST_CASE("what is wrong with a packed model is said") {
  const tern_test::scratch_dir scratch;
  const auto folder = scratch.path() / "p", file = folder / "model.safetensors";
  auto model = ternary_model(norm_placement::subln);
  const auto not_packed =
      tern_test::message_of<config_error>([&] { save_packed_model(model, folder); });
  CHECK(not_packed.find("q_proj.weight' is not packed") != std::string::npos);
  pack_ternary<two_bit>(model);
  save_packed_model(model, folder);
  const auto bytes = std::string(mapped_file(file).text());
  const auto damage = [&](std::size_t at, const char* text) {
    const auto where = bytes.find("TERN");
    REQUIRE(where % 64 == 0);
    auto broken = bytes;
    broken[where + at] ^= 1;
    write_file(file, broken);
    const auto message = loading_says(folder);
    INFO(message);
    CHECK(
        message.starts_with(file.string() + ": tensor 'model.layers.0.self_attn.q_proj.weight': "));
    CHECK(message.find(text) != std::string::npos);
  };
  damage(0, "packed weights: ");
  damage(6, "packed weights: ");
  damage(8, "packed weights: ");
  write_file(file, bytes);
  replace_in(folder / "config.json", "\"intermediate_size\": 50", "\"intermediate_size\": 51");
  check_says(folder, "holds 50 x 24 weights, expected 51 x 24");
}

TEST_CASE("what is wrong with a model folder is said") {
  const tern_test::scratch_dir scratch;
  const auto folder = scratch.path() / "m";
  auto model = ternary_model(norm_placement::subln);
  save_model(model, folder, storage::master);
  const auto config = folder / "config.json";
  const auto says = [&](const std::string& text) { check_says(folder, text); };
  replace_in(config, "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3");
  says("must be a multiple of num_key_value_heads (3)");
  replace_in(config, "\"num_key_value_heads\": 3", "\"num_key_value_heads\": 4");
  says("tensor 'model.layers.0.self_attn.k_proj.weight': expected shape [24, 24], got [12, 24]");
  replace_in(config, "\"hidden_size\": 24", "\"hidden_size\": \"24\"");
  says("key 'hidden_size': expected a positive integer, got \"24\"");
  replace_in(config, "\"hidden_size\": \"24\"", "\"hidden_size\": 24");
  replace_in(config, "\"qwen3\"", "\"mamba\"");
  says("key 'model_type': expected one of qwen3, qwen2, llama, gemma3_text, bitnet, got mamba");
  replace_in(config, "\"mamba\"", "\"qwen3\"");
  replace_in(config, "\"num_key_value_heads\": 4", "\"num_key_value_heads\": 2");
  replace_in(config, "\"silu\"", "\"silo\"");
  says("key 'hidden_act': expected one of silu, swish, gelu");
  replace_in(config, "\"silo\"", "\"silu\"");
  CHECK(loading_says(folder) == "no error");
  std::filesystem::remove(folder / "model.safetensors");
  says("holds neither");
  CHECK_THROWS_AS(load_model<>(scratch.path() / "nowhere"), io_error);
}

TEST_CASE("quantization_config and weights must agree") {
  const tern_test::scratch_dir scratch;
  const auto deployed = scratch.path() / "d" / "config.json", master = scratch.path() / "m";
  auto model = ternary_model(norm_placement::subln);
  save_model(model, deployed.parent_path(), storage::deployed);
  save_model(model, master, storage::master);
  const auto says = [&](const std::string& text) { check_says(deployed.parent_path(), text); };
  const auto weights = [](const std::filesystem::path& folder) {
    return folder / "model.safetensors";
  };
  replace_in(deployed, "\"bitnet\"", "\"gptq\"");
  says("key 'quantization_config.quant_method': expected bitnet or tern, got gptq");
  replace_in(deployed, "\"gptq\"", "\"bitnet\"");
  replace_in(deployed, "\"ternary\": true", "\"ternary\": false");
  says("key 'tern.ternary': expected true");
  replace_in(deployed, "\"ternary\": false", "\"ternary\": true");
  replace_in(deployed, "quantization_config", "quantisation_config");
  says("q_proj.weight': is packed, but");
  replace_in(deployed, "quantisation_config", "quantization_config");
  CHECK(loading_says(deployed.parent_path()) == "no error");
  std::filesystem::rename(weights(master), weights(deployed.parent_path()));
  says("q_proj.weight': is not packed, but");
}

TEST_CASE("a folder that cannot be looked into") {
  const tern_test::scratch_dir scratch;
  const auto loop = scratch.path() / "model.safetensors.index.json";
  std::filesystem::create_symlink(loop, loop);
  const auto says = tern_test::message_of<tern::io_error>(
      [&] { tern::safetensors_shards reader(scratch.path()); });
  CHECK(says.starts_with("cannot look at '" + loop.string() + "': "));
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
