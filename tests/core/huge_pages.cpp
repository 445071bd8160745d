#include "tern/core/huge_pages.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "tern/adapt/eigen.hpp"
#include "tern/core/arena.hpp"
#include "tests/support.hpp"

namespace {

/// Whether the mapping that holds the address asked for huge pages, as /proc/self/smaps says it.
bool asked_for_huge_pages(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    char* end = nullptr;
    const auto first = std::strtoull(line.c_str(), &end, 16);
    if (end != line.c_str() && *end == '-')
      inside = first <= wanted && wanted < std::strtoull(end + 1, nullptr, 16);
    else if (inside && line.starts_with("VmFlags:"))
      return line.find(" hg") != std::string::npos;
  }
  return false;
}

constexpr std::size_t large = 5 * tern::huge_page_bytes;

/// Whether this system shows what it was asked for; emulated ones do not.
bool shows_huge_pages() {
  const std::unique_ptr<void, decltype(&std::free)> memory(std::malloc(large), &std::free);
  tern::prefer_huge_pages(memory.get(), large);
  return asked_for_huge_pages(static_cast<std::byte*>(memory.get()) + large / 2);
}

}  // namespace

TEST_CASE("large memory asks for huge pages, small memory does not", "[huge_pages]") {
  if (!shows_huge_pages()) {
    WARN("skipped: this system does not say which memory asked for huge pages");
    return;
  }
  tern::arena memory;
  const auto* chunk = memory.allocate<std::byte>(large);
  CHECK(asked_for_huge_pages(chunk + large / 2));
  CHECK(reinterpret_cast<std::uintptr_t>(chunk) % tern::huge_page_bytes == 0);

  const auto m = tern::tensor_traits<tern::matrix<float>>::make(large / 4096, 1024);
  CHECK(asked_for_huge_pages(m.data() + m.size() / 2));
  CHECK(m.isZero(0));

  static std::byte small[tern::huge_page_bytes - 1];
  tern::prefer_huge_pages(small, sizeof small);
  CHECK_FALSE(asked_for_huge_pages(small + sizeof small / 2));
}

TEST_CASE("a request for huge pages that the system refuses changes nothing", "[huge_pages]") {
  errno = 7;
  tern::prefer_huge_pages(nullptr, 0);
  tern::prefer_huge_pages(nullptr, large);  // nothing is mapped there
  CHECK(errno == 7);
}
