#include "tern/io/text_file.hpp"

#include "tests/support.hpp"

TEST_CASE("a folder is no text", "[text_file]") {
  const tern_test::scratch_dir dir;
  CHECK_THROWS_AS(tern::read_text(dir.path()), tern::io_error);
}
