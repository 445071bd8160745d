// The operands of the PyTorch scripts, made here by the same formula: see values.py.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tern/adapt/eigen.hpp"

namespace tern_test {

/// amplitude * sin(0.37 (i^2 mod 211) + seed), i the row-major index.
template <class T>
tern::matrix<T> wave(std::size_t rows, std::size_t cols, double seed, double amplitude = 1) {
  auto m = tern::tensor_traits<tern::matrix<T>>::make(rows, cols);
  for (Eigen::Index i = 0; i < m.size(); ++i) {
    const auto at = static_cast<double>(i * i % 211);
    m.data()[i] = static_cast<T>(amplitude * std::sin(0.37 * at + seed));
  }
  return m;
}

/// Largest |m - expected| of a matrix and a row-major array of its size.
template <class T, std::size_t N>
double distance(const tern::matrix<T>& m, const double (&expected)[N]) {
  if (m.size() != static_cast<Eigen::Index>(N)) return HUGE_VAL;
  double worst = 0;
  for (std::size_t i = 0; i < N; ++i) {
    const double d = std::abs(static_cast<double>(m.data()[i]) - expected[i]);
    worst = d > worst || std::isnan(d) ? d : worst;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

}  // namespace tern_test
