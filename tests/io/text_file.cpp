#include "tern/io/text_file.hpp"

#include "tern/core/atomic_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("a folder is no text", "[text_file]") {
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::read_text(dir.path()), tern::io_error);
}

TEST_CASE("a zero is no text", "[text_file]") {
  using namespace std::string_literals;
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "a.txt";
  tern::write_file(path, "one\ntwo\0three"s);
  CHECK(tern_test::message_of<tern::format_error>([&] { tern::read_text(path); }) ==
        path.string() + ":2: expected UTF-8 text, got an invalid byte at column 4");
}
