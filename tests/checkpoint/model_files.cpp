// Model folders that other programs and careless hands made: names of tensors, values that are not
// finite, files of other kinds.
#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_packed_model.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;
namespace fs = std::filesystem;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

/// A folder whose tensors have the names that `name_of` makes of those of the parameters; an empty
/// name leaves a tensor out.
void write_folder(const fs::path& folder, decoder<>& model,
                  const std::function<std::string(std::string)>& name_of) {
  make_folder(folder);
  safetensors_writer file;
  model.for_each_parameter([&](auto& p) {
    const std::string name = name_of(p.name);
    if (name.empty()) return;
    if (p.is_vector())
      file.add_row<float>(name, std::as_const(p).view().row(0));
    else
      file.add_matrix<float>(name, p.value);
  });
  file.write(folder / "model.safetensors");
  write_json(folder / "config.json", to_json(model.config(), "float32"));
}

std::string without_prefix(const std::string& name) {
  return name.starts_with("model.") ? name.substr(6) : name;
}

std::string message_of_loading(const fs::path& path) {
  return tern_test::message_of([&] { load_model<>(path); });
}

/// A ternary model with one weight of the projection v of layer 0 that is broken.
decoder<> model_with(float broken) {
  auto model = tern_test::small_decoder<>(30, 1);
  model.layers()[0].v.weight.value(3, 5) = broken;
  return model;
}

}  // namespace

TEST_CASE("a table that is embedding and head may stand under either name") {
  const auto name = GENERATE("model.embed_tokens.weight", "lm_head.weight", "embed_tokens.weight");
  CAPTURE(name);
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  REQUIRE(model.config().tie_word_embeddings);
  const bool prefix = std::string(name) != "embed_tokens.weight";
  write_folder(dir.path(), model, [&](const std::string& own) {
    if (own == "model.embed_tokens.weight") return std::string(name);
    return prefix ? own : without_prefix(own);
  });
  auto loaded = load_model<>(dir.path());
  CHECK(loaded.embedding().weight.value == model.embedding().weight.value);
  CHECK(loaded.layers()[1].down.weight.value == model.layers()[1].down.weight.value);
}

TEST_CASE("a head that is not the embedding must be there") {
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  write_folder(dir.path(), model, [](const std::string& own) { return own; });
  auto config = read_json(dir.path() / "config.json");
  config["tie_word_embeddings"] = false;
  write_json(dir.path() / "config.json", config);
  CHECK(message_of_loading(dir.path()).ends_with(": no tensor 'lm_head.weight'"));
}

TEST_CASE("a weight that is not finite is refused when masters are loaded") {
  const auto broken = GENERATE(values({infinity, -infinity, not_a_number}));
  const tern_test::scratch_dir dir;
  auto model = model_with(broken);
  save_model(model, dir.path(), storage::master);
  CHECK(message_of_loading(dir.path()) ==
        (dir.path() / "model.safetensors").string() +
            ": tensor 'model.layers.0.self_attn.v_proj.weight': row 3 has a value that is not "
            "finite");
}

TEST_CASE("a gain that is not finite is refused when a packed folder is loaded") {
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  make_ternary(model);
  pack_ternary<two_bit>(model);
  model.layers()[1].attention_norm.value(0, 2) = infinity;
  save_packed_model(model, dir.path());
  CHECK(message_of_loading(dir.path())
            .ends_with("tensor 'model.layers.1.input_layernorm.weight': row 0 has a value that is "
                       "not finite"));
}

TEST_CASE("a scale that is not finite is refused when a packed folder is mapped") {
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  make_ternary(model);
  pack_ternary<two_bit>(model);
  save_packed_model(model, dir.path());
  const auto file = dir.path() / "model.safetensors";
  std::string bytes(mapped_file(file).text());
  const auto packed = bytes.find("TERN");  // a header of 64 bytes, then the scale
  std::memcpy(&bytes[packed + 64], &infinity, sizeof infinity);
  write_file(file, bytes);
  const auto said = message_of_loading(dir.path());
  INFO(said);
  CHECK(said.find("_proj.weight': packed weights: a scale is not finite") != said.npos);
}

TEST_CASE("a weight that its new type cannot hold is refused, and nothing is written") {
  const tern_test::scratch_dir dir;
  auto model = model_with(1e5f);
  const auto out = dir.path() / "out";
  CHECK(tern_test::message_of<config_error>([&] { save_model(model, out, storage::deployed); }) ==
        "tensor 'model.layers.0.self_attn.v_proj.weight', row 3: a value is not finite or too "
        "large for F16");
  CHECK_FALSE(fs::exists(out / "model.safetensors"));
  CHECK_FALSE(fs::exists(out / "config.json"));
  const auto gguf =
      tern_test::message_of<config_error>([&] { save_gguf(model, dir.path() / "m.gguf"); });
  INFO(gguf);
  CHECK(gguf.starts_with("tensor 'blk.0.attn_v.weight': "));
}

TEST_CASE("a single file is taken before an index, as transformers does") {
  const tern_test::scratch_dir dir;
  auto old = tern_test::small_decoder<>(30, 1), model = tern_test::small_decoder<>(30, 2);
  save_model(old, dir.path(), storage::master);
  const auto single = dir.path() / "model.safetensors";
  fs::rename(single, dir.path() / "model-00001-of-00001.safetensors");
  nlohmann::json map;
  old.for_each_parameter([&](auto& p) { map[p.name] = "model-00001-of-00001.safetensors"; });
  write_json(dir.path() / "model.safetensors.index.json", {{"weight_map", map}});
  CHECK(load_model<>(dir.path()).embedding().weight.value == old.embedding().weight.value);
  save_model(model, dir.path(), storage::master);
  CHECK(load_model<>(dir.path()).embedding().weight.value == model.embedding().weight.value);
}

TEST_CASE("a file that is no model says of what kind it is") {
  const std::string lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
  const auto [name, content, kind] = GENERATE_COPY(table<std::string, std::string, std::string>({
      {"x", lfs, "a Git LFS pointer"},
      {"pytorch_model.bin", "PK\x03\x04", "a ZIP archive"},
      {"old.bin", "\x80\x02}q", "a Python pickle"},
      {"x.safetensors", std::string("\x02\0\0\0\0\0\0\0{}", 10), "a safetensors file"},
      {"x.txt", "text", "neither a folder nor does it begin with GGUF"},
  }));
  CAPTURE(name);
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / name;
  write_file(path, content);
  const std::string expected =
      path.string() + ": expected a model folder or a GGUF file, but it is " + kind;
  CHECK(message_of_loading(path).starts_with(expected));
  CHECK(tern_test::message_of([&] { load_config(path); }).starts_with(expected));
}

TEST_CASE("a file of a folder that is a Git LFS pointer is named") {
  const auto name = GENERATE("config.json", "model.safetensors");
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  save_model(model, dir.path(), storage::master);
  write_file(dir.path() / name,
             "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
  const auto said = message_of_loading(dir.path());
  INFO(said);
  CHECK(said.starts_with((dir.path() / name).string()));
  CHECK(said.find("a Git LFS pointer") != said.npos);
}

TEST_CASE("a folder that holds another kind of model says so") {
  const auto [name, message] = GENERATE(table<std::string, std::string>({
      {"pytorch_model.bin", "it has pytorch_model.bin, which must be converted to safetensors"},
      {"adapter_model.safetensors", "it has adapter_model.safetensors, an adapter"},
  }));
  const tern_test::scratch_dir dir;
  auto model = tern_test::small_decoder<>(30, 1);
  save_model(model, dir.path(), storage::master);
  fs::rename(dir.path() / "model.safetensors", dir.path() / name);
  CHECK(message_of_loading(dir.path()).find(message) != std::string::npos);
}

TEST_CASE("a folder that holds only a GGUF file says which file to name") {
  const tern_test::scratch_dir dir;
  write_file(dir.path() / "m.gguf", "x");
  CHECK(message_of_loading(dir.path()) ==
        "'" + dir.path().string() + "' has no config.json, but a GGUF file: name that file, '" +
            (dir.path() / "m.gguf").string() + "'");
}
