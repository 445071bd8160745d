#include "tests/executor_contract.hpp"

#if __has_include(<oneapi/tbb/parallel_for.h>)
#  include "tern/adapt/tbb.hpp"

TEST_CASE("oneTBB is an executor") {
  tern::tbb_executor ex;
  tern_test::check_executor(ex);
}
#else
TEST_CASE("oneTBB is an executor") { WARN("skipped: oneTBB (package libtbb-dev) is missing"); }
#endif
