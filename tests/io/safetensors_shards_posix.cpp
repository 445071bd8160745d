// A symbolic link to itself cannot be read.
#include <filesystem>

#include "tern/io/safetensors_shards.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("an index that is a link to itself is an io_error", "[safetensors_shards]") {
  const tern_test::scratch_dir dir;
  const auto loop = dir.path() / "model.safetensors.index.json";
  std::filesystem::create_symlink(loop, loop);
  const std::string message =
      tern_test::message_of<tern::io_error>([&] { tern::safetensors_shards shards(dir.path()); });
  CAPTURE(message);
  CHECK(message.starts_with("cannot "));
  CHECK(message.find("'" + loop.string() + "': ") != message.npos);
}
