// The two forms of Q2_0, told apart by the room that tensors have.
#include "tern/gguf/q2_0_groups.hpp"

#include <string>
#include <vector>

#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using tern::ggml_type;

struct placed {
  std::vector<std::size_t> shape;
  std::size_t offset;
};

/// Tensors of Q2_0 at these offsets, as a header describes them.
std::vector<tern::gguf_entry> entries_of(const std::vector<placed>& tensors) {
  std::vector<tern::gguf_entry> entries;
  for (const auto& [shape, offset] : tensors)
    entries.push_back({"t" + std::to_string(entries.size()), ggml_type::q2_0, shape, offset,
                       *tern::ggml_tensor_bytes(ggml_type::q2_0, shape)});
  return entries;
}

}  // namespace

TEST_CASE("the room of a tensor tells the groups of Q2_0", "[gguf]") {
  // 4096 weights are 1152 bytes in groups of 64, and 1088 in groups of 128; 128 weights are 36 and
  // 34, which end at the same multiple of 32.
  const auto [name, tensors, data_bytes, expected] =
      GENERATE(table<std::string, std::vector<placed>, std::size_t, ggml_type>({
          {"64 before a tensor", {{{64, 64}, 0}, {{2, 64}, 1152}}, 1280, ggml_type::q2_0},
          {"64 at the end", {{{32, 128}, 0}}, 1152, ggml_type::q2_0},
          {"128 before a tensor", {{{32, 128}, 0}, {{1, 128}, 1088}}, 1152, ggml_type::pq2_0},
          {"128 at the end", {{{32, 128}, 0}}, 1088, ggml_type::pq2_0},
          {"128 in another order", {{{1, 128}, 1088}, {{32, 128}, 0}}, 1152, ggml_type::pq2_0},
          {"rows that no group of 128 fits", {{{2, 64}, 0}}, 64, ggml_type::q2_0},
          {"neither: the file is cut off", {{{32, 128}, 0}}, 1000, ggml_type::q2_0},
          {"neither: one fits 64 alone, one 128 alone",
           {{{32, 128}, 0}, {{32, 128}, 1152}},
           2240,
           ggml_type::q2_0},
      }));
  INFO(name);
  auto entries = entries_of(tensors);
  tern::detail::tell_q2_0_groups(entries, 32, data_bytes, "m.gguf");
  for (const auto& e : entries) {
    CHECK(e.type == expected);
    CHECK(e.size == *tern::ggml_tensor_bytes(expected, e.shape));
  }
}

TEST_CASE("tensors of Q2_0 that are too small to tell the groups are refused", "[gguf]") {
  auto entries = entries_of({{{1, 128}, 0}, {{2, 128}, 64}});
  CHECK(
      tern_test::message_of<tern::format_error>(
          [&] { tern::detail::tell_q2_0_groups(entries, 64, 192, "m.gguf"); }) ==
      "m.gguf: tensor 't0': Q2_0 may have groups of 64 or of 128 weights, and the tensors of this "
      "file are too small to tell");
}
