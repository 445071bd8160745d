// What Windows does otherwise than POSIX. <windows.h> comes first, so that this is also a test that
// the library can be included behind it and declares functions as it does.
#define NOMINMAX
#include <windows.h>

#include <csignal>
#include <fstream>

#include "signals.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/mapped_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::message_of;

TEST_CASE("a file that is mapped is not replaced, and stays as it was") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "f";
  write_file(path, "old");
  {
    const mapped_file mapped(path);
    CHECK(message_of<io_error>([&] {
            write_file(path, "new");
          }).starts_with("cannot write '" + path.string() + "': "));
    CHECK(mapped.text() == "old");
    CHECK_FALSE(std::filesystem::exists(path.string() + ".tmp"));
  }
  write_file(path, "new");
  CHECK(mapped_file(path).text() == "new");
}

TEST_CASE("bytes are written and read as they are") {
  const tern_test::scratch_dir dir;
  const std::string text =
      "a\nb\r\n\x1a"
      "c";  // 0x1A ends a file that is read as text
  write_file(dir.path() / "f", text);
  CHECK(std::filesystem::file_size(dir.path() / "f") == text.size());
  CHECK(mapped_file(dir.path() / "f").text() == text);
}

TEST_CASE("Ctrl-C asks for a stop, and only the first one") {
  bitdistill::catch_signals();
  CHECK_FALSE(bitdistill::stop_requested());
  std::raise(SIGINT);
  CHECK(bitdistill::stop_requested());
  CHECK(std::signal(SIGINT, SIG_DFL) == SIG_DFL);
}
