#include "tern/core/file_kind.hpp"

#include <string>

#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace std::string_literals;
using tern::file_kind;

TEST_CASE("a file's first bytes tell its kind", "[file_kind]") {
  using enum file_kind;
  const auto [content, kind] = GENERATE(table<std::string, file_kind>({
      {"", unknown},
      {"plain text", unknown},
      {"version 2 of a text", unknown},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", git_lfs_pointer},
      {"GGUF\3\0\0\0"s, gguf},
      {"GGUF\0\0\0\3"s, gguf},
      {"GGUF is a format of files", unknown},
      {"\x02\0\0\0\0\0\0\0{}"s, safetensors},
      {"\x80\x02\0\0\0\0\0\0{\"a\""s, safetensors},
      {"\x80\x02\0\0\0\0\0\0 {\"a\""s, pickle},
      {"\x1F\x8B\x08", gzip},
      {"\x28\xB5\x2F\xFD", zstd},
      {"\xFD"
       "7zXZ\0"s,
       xz},
      {"BZh91AY&SY", bzip2},
      {"BZh is short", unknown},
      {"PK\3\4", zip},
      {"\x80\x05\x95\x01", pickle},
      {std::string(257, 'x') + "ustar\0"s, tar},
      {"PAR1", parquet},
      {"\xFF\xFEt\0"s, utf16},
      {"\xFE\xFF\0t"s, utf16},
      {"\n<!DOCTYPE HTML><html>", html},
      {"<html><body>404", html},
  }));
  CAPTURE(content);
  CHECK(tern::file_kind_of(content) == kind);
}

TEST_CASE("a file that ends within its first bytes has a kind, too", "[file_kind]") {
  const std::string whole = GENERATE("version https://git-lfs.github.com/spec/v1"s, "GGUF\3\0\0\0"s,
                                     "\x02\0\0\0\0\0\0\0{}"s, "BZh91AY&SY"s,
                                     std::string(257, 'x') + "ustar\0"s, "  <!DOCTYPE HTML>"s);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    CHECK_NOTHROW(tern::file_kind_of(whole.substr(0, size)));
  }
}

TEST_CASE("a file of a known kind is refused in words that help", "[file_kind]") {
  CHECK(tern_test::message_of<tern::format_error>(
            [] { tern::refuse_known_kind("\x80\x02}", "a.bin", "a model"); }) ==
        "a.bin: expected a model, but it is a Python pickle, as checkpoints of PyTorch are: "
        "convert it to safetensors");
  CHECK_NOTHROW(tern::refuse_known_kind("text", "a.bin", "a model"));
}
