#include "tern/core/atomic_file.hpp"

#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>

#include "tern/core/mapped_file.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

namespace fs = std::filesystem;
using tern_test::message_of;

std::string content(const fs::path& path) { return std::string(tern::mapped_file(path).text()); }

std::size_t files_in(const fs::path& directory) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

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

TEST_CASE("a file appears and changes as a whole", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "f";
  tern::write_file(path, "old");
  CHECK(content(path) == "old");
  {
    tern::atomic_file file(path);
    file.write("abc");
    file.write("");
    file.write("defg");
    file.overwrite(1, std::as_bytes(std::span("XY", 2)));
    CHECK(file.size() == 7);
    CHECK(content(path) == "old");
    file.commit();
  }
  CHECK(content(path) == "aXYdefg");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("without commit nothing changes", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "f";
  tern::write_file(path, "old");
  { tern::atomic_file(path).write("new"); }
  CHECK(content(path) == "old");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("the temporary of a killed writer is overwritten", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  std::ofstream(dir.path() / "f.tmp") << "much longer than the new content";
  tern::write_file(dir.path() / "f", "new");
  CHECK(content(dir.path() / "f") == "new");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("a second writer of a path is refused", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "f";
  {
    tern::atomic_file first(path);
    first.write("first");
    CHECK(message_of<tern::io_error>([&] {
            tern::write_file(path, "second");
          }).find("being written already") != std::string::npos);
    first.commit();
    tern::write_file(path, "third");  // the first writer is done
  }
  CHECK(content(path) == "third");
}

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
  CHECK(content(path) == "old");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("a path that cannot be written is refused", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto missing = dir.path() / "no" / "f";
  CHECK(message_of<tern::io_error>([&] { tern::write_file(missing, "x"); }) ==
        "cannot write '" + missing.string() + "': No such file or directory");
  CHECK(message_of<tern::io_error>([&] { tern::write_file(dir.path(), "x"); }) ==
        "cannot write '" + dir.path().string() + "': not a regular file");
  CHECK(message_of<tern::io_error>([] { tern::write_file("/dev/null", "x"); }) ==
        "cannot write '/dev/null': not a regular file");
}

TEST_CASE("an empty file is mapped to no bytes", "[mapped_file]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "empty", "");
  CHECK(tern::mapped_file(dir.path() / "empty").bytes().empty());
}

TEST_CASE("a path that cannot be mapped is refused", "[mapped_file]") {
  const tern_test::scratch_dir dir;
  const auto missing = (dir.path() / "none").string();
  CHECK(message_of<tern::io_error>([&] { tern::mapped_file f(missing); }) ==
        "cannot read '" + missing + "': No such file or directory");
  CHECK(message_of<tern::io_error>([&] { tern::mapped_file f(dir.path()); }) ==
        "cannot read '" + dir.path().string() + "': not a regular file");
}

TEST_CASE("a mapping survives a move and the replacement of its file", "[mapped_file]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "f", "content");
  std::optional<tern::mapped_file> first(dir.path() / "f");
  const tern::mapped_file second = std::move(*first);
  first.reset();
  tern::write_file(dir.path() / "f", "replaced");
  CHECK(second.text() == "content");
}
