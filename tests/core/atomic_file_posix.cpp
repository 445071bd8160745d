// What only POSIX systems promise about files, and what can be tested only there.
#include <sys/resource.h>

#include <csignal>

#include "tern/core/atomic_file.hpp"
#include "tern/core/mapped_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using tern_test::message_of;

/// While this object lives, no file may grow beyond `bytes`, so writes fail in the middle as on a
/// full disk.
class file_size_limit {
 public:
  explicit file_size_limit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limited{bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  file_size_limit(const file_size_limit&) = delete;
  file_size_limit& operator=(const file_size_limit&) = delete;
  ~file_size_limit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit old_{};
  void (*handler_)(int);
};

}  // namespace

TEST_CASE("a failing write names path and reason and leaves the old file", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "f";
  tern::write_file(path, "old");
  const std::string big(100'000, 'x');
  std::string message;
  {
    const file_size_limit limit(50'000);
    message = message_of<tern::io_error>([&] { tern::write_file(path, big); });
  }
  CHECK(message == "cannot write '" + path.string() + "': File too large");
  CHECK(tern::mapped_file(path).text() == "old");
  CHECK(!std::filesystem::exists(path.string() + ".tmp"));
}

TEST_CASE("a device or folder is neither written nor mapped", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  CHECK(message_of<tern::io_error>([] { tern::write_file("/dev/null", "x"); }) ==
        "cannot write '/dev/null': not a regular file");
  CHECK(message_of<tern::io_error>([&] { tern::mapped_file f(dir.path()); }) ==
        "cannot read '" + dir.path().string() + "': not a regular file");
}

TEST_CASE("a mapping survives the replacement of its file", "[mapped_file]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "f", "content");
  const tern::mapped_file mapped(dir.path() / "f");
  tern::write_file(dir.path() / "f", "replaced");
  CHECK(mapped.text() == "content");
}
