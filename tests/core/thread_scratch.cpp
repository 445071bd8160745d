// Working memory of a thread: aligned, exclusive to its scope, kept for the next one, freed with
// the thread.
#include "tern/core/thread_scratch.hpp"

#include <algorithm>
#include <cstdint>
#include <thread>

#include "tests/allocations.hpp"
#include "tests/support.hpp"

using tern::thread_scratch;

TEST_CASE("thread_scratch begins at a cache line") {
  for (const std::size_t bytes : {1u, 63u, 64u, 100000u}) {
    const thread_scratch s(bytes);
    CHECK(reinterpret_cast<std::uintptr_t>(s.data<char>()) % thread_scratch::alignment == 0);
    std::fill_n(s.data<char>(), bytes, 'x');
  }
}

TEST_CASE("thread_scratch of 0 bytes takes nothing") {
  const std::size_t before = tern_test::allocations;
  const thread_scratch s(0);
  const std::size_t after = tern_test::allocations;
  CHECK(after == before);
  CHECK(s.data<char>() == nullptr);
}

TEST_CASE("scopes inside each other have memory of their own") {
  const thread_scratch outer(1000);
  std::fill_n(outer.data<char>(), 1000, 'o');
  for (const std::size_t bytes : {10u, 5000u}) {
    const thread_scratch inner(bytes);
    std::fill_n(inner.data<char>(), bytes, 'i');
  }
  CHECK(std::count(outer.data<char>(), outer.data<char>() + 1000, 'o') == 1000);
}

TEST_CASE("scopes that were there before take nothing from the system") {
  const auto scopes = [] {
    const thread_scratch outer(70000);
    for (int i = 0; i < 3; ++i) {
      const thread_scratch inner(500), innermost(90000);
    }
  };
  std::thread([&] {
    scopes();
    scopes();  // the larger pieces are with the larger scopes now
    const std::size_t before = tern_test::allocations;
    for (int i = 0; i < 5; ++i) scopes();
    const std::size_t after = tern_test::allocations;
    CHECK(after == before);
  }).join();
}

TEST_CASE("a thread frees its memory when it ends") {
  // Sanitizers tell of what is not freed; here the system's count of live pieces must not grow.
  const std::size_t before = tern_test::live_allocations;
  std::thread([] { const thread_scratch outer(1000), inner(2000); }).join();
  const std::size_t after = tern_test::live_allocations;
  CHECK(after == before);
}
