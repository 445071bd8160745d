// Counts the allocations of the whole program. Only one source file of a program may include it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#if defined(_WIN32)
#  include <malloc.h>
#endif

namespace tern_test {

inline std::atomic<std::size_t> allocations = 0;       ///< how often memory was taken
inline std::atomic<std::size_t> live_allocations = 0;  ///< pieces taken and not yet given back

// Windows has no std::aligned_alloc, since free() cannot take aligned memory there.
#if defined(_WIN32)
inline void* take(std::size_t bytes, std::size_t alignment) {
  return _aligned_malloc(bytes, alignment);
}
inline void give_back(void* p) { _aligned_free(p); }
#else
inline void* take(std::size_t bytes, std::size_t alignment) {
  return std::aligned_alloc(alignment, bytes);
}
inline void give_back(void* p) { std::free(p); }
#endif

inline void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  ++live_allocations;
  const std::size_t rounded = (bytes + alignment) / alignment * alignment;
  if (void* p = take(rounded, alignment)) return p;
  throw std::bad_alloc();
}

inline void release(void* p) noexcept {
  if (p != nullptr) --live_allocations;
  give_back(p);
}

}  // namespace tern_test

// These replace the operators of the whole program. They are not inlined, because g++ warns of a
// mismatched pair when it inlines only one of new and delete.
[[gnu::noinline]] void* operator new(std::size_t n) {
  return tern_test::counted(n, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  ++tern_test::allocations;
  ++tern_test::live_allocations;
  constexpr std::size_t alignment = alignof(std::max_align_t);
  return tern_test::take((n + alignment) / alignment * alignment, alignment);
}
[[gnu::noinline]] void* operator new(std::size_t n, std::align_val_t a) {
  return tern_test::counted(n, static_cast<std::size_t>(a));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { tern_test::release(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { tern_test::release(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept {
  tern_test::release(p);
}
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  tern_test::release(p);
}
