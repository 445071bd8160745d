// flags: -Wsign-conversion -Wold-style-cast
// What the concepts of executors and jobs accept compiles.
#include <cstddef>

#include "tern/core/executor.hpp"
#include "tern/core/thread_pool.hpp"

void job(std::size_t begin, std::size_t end);
[[nodiscard]] int job_with_a_result(std::size_t begin, std::size_t end) noexcept;

struct const_executor {
  void parallel_for(std::size_t n, std::size_t grain, tern::range_function f) const;
};
struct executor_of_any_job {
  template <class F>
  int parallel_for(std::size_t n, std::size_t grain, F&& f);
};
struct static_executor {
  static void parallel_for(std::size_t n, std::size_t grain, const tern::range_function& f);
};

void use(tern::thread_pool& pool, const const_executor& a, executor_of_any_job& b,
         const static_executor& c) {
  void (*pointer)(std::size_t, std::size_t) = job;
  const auto lambda = [](std::size_t, std::size_t) {};
  pool.parallel_for(1, 1, job);
  pool.parallel_for(1, 1, &job);
  pool.parallel_for(1, 1, pointer);
  pool.parallel_for(1, 1, job_with_a_result);
  pool.parallel_for(1, 1, lambda);
  tern::executor_ref(a).parallel_for(1, 1, job);
  tern::executor_ref(b).parallel_for(1, 1, job);
  tern::executor_ref(c).parallel_for(1, 1, job);
}
