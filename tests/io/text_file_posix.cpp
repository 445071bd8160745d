#include "tern/io/text_file.hpp"

#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "tests/data/gzip.hpp"
#include "tests/support.hpp"

namespace {

/// What read_text() reads from a pipe into which somebody writes `content`.
std::string through_pipe(const std::string& content) {
  const tern_test::scratch_dir dir;
  const auto pipe = dir.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::thread writer([&] { std::ofstream(pipe, std::ios::binary) << content; });
  const std::string text = tern::read_text(pipe);
  writer.join();
  return text;
}

}  // namespace

TEST_CASE("text is read from a pipe as from a file", "[text_file]") {
  const std::string text(100'000, 'x');
  CHECK(through_pipe(text) == text);
  CHECK(through_pipe("") == "");
  CHECK(through_pipe(tern_test::gzip(text)) == text);
}

TEST_CASE("a link that leads nowhere exists, and cannot be read", "[text_file]") {
  const tern_test::scratch_dir dir;
  const auto link = dir.path() / "link";
  std::filesystem::create_symlink("missing", link);
  CHECK(tern::path_exists(link));
  CHECK_FALSE(tern::path_exists(dir.path() / "missing"));
  CHECK_THROWS_AS(tern::read_text(link), tern::io_error);
}
