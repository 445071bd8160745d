// Bump allocation for one training step: the first step takes memory from the system, and later
// steps reuse it without another allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "tern/core/huge_pages.hpp"
#include "tern/core/tensor.hpp"

namespace tern::inline TERN_ABI {

class arena {
 public:
  static constexpr std::size_t alignment = 64;  ///< alignment of all memory, bytes

  /// The arena takes its memory in chunks, which grow with use. The first one has at least
  /// `first_chunk_bytes` bytes.
  explicit arena(std::size_t first_chunk_bytes = std::size_t{1} << 20)
      : first_(first_chunk_bytes) {}

  /// Returns `n` uninitialised objects, 64-byte aligned. They are valid until the arena is rewound
  /// past them.
  template <class T>
  T* allocate(std::size_t n) {
    static_assert(std::is_trivially_destructible_v<T>, "the arena never runs destructors");
    return static_cast<T*>(bytes(n * sizeof(T)));
  }

  /// Returns an uninitialised dense row-major matrix.
  template <class T>
  matrix_view<T> matrix(std::size_t rows, std::size_t cols) {
    return {allocate<T>(rows * cols), rows, cols};
  }

  /// A position of the arena that rewind() can return to.
  struct position {
    std::size_t chunk = 0, used = 0;  ///< index of the chunk, and bytes of it in use
    std::size_t total = 0;            ///< bytes that are in use in all chunks
  };
  /// Returns the current position, which rewind() takes.
  [[nodiscard]] position mark() const { return at_; }
  /// Makes the memory that was allocated since `p` (without `p`: all of it) available again. It is
  /// not returned to the system.
  void rewind(position p) { at_ = p; }
  void rewind() { at_ = {}; }

  [[nodiscard]] std::size_t system_allocations() const { return chunks_.size(); }  ///< chunks taken
  /// The most bytes that were in use at once. What the arena holds beyond that was never touched.
  [[nodiscard]] std::size_t peak() const { return peak_; }
  /// Bytes that the arena holds.
  [[nodiscard]] std::size_t capacity() const {
    std::size_t total = 0;
    for (const chunk& c : chunks_) total += c.size;
    return total;
  }

 private:
  struct release {
    std::align_val_t aligned;
    void operator()(std::byte* p) const { ::operator delete(p, aligned); }
  };
  struct chunk {
    std::unique_ptr<std::byte, release> memory;
    std::size_t size;
  };

  void* bytes(std::size_t n) {
    n = (n + alignment - 1) / alignment * alignment;
    while (at_.chunk < chunks_.size() && at_.used + n > chunks_[at_.chunk].size)
      at_ = {at_.chunk + 1, 0, at_.total};
    if (at_.chunk == chunks_.size()) {
      const std::size_t size = std::max({n, first_, capacity()});
      const std::align_val_t aligned{size < 2 * huge_page_bytes ? alignment : huge_page_bytes};
      std::unique_ptr<std::byte, release> memory(
          static_cast<std::byte*>(::operator new(size, aligned)), release{aligned});
      prefer_huge_pages(memory.get(), size);
      chunks_.push_back({std::move(memory), size});
    }
    std::byte* p = chunks_[at_.chunk].memory.get() + at_.used;
    at_.used += n;
    at_.total += n;
    peak_ = std::max(peak_, at_.total);
    return p;
  }

  std::size_t first_;
  std::vector<chunk> chunks_;
  position at_;
  std::size_t peak_ = 0;
};

/// Rewinds an arena at the end of a scope, which frees the temporaries of one op.
class arena_scope {
 public:
  /// Remembers the position of `a`.
  explicit arena_scope(arena& a) : arena_(a), start_(a.mark()) {}
  arena_scope(const arena_scope&) = delete;
  arena_scope& operator=(const arena_scope&) = delete;
  ~arena_scope() { arena_.rewind(start_); }

 private:
  arena& arena_;
  arena::position start_;
};

}  // namespace tern::inline TERN_ABI
