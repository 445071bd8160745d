#include "tern/io/safetensors_shards.hpp"

#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern::safetensors_shards;
using tern_test::message_of;

/// A folder with tensor a in model-1.safetensors and tensor b, 1 to 3, in model-2.safetensors.
class two_shards {
 public:
  two_shards() {
    const std::vector<float> a{7, 8}, b{1, 2, 3};
    tern::safetensors_writer first, second;
    first.add_row<float>("a", a);
    second.add_row<float>("b", b);
    first.write(path() / "model-1.safetensors");
    second.write(path() / "model-2.safetensors");
  }
  void write_index(const std::string& text) const { tern::write_file(index(), text); }
  void map_b_to(const std::string& file) const {
    write_index(
        R"({"metadata": {"total_size": 20}, "weight_map": {"a": "model-1.safetensors", "b": ")" +
        file + "\"}}");
  }
  [[nodiscard]] const fs::path& path() const { return dir_.path(); }
  [[nodiscard]] fs::path index() const { return path() / "model.safetensors.index.json"; }

 private:
  tern_test::scratch_dir dir_;
};

}  // namespace

TEST_CASE("the tensors of all shards have one list of names", "[safetensors_shards]") {
  const two_shards folder;
  folder.map_b_to("model-2.safetensors");
  const safetensors_shards shards(folder.path());
  CHECK(shards.names() == std::vector<std::string>{"a", "b"});
  CHECK(shards.files().size() == 2);
}

TEST_CASE("a tensor is read from the shard that has it", "[safetensors_shards]") {
  const two_shards folder;
  folder.map_b_to("model-2.safetensors");
  const safetensors_shards shards(folder.path());
  CHECK(tern::read_values(shards.at("b")) == std::vector<float>{1, 2, 3});
  CHECK_THROWS_AS(shards.at("c"), tern::format_error);
}

TEST_CASE("a tensor that two shards have is refused", "[safetensors_shards]") {
  const two_shards folder;
  const std::vector<float> a{7, 8};
  tern::safetensors_writer both;
  both.add_row<float>("a", a);
  both.add_row<float>("b", a);
  both.write(folder.path() / "model-1.safetensors");
  folder.map_b_to("model-2.safetensors");
  CHECK(message_of<tern::format_error>([&] { safetensors_shards(folder.path()); }) ==
        folder.index().string() +
            ": tensor 'b' is in 'model-2.safetensors' and in "
            "'model-1.safetensors', expected one of them");
}

TEST_CASE("one file is a model, by its own name or by the folder's", "[safetensors_shards]") {
  const two_shards folder;
  CHECK(safetensors_shards(folder.path() / "model-1.safetensors").contains("a"));
  fs::rename(folder.path() / "model-2.safetensors", folder.path() / "model.safetensors");
  CHECK(safetensors_shards(folder.path()).names() == std::vector<std::string>{"b"});
}

TEST_CASE("a tensor may be known by another name", "[safetensors_shards]") {
  const two_shards folder;
  folder.map_b_to("model-2.safetensors");
  safetensors_shards shards(folder.path());
  shards.rename("b", "c");
  CHECK(shards.names() == std::vector<std::string>{"a", "c"});
  CHECK(tern::read_values(shards.at("c")) == std::vector<float>{1, 2, 3});
  CHECK(shards.at("c").name == "b");  // as the file has it, for messages
  CHECK_THROWS_AS(shards.rename("b", "d"), tern::format_error);
  CHECK(message_of<tern::format_error>([&] {
          shards.rename("c", "a");
        }).ends_with("tensor 'b': stands for 'a', which is there, too"));
}

TEST_CASE("an index that does not fit its files is refused by name", "[safetensors_shards]") {
  const auto map_b_to = [](const std::string& file) {
    return R"({"weight_map": {"a": "model-1.safetensors", "b": ")" + file + "\"}}";
  };
  const auto [name, text, message] = GENERATE_COPY(table<std::string, std::string, std::string>({
      {"a tensor that is in another file", map_b_to("model-1.safetensors"),
       "tensor 'b' is not in 'model-1.safetensors'"},
      {"a file outside the folder", map_b_to("../model-2.safetensors"),
       "weight_map 'b': '../model-2.safetensors' is not the name of a file beside it"},
      {"no file name", map_b_to(""), "weight_map 'b': '' is not the name of a file beside it"},
      {"a number for a file", R"({"weight_map": {"a": 1}})",
       "weight_map 'a': expected a file name"},
      {"no map", "{}", "expected an object 'weight_map'"},
      {"a tensor twice", R"({"weight_map": {"a": "x", "a": "y"}})",
       "key \"a\" stands twice in one object"},
  }));
  INFO(name);
  const two_shards folder;
  folder.write_index(text);
  CHECK(message_of<tern::format_error>([&] { safetensors_shards shards(folder.path()); }) ==
        folder.index().string() + ": " + message);
}

TEST_CASE("a shard that is missing is an io_error", "[safetensors_shards]") {
  const two_shards folder;
  folder.map_b_to("model-3.safetensors");
  CHECK_THROWS_AS(safetensors_shards(folder.path()), tern::io_error);
}

TEST_CASE("a folder without weights says which files it looked for", "[safetensors_shards]") {
  const tern_test::scratch_dir dir;
  CHECK(message_of<tern::io_error>([&] { safetensors_shards shards(dir.path()); }) ==
        "'" + dir.path().string() +
            "' holds neither model.safetensors.index.json nor model.safetensors");
}
