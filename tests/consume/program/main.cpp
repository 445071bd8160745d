// A stranger's program that uses the core alone, without an -m flag and with all warnings as
// errors.
#include <cstdio>
#include <vector>

#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/version.hpp"

#if defined(__SSE3__)
#  error "tern must not export instruction-set flags"
#endif

int main() {
  const std::vector<float> a{1, 2, 3, 4}, b{1, 0, 0, 1};
  std::vector<float> c(4);
  tern::gemm<float>(2.0f, {a.data(), 2, 2}, {b.data(), 2, 2}, {c.data(), 2, 2});
  std::printf("tern %d.%d.%d: %g\n", TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH,
              static_cast<double>(c[3]));
  return c[3] == 8.0f ? 0 : 1;
}
