// A symbolic link to itself cannot be looked at.
#include <filesystem>

#include "tern/io/safetensors_shards.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

TEST_CASE("a folder that cannot be looked into is an io_error", "[safetensors_shards]") {
  const tern_test::scratch_dir dir;
  const auto loop = dir.path() / "model.safetensors.index.json";
  std::filesystem::create_symlink(loop, loop);
  CHECK(tern_test::message_of<tern::io_error>([&] {
          tern::safetensors_shards shards(dir.path());
        }).starts_with("cannot look at '" + loop.string() + "': "));
}
