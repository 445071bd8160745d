// Models that are split into several GGUF files.
#include "tern/gguf/parts.hpp"

#include <functional>
#include <string>
#include <vector>

#include "tern/gguf/file.hpp"
#include "tern/gguf/writer.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::message_of;

const std::vector<float> first_row{1, 2, 3}, second_row{4, 5};

/// What is wrong with a part.
struct fault {
  std::uint16_t number = 1, count = 2;
  std::int32_t tensors = 2;
  std::string second = "b";
};

/// Writes a file whose keys "splot." become "split.". The writer, which reads back what it wrote,
/// would look for the other parts.
void write_part(const tern::gguf_writer& part, const fs::path& path) {
  part.write(path);
  std::string content(tern::mapped_file(path).text());
  for (std::size_t at = 0; (at = content.find("splot.", at)) != content.npos;)
    content.replace(at, 6, "split.");
  tern::write_file(path, content);
}

/// Writes the two parts of a model with two tensors.
void write_parts(const fs::path& folder, const fault& f = {}) {
  tern::gguf_writer one, two;
  one.metadata("general.architecture", "tern");
  one.metadata("splot.no", std::uint16_t{0});
  one.metadata("splot.count", std::uint16_t{2});
  one.metadata("splot.tensors.count", f.tensors);
  one.add_row<float>("a", first_row);
  write_part(one, folder / "m-00001-of-00002.gguf");
  two.metadata("splot.no", f.number);
  two.metadata("splot.count", f.count);
  two.add_row<float>(f.second, second_row);
  write_part(two, folder / "m-00002-of-00002.gguf");
}

}  // namespace

TEST_CASE("a split model is read as one, from any of its parts", "[parts]") {
  const auto part = GENERATE(std::size_t{0}, std::size_t{1});
  const tern_test::scratch_dir dir;
  write_parts(dir.path());
  const tern::gguf_file file(dir.path() / ("m" + tern::gguf_part_ending(part, 2)));
  CHECK(file.metadata().get<std::string>("general.architecture") == "tern");
  CHECK(file.names() == std::vector<std::string>{"a", "b"});
  CHECK(tern::read_values(file.at("a")) == first_row);
  CHECK(tern::read_values(file.at("b")) == second_row);
  CHECK(file.at("b").file == (dir.path() / "m-00002-of-00002.gguf").string());
  CHECK(file.files().size() == 2);
}

TEST_CASE("parts that do not belong together are refused", "[parts]") {
  const auto [what, wrong, message] = GENERATE(table<std::string, fault, std::string>({
      {"the first part under the name of the second",
       {.number = 0},
       "key 'split.no': expected 1, got 0"},
      {"a part of another number of parts", {.count = 3}, "key 'split.count': expected 2, got 3"},
      {"too few tensors",
       {.tensors = 3},
       "key 'split.tensors.count': says 3, but the parts hold 2 tensors"},
      {"a tensor in both parts", {.second = "a"}, "tensor 'a': stands twice"},
  }));
  INFO(what);
  const tern_test::scratch_dir dir;
  write_parts(dir.path(), wrong);
  const auto said = message_of<tern::format_error>(
      [&] { tern::gguf_file file(dir.path() / "m-00001-of-00002.gguf"); });
  INFO(said);
  CHECK(said.find(message) != said.npos);
}

TEST_CASE("a part without the others says what it is", "[parts]") {
  const tern_test::scratch_dir dir;
  write_parts(dir.path());
  const auto first = dir.path() / "m-00001-of-00002.gguf",
             second = dir.path() / "m-00002-of-00002.gguf";
  fs::remove(second);
  CHECK(message_of<tern::format_error>([&] { tern::gguf_file file(first); }) ==
        first.string() + ": is part 1 of 2 of a split GGUF file, but '" + second.string() +
            "' is missing");
  fs::rename(first, dir.path() / "m.gguf");
  CHECK(message_of<tern::format_error>([&] { tern::gguf_file file(dir.path() / "m.gguf"); }) ==
        (dir.path() / "m.gguf").string() +
            ": is part 1 of 2 of a split GGUF file, so that its name must end in "
            "'-00001-of-00002.gguf' for the other parts to be found");
}

TEST_CASE("the content tells that a file is GGUF, whatever it is called", "[parts]") {
  const tern_test::scratch_dir dir;
  write_parts(dir.path());
  fs::rename(dir.path() / "m-00001-of-00002.gguf", dir.path() / "model.bin");
  tern::write_file(dir.path() / "text", "GGUF is a format of files");
  fs::create_directory(dir.path() / "folder.gguf");
  CHECK(tern::is_gguf(dir.path() / "model.bin"));
  CHECK(tern::is_gguf(dir.path() / "none.gguf"));  // the reader will say that it is missing
  CHECK_FALSE(tern::is_gguf(dir.path() / "text"));
  CHECK_FALSE(tern::is_gguf(dir.path() / "folder.gguf"));
  CHECK_FALSE(tern::is_gguf(dir.path() / "none"));
}

TEST_CASE("a file of another kind under the name of a GGUF file says what it is", "[parts]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "x.gguf";
  tern::write_file(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
  CHECK(message_of<tern::format_error>([&] {
          tern::gguf_file file(path);
        }).starts_with(path.string() + ": expected a GGUF file, but it is a Git LFS pointer"));
}
