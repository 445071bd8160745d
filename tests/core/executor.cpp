// Tests of the thread pool: each index once, the same chunks for any number of threads, exceptions
// and nested calls.
#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/executor_contract.hpp"

using tern::thread_pool;
using tern_test::chunks;
using tern_test::chunks_of;

static_assert(tern::executor<thread_pool> && tern::executor<tern::serial_executor>);
static_assert(!tern::executor<int>);

TEST_CASE("every executor makes the same chunks, each index once", "[executor]") {
  for (const std::size_t threads : {1u, 2u, 3u, 8u}) {
    thread_pool pool(threads);
    CHECK(pool.threads() == threads);
    tern_test::check_executor(pool);
  }
  CHECK(chunks_of({}, 10, 4) == chunks{{0, 4}, {4, 8}, {8, 10}});
}

TEST_CASE("a pool uses its threads", "[executor]") {
  thread_pool pool(3);
  for (int repeat = 0; repeat < 3; ++repeat) {
    std::this_thread::sleep_for(
        std::chrono::milliseconds(2 * repeat));  // long enough for the workers to sleep
    std::atomic<int> arrived = 0;
    // Each chunk waits for the others, so the test passes only with three threads at a time.
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    pool.parallel_for(3, 1, [&](std::size_t, std::size_t) {
      ++arrived;
      while (arrived < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    });
    CHECK(std::chrono::steady_clock::now() < deadline);
  }
}

TEST_CASE("an exception of a job reaches the caller and the pool still works", "[executor]") {
  thread_pool pool(3);
  for (int repeat = 0; repeat < 50; ++repeat) {
    CHECK_THROWS_AS(pool.parallel_for(100, 1,
                                      [](std::size_t begin, std::size_t) {
                                        if (begin % 7 == 3) throw std::logic_error("job");
                                      }),
                    std::logic_error);
    CHECK(chunks_of(pool, 100, 3).size() == 34);
  }
}

TEST_CASE("a call from inside a job is serial, even after an exception", "[executor]") {
  thread_pool pool(3);
  std::atomic<int> total = 0;
  const auto nested = [&](std::size_t, std::size_t) {
    const auto here = std::this_thread::get_id();
    pool.parallel_for(10, 1, [&](std::size_t, std::size_t) {
      if (std::this_thread::get_id() == here) ++total;
    });
  };
  pool.parallel_for(20, 1, nested);
  CHECK(total == 200);
  CHECK_THROWS(pool.parallel_for(20, 1, [&](std::size_t, std::size_t) {
    pool.parallel_for(10, 1, [](std::size_t, std::size_t) { throw 1; });
  }));
  pool.parallel_for(20, 1, nested);
  CHECK(total == 400);
}

namespace {

std::atomic<std::size_t> counted = 0;
void count(std::size_t begin, std::size_t end) { counted += end - begin; }

struct const_executor {
  void parallel_for(std::size_t n, std::size_t grain, tern::range_function f) const {
    tern::serial_executor::parallel_for(n, grain, f);
  }
};

}  // namespace

TEST_CASE("a plain function is a job", "[executor]") {
  thread_pool pool(2);
  counted = 0;
  pool.parallel_for(10, 3, count);
  pool.parallel_for(10, 3, &count);
  tern::executor_ref(pool).parallel_for(10, 3, count);
  CHECK(counted == 30);
}

TEST_CASE("an executor may be const", "[executor]") {
  const const_executor ex;
  counted = 0;
  tern::executor_ref(ex).parallel_for(10, 3, count);
  CHECK(counted == 10);
}

TEST_CASE("a chunk may be larger than the range", "[executor]") {
  thread_pool pool(2);
  counted = 0;
  pool.parallel_for(10, static_cast<std::size_t>(-1), count);
  CHECK(counted == 10);
}

TEST_CASE("callers on several threads share a pool", "[executor]") {
  thread_pool pool(2);
  std::atomic<std::size_t> total = 0;
  {
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
      callers.emplace_back([&] {
        for (int repeat = 0; repeat < 100; ++repeat)
          pool.parallel_for(50, 3, [&](std::size_t b, std::size_t e) { total += e - b; });
      });
    for (std::thread& caller : callers) caller.join();
  }
  CHECK(total == 4 * 100 * 50);
}
