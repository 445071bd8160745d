#include "tern/core/atomic_file.hpp"

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

TEST_CASE("a path that cannot be written is refused", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const auto missing = dir.path() / "no" / "f";
  CHECK(message_of<tern::io_error>([&] { tern::write_file(missing, "x"); }) ==
        "cannot write '" + missing.string() + "': No such file or directory");
  CHECK(message_of<tern::io_error>([&] { tern::write_file(dir.path(), "x"); }) ==
        "cannot write '" + dir.path().string() + "': not a regular file");
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
  CHECK_THROWS_AS(tern::mapped_file(dir.path()), tern::io_error);
}

TEST_CASE("a mapping survives a move", "[mapped_file]") {
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "f", "content");
  std::optional<tern::mapped_file> first(dir.path() / "f");
  const tern::mapped_file second = std::move(*first);
  first.reset();
  CHECK(second.text() == "content");
}

TEST_CASE("a name may hold any character of Unicode", "[atomic_file]") {
  const tern_test::scratch_dir dir;
  const fs::path name(u8"gr\u00fc\u00df \u65e5\u672c \U0001f600");
  tern::write_file(dir.path() / name, "content");
  CHECK(content(dir.path() / name) == "content");
  CHECK(fs::directory_iterator(dir.path())->path().filename() == name);
}
