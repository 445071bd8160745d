// The checks that every executor must pass.
#pragma once

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tern/core/executor.hpp"
#include "tests/support.hpp"

namespace tern_test {

using chunks = std::set<std::pair<std::size_t, std::size_t>>;

/// The chunks that f was called with. Each index must be in one of them, once.
inline chunks chunks_of(tern::executor_ref ex, std::size_t n, std::size_t grain) {
  std::mutex mutex;
  chunks seen;
  std::vector<std::atomic<int>> visits(n);
  ex.parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) ++visits[i];
    const std::lock_guard lock(mutex);
    seen.emplace(begin, end);
  });
  for (const auto& v : visits) REQUIRE(v == 1);
  return seen;
}

/// Checks that the chunks are those of the serial executor and that exceptions reach the caller.
template <tern::executor E>
void check_executor(E& ex) {
  for (const auto& [n, grain] :
       {std::pair<std::size_t, std::size_t>{0, 4}, {1, 4}, {4, 4}, {5, 4}, {1000, 7}, {9, 0}})
    CHECK(chunks_of(ex, n, grain) == chunks_of({}, n, grain));
  const auto fail = [&] {
    ex.parallel_for(100, 1, [](std::size_t begin, std::size_t) {
      if (begin == 57) throw std::runtime_error("57");
    });
  };
  CHECK_THROWS_WITH(fail(), "57");
  CHECK(chunks_of(ex, 50, 3).size() == 17);  // it still works after the exception
}

}  // namespace tern_test
