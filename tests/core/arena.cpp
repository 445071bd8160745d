// Tests of the arena: alignment, disjoint memory, scopes, and no system allocation after the first
// step.
#include "tern/core/arena.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/support.hpp"

namespace {

/// One step with mixed sizes and a scope of temporaries. Returns a checksum of what it wrote.
int step(tern::arena& memory) {
  std::vector<int*> kept;
  for (const std::size_t n : {3u, 1000u, 0u, 70000u, 17u}) {
    int* p = memory.allocate<int>(n);
    REQUIRE(reinterpret_cast<std::uintptr_t>(p) % tern::arena::alignment == 0);
    std::fill_n(p, n, static_cast<int>(n));
    if (n > 0) kept.push_back(p);
    const tern::arena_scope temporaries(memory);
    std::fill_n(memory.allocate<int>(2 * n), 2 * n, -1);
  }
  const auto m = memory.matrix<double>(5, 7);
  REQUIRE((m.rows == 5 && m.cols == 7 && m.row_stride == 7 && m.col_stride == 1));
  std::fill_n(m.data, m.size(), -1.0);
  int total = 0;
  for (const int* p : kept) total += *p;
  return total;
}

}  // namespace

TEST_CASE("an arena keeps values apart and reuses its memory", "[arena]") {
  for (const std::size_t first_chunk : {std::size_t{1}, std::size_t{4096}, std::size_t{1} << 24}) {
    tern::arena memory(first_chunk);
    CHECK(step(memory) == 3 + 1000 + 70000 + 17);
    const std::size_t allocations = memory.system_allocations(), capacity = memory.capacity();
    CHECK(allocations > 0);
    for (int i = 0; i < 5; ++i) {
      memory.rewind();
      CHECK(step(memory) == 3 + 1000 + 70000 + 17);
    }
    CHECK(memory.system_allocations() == allocations);
    CHECK(memory.capacity() == capacity);
  }
}

TEST_CASE("a scope gives memory back, even across chunks", "[arena]") {
  tern::arena memory(256);
  const int* first = memory.allocate<int>(1);
  int* inner = nullptr;
  {
    const tern::arena_scope temporaries(memory);
    inner = memory.allocate<int>(1);
    memory.allocate<char>(100000);  // takes a new chunk
  }
  CHECK(memory.allocate<int>(1) == inner);
  CHECK(first != inner);
  CHECK(memory.capacity() >= 100000);
}
