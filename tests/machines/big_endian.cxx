// Readers and writers of files on a big-endian machine: each of them refuses with one message.
#include <zlib.h>

#include <cstdlib>
#include <vector>

#include "tern/gguf/file.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/pack/packed_bytes.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/absmean.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

// zlib is not installed for this machine, and nothing may get as far as a checksum.
extern "C" uLong crc32_z(uLong, const Bytef*, z_size_t) { std::abort(); }

namespace {

const std::string reason =
    " is little-endian and this machine is big-endian, which is not supported";

template <class F>
std::string refusal(F f) {
  return tern_test::message_of<tern::format_error>(f);
}

}  // namespace

TEST_CASE("safetensors are neither read nor written on a big-endian machine") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "m.safetensors";
  CHECK(refusal([&] { tern::safetensors_writer().write(path); }) ==
        path.string() + ": safetensors" + reason);
  CHECK(!std::filesystem::exists(path));
  tern::write_file(path, "content");
  CHECK(refusal([&] { tern::safetensors_file file(path); }) ==
        path.string() + ": safetensors" + reason);
}

TEST_CASE("GGUF is neither read nor written on a big-endian machine") {
  const tern_test::scratch_dir scratch;
  const auto path = scratch.path() / "m.gguf";
  CHECK(refusal([&] { tern::gguf_writer().write(path); }) == path.string() + ": GGUF" + reason);
  CHECK(!std::filesystem::exists(path));
  tern::write_file(path, "GGUF");
  CHECK(refusal([&] { tern::gguf_file file(path); }) == path.string() + ": GGUF" + reason);
}

TEST_CASE("packed weights are neither stored nor viewed on a big-endian machine") {
  const std::vector<float> values(64, 1.0f);
  const tern::matrix_view<const float> w(values.data(), 8, 8);
  const tern::ternary_weights<tern::two_bit> packed(w, tern::absmean{});
  alignas(64) std::array<std::byte, 1024> bytes{};
  const std::string refused = "packed weights: their format" + reason;
  CHECK(refusal([&] {
          tern::serialize(packed.view(), std::span(bytes).first(header_of(packed.view()).total));
        }) == refused);
  CHECK(refusal([&] { tern::view_bytes<tern::two_bit>(bytes); }) == refused);
}
