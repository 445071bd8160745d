// The operands of the PyTorch scripts, computed here with the formula of values.py.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/adapt/eigen.hpp"

namespace tern_test {

/// Elements amplitude * sin(0.37 (i^2 mod 211) + seed), where i is the row-major index.
template <class T>
tern::matrix<T> wave(std::size_t rows, std::size_t cols, double seed, double amplitude = 1) {
  auto m = tern::tensor_traits<tern::matrix<T>>::make(rows, cols);
  for (Eigen::Index i = 0; i < m.size(); ++i) {
    const auto at = static_cast<double>(i * i % 211);
    m.data()[i] = static_cast<T>(amplitude * std::sin(0.37 * at + seed));
  }
  return m;
}

/// Largest |m - expected|, where `expected` holds the elements in row-major order. It is infinite
/// if the sizes differ.
template <class T>
double distance(const tern::matrix<T>& m, std::span<const double> expected) {
  if (m.size() != static_cast<Eigen::Index>(expected.size())) return HUGE_VAL;
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double d = std::abs(static_cast<double>(m.data()[i]) - expected[i]);
    worst = d > worst || std::isnan(d) ? d : worst;
    if (std::isnan(worst)) return worst;
  }
  return worst;
}

}  // namespace tern_test
