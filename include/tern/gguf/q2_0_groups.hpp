// Which of the two forms of Q2_0 a file has. llama.cpp has groups of 64 weights; an older fork
// wrote groups of 128 under the same type id. A file gives no sizes of tensors, only where they
// begin, so the room up to the next tensor tells.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/gguf/header.hpp"
#include "tern/gguf/type.hpp"

namespace tern::inline TERN_ABI::detail {

/// Gives the tensors of type Q2_0 the type PQ2_0 and its size where the rooms of all of them are
/// those of groups of 128, and of some not those of groups of 64. Does nothing where they fit
/// neither, so that the caller finds what is wrong with the file. `data_bytes`: bytes behind the
/// header. Throws format_error naming `file` and a tensor where all of them fit both.
inline void tell_q2_0_groups(std::vector<gguf_entry>& entries, std::size_t alignment,
                             std::size_t data_bytes, const std::string& file) {
  std::vector<std::size_t> begins{data_bytes};
  for (const gguf_entry& e : entries) begins.push_back(e.offset);
  std::ranges::sort(begins);
  std::vector<gguf_entry*> found;
  bool fit_64 = true, fit_128 = true;
  for (gguf_entry& e : entries) {
    if (e.type != ggml_type::q2_0 || e.size == 0) continue;
    found.push_back(&e);
    const auto next = std::ranges::upper_bound(begins, e.offset);
    const std::size_t room = next == begins.end() ? 0 : *next - e.offset;
    const auto size_128 = ggml_tensor_bytes(ggml_type::pq2_0, e.shape);
    fit_64 = fit_64 && room >= e.size;
    fit_128 = fit_128 && size_128 && (room == *size_128 || room == aligned(*size_128, alignment));
  }
  if (found.empty() || !fit_128) return;
  if (fit_64)
    throw format_error(file + ": tensor '" + found.front()->name +
                       "': Q2_0 may have groups of 64 or of 128 weights, and the tensors of this "
                       "file are too small to tell");
  for (gguf_entry* e : found) {
    e->type = ggml_type::pq2_0;
    e->size = *ggml_tensor_bytes(e->type, e->shape);
  }
}

}  // namespace tern::inline TERN_ABI::detail
