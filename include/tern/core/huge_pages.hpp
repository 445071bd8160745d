// Pages of 2 MiB for large memory. A processor finds the place of an address in a small table of
// pages. Matrices of many megabytes need more pages of 4 KiB than the table holds, and each
// look-up outside of it takes as long as a read from memory, or several where a virtual machine
// runs. Most Linux distributions give huge pages only to memory that asks for them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/version.hpp"

#if defined(__linux__)
#  include <sys/mman.h>

#  include <cerrno>
#endif

namespace tern::inline TERN_ABI {

/// Size of a huge page in bytes, on most processors.
inline constexpr std::size_t huge_page_bytes = std::size_t{1} << 21;

/// Asks the system to give huge pages to memory that has not been touched yet. It does nothing for
/// memory that is smaller than a huge page, and where the system has no such request. A system that
/// refuses gives small pages as before.
inline void prefer_huge_pages([[maybe_unused]] void* data,
                              [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (bytes < huge_page_bytes) return;
  constexpr std::size_t page = 4096;  // a system with larger pages refuses, which does no harm
  const std::size_t skip = (page - reinterpret_cast<std::uintptr_t>(data) % page) % page;
  const int before = errno;
  static_cast<void>(
      ::madvise(static_cast<std::byte*>(data) + skip, (bytes - skip) / page * page, MADV_HUGEPAGE));
  errno = before;
#endif
}

}  // namespace tern::inline TERN_ABI
