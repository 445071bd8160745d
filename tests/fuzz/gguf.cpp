// Fuzzes the reader of GGUF files: all metadata, every tensor as numbers and as trits, the
// tokenizer and the model.
#include "tern/gguf/file.hpp"

#include "tern/checkpoint/load_gguf.hpp"
#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/gguf/ternary.hpp"
#include "tests/fuzz/memory_file.hpp"

namespace {

/// Calls f(), which may throw tern's errors and nothing else.
template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const tern::error&) {
  }
}

void read_as_ternary(tern::gguf_tensor t) {
  if (t.shape.size() != 2 || !tern::is_ternary(t.type)) return;
  const std::size_t rows = t.shape[0], cols = t.shape[1];
  const auto n = tern::scale_extents({rows, cols}, tern::ternary_scale_block(t.type, rows, cols));
  std::vector<std::int8_t> codes(t.size());
  std::vector<float> scales(n.rows * n.cols);
  for (const auto layout : {tern::i2_s_layout::x86, tern::i2_s_layout::arm})
    attempt([&] {
      t.layout = layout;
      tern::read_ternary(t, {codes.data(), rows, cols}, {scales.data(), n.rows, n.cols});
    });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const tern_test::memory_file bytes(data, size);
  attempt([&] {
    const tern::gguf_file file(bytes.path());
    const auto& metadata = file.metadata();
    for (const auto& value : metadata.values()) {
      attempt([&] { static_cast<void>(metadata.get<std::string>(value.key)); });
      attempt([&] { static_cast<void>(metadata.get<std::uint32_t>(value.key)); });
      attempt([&] { static_cast<void>(metadata.get<bool>(value.key)); });
      attempt([&] { static_cast<void>(metadata.list<float>(value.key)); });
      attempt([&] { static_cast<void>(metadata.list<std::string_view>(value.key)); });
    }
    for (const auto& t : file.tensors()) {
      attempt([&] { static_cast<void>(tern::read_values(t)); });
      attempt([&] { read_as_ternary(t); });
    }
    attempt([&] {
      static_cast<void>(tern::read_gguf_tokenizer(metadata).encode("Hello <e> w\u00f6rld 123"));
    });
    attempt([&] { static_cast<void>(tern::load_gguf<>(bytes.path())); });
  });
  return 0;
}
