// Counts the allocations of the whole program. Only one source file of a program may include it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace tern_test {

inline std::atomic<std::size_t> allocations = 0;

inline void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  const std::size_t rounded = (bytes + alignment) / alignment * alignment;
  if (void* p = std::aligned_alloc(alignment, rounded)) return p;
  throw std::bad_alloc();
}

}  // namespace tern_test

// These replace the operators of the whole program. They are not inlined, because g++ warns of a
// mismatched pair when it inlines only one of new and delete.
[[gnu::noinline]] void* operator new(std::size_t n) {
  return tern_test::counted(n, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  ++tern_test::allocations;
  return std::malloc(n);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a) {
  return tern_test::counted(n, static_cast<std::size_t>(a));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
