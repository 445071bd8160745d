// Tests of the thread pool beside other pools and threads, in a forked child, when a program ends,
// and with impossible sizes.
#include "tern/core/thread_pool.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <limits>
#include <thread>

#include "tests/support.hpp"

#if __has_include( \
    <sys/wait.h>) && !defined(__SANITIZE_THREAD__)  // it starts no threads after a fork
#  include <sys/wait.h>
#  include <unistd.h>
#endif

using tern::thread_pool;

namespace {

/// Calls f for each of the indices in [0, n), one by one.
void each(thread_pool& pool, std::size_t n, const std::function<void()>& f) {
  pool.parallel_for(n, 1, [&](std::size_t, std::size_t) { f(); });
}

}  // namespace

TEST_CASE("a job of a pool may use another pool whose jobs use the first one") {
  thread_pool a(2), b(2);
  std::atomic<int> total = 0;
  each(a, 4, [&] { each(b, 4, [&] { each(a, 4, [&] { ++total; }); }); });
  CHECK(total == 64);
}

TEST_CASE("a pool may end when its threads have just begun") {
  for (int i = 0; i < 5000; ++i) {
    thread_pool pool(3);
    if (i % 2 == 0) each(pool, 4, [] {});
  }
  SUCCEED("no thread waits for ever");
}

TEST_CASE("two threads may nest two pools in opposite order") {
  thread_pool a(2), b(2);
  std::atomic<int> inside = 0, total = 0;
  const auto nest = [&](thread_pool& outer, thread_pool& inner) {
    outer.parallel_for(2, 1, [&](std::size_t begin, std::size_t) {
      if (begin == 0) {  // goes on when both outer pools are in use
        ++inside;
        while (inside < 2) std::this_thread::yield();
      }
      each(inner, 2, [&] { ++total; });
    });
  };
  std::thread other([&] { nest(a, b); });
  nest(b, a);
  other.join();
  CHECK(total == 8);
}

TEST_CASE("a job may wait for another thread that uses the same pool") {
  thread_pool pool(2);
  std::atomic<int> total = 0;
  each(pool, 4, [&] { std::thread([&] { each(pool, 4, [&] { ++total; }); }).join(); });
  CHECK(total == 16);
}

TEST_CASE("a call that finds the threads busy does its chunks in order on its own thread") {
  thread_pool pool(2);
  std::vector<std::pair<std::size_t, std::size_t>> seen;
  const auto here = std::this_thread::get_id();
  pool.parallel_for(2, 1, [&](std::size_t, std::size_t) {
    if (std::this_thread::get_id() != here) return;
    seen.clear();
    pool.parallel_for(10, 4, [&](std::size_t b, std::size_t e) { seen.emplace_back(b, e); });
  });
  using pairs = std::vector<std::pair<std::size_t, std::size_t>>;
  CHECK((seen.empty() || seen == pairs{{0, 4}, {4, 8}, {8, 10}}));
}

TEST_CASE("threads begin with neighbouring chunks of their own, and then take those of others") {
  thread_pool pool(2);
  std::array<std::thread::id, 8> by;
  const auto here = std::this_thread::get_id();
  std::size_t first = 8;  // chunk of the other thread
  std::atomic<int> begun = 0, done = 0;
  const auto until = [](const std::atomic<int>& count, int n) {
    while (count < n) std::this_thread::yield();
  };
  pool.parallel_for(8, 1, [&](std::size_t chunk, std::size_t) {
    by[chunk] = std::this_thread::get_id();
    if (by[chunk] != here && first == 8) first = chunk;
    ++begun;
    if (chunk == 0 || chunk == 4) until(begun, 2);
    if (chunk == 0) until(done, 7);
    ++done;
  });
  CHECK(by[0] == here);
  CHECK(first == 4);
  for (const std::size_t chunk : {1u, 2u, 3u, 5u, 6u, 7u}) CHECK(by[chunk] == by[4]);
}

TEST_CASE("a number of threads that no machine has is refused by name") {
  const std::size_t threads =
      GENERATE(thread_pool::most_threads + 1, std::numeric_limits<std::size_t>::max());
  CHECK_THROWS_WITH(thread_pool(threads),
                    "thread_pool: expected at most 65536 threads, got " + std::to_string(threads));
  CHECK_THROWS_AS(thread_pool(threads), tern::config_error);
}

#if __has_include( \
    <sys/wait.h>) && !defined(__SANITIZE_THREAD__)  // it starts no threads after a fork
#  if defined(__SANITIZE_ADDRESS__)
static bool in_child = false;

/// Asked by LeakSanitizer at the end of a process. What a child takes with it when it ends in the
/// middle of a call is no leak.
extern "C" int __lsan_is_turned_off() { return in_child ? 1 : 0; }
#  endif

namespace {

/// Status of a child process that calls f, and then ends by itself.
int status_of_child(const std::function<void()>& f) {
  const pid_t child = ::fork();
  if (child == 0) {
#  if defined(__SANITIZE_ADDRESS__)
    in_child = true;
#  endif
    ::alarm(20);  // ends a child that hangs
    f();
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

thread_pool& static_pool() {
  static thread_pool pool(3);
  return pool;
}

}  // namespace

TEST_CASE("a forked child does all chunks itself and may destroy the pool") {
  auto* const pool = new thread_pool(3);
  each(*pool, 50, [] {});
  CHECK(status_of_child([&] {
          std::atomic<int> total = 0;
          for (int i = 0; i < 20; ++i) each(*pool, 50, [&] { ++total; });
          if (total != 20 * 50) std::abort();
          delete pool;
        }) == 0);
  delete pool;
}

TEST_CASE("a child that is forked while the pool works does all chunks itself") {
  auto* const pool = new thread_pool(3);
  std::atomic<int> status = -1;
  pool->parallel_for(8, 1, [&](std::size_t begin, std::size_t) {
    if (begin != 3) return std::this_thread::sleep_for(std::chrono::milliseconds(10));
    status = status_of_child([&] {
      std::atomic<int> total = 0;
      each(*pool, 50, [&] { ++total; });
      if (total != 50) std::abort();
      delete pool;
    });
  });
  CHECK(status == 0);
  delete pool;
}

TEST_CASE("a child with a pool of its own, or of its parent, ends with exit()") {
  each(static_pool(), 10, [] {});
  CHECK(status_of_child([] { std::exit(0); }) == 0);
  CHECK(status_of_child([] {
          static thread_pool own(3);
          each(own, 10, [] {});
          std::exit(0);
        }) == 0);
}

TEST_CASE("a job on any thread may end the program") {
  CHECK(status_of_child([] {
          static thread_pool own(3);
          const auto here = std::this_thread::get_id();
          std::atomic<bool> first = true;
          own.parallel_for(3, 1, [&](std::size_t, std::size_t) {
            const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
            if (std::this_thread::get_id() != here && first.exchange(false)) std::exit(0);
            while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
          });
          std::abort();
        }) == 0);
}
#endif
