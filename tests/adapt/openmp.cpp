#include "tests/executor_contract.hpp"

#ifdef _OPENMP
#  include "tern/adapt/openmp.hpp"

TEST_CASE("OpenMP is an executor") {
  tern::openmp_executor ex;
  tern_test::check_executor(ex);
}
#else
TEST_CASE("OpenMP is an executor") { WARN("skipped: the compiler has no OpenMP"); }
#endif
