// Means, their errors, and paired differences of results over seeds.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Mean and spread of a sample.
struct sample_statistics {
  std::size_t count = 0;  ///< number of values
  double mean = 0;        ///< arithmetic mean
  double deviation = 0;   ///< standard deviation with count - 1; 0 for one value

  /// The standard error of the mean; 0 for one value, about which nothing is known.
  [[nodiscard]] double standard_error() const {
    return deviation / std::sqrt(static_cast<double>(count));
  }
};

/// Statistics of values. Throws config_error where there are none.
inline sample_statistics statistics_of(std::span<const double> values) {
  if (values.empty()) throw config_error("statistics: expected at least one value");
  sample_statistics s{values.size()};
  const auto count = static_cast<double>(values.size());
  for (const double v : values) s.mean += v / count;
  if (values.size() == 1) return s;
  double squares = 0;
  for (const double v : values) squares += (v - s.mean) * (v - s.mean);
  s.deviation = std::sqrt(squares / (count - 1));
  return s;
}

/// Student's t for a two-sided confidence of 95 %: the mean of a normal sample lies within so many
/// standard errors of the true mean. `freedom` is the number of values less one. Up to 10 the
/// values are exact; above, the expansion of Fisher and Cornish (1960) is right to 2e-5. Throws
/// config_error for 0.
inline double student_t95(std::size_t freedom) {
  constexpr std::array exact{12.706205, 4.302653, 3.182446, 2.776445, 2.570582,
                             2.446912,  2.364624, 2.306004, 2.262157, 2.228139};
  if (freedom == 0) throw config_error("student_t95: expected at least one degree of freedom");
  if (freedom <= exact.size()) return exact[freedom - 1];
  constexpr double z = 1.959963985, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z,
                   z9 = z7 * z * z;
  const auto n = static_cast<double>(freedom);
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n) +
         (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * n * n * n * n);
}

/// How one method differs from another over the same seeds.
struct paired_difference {
  sample_statistics difference;  ///< first less second, over the pairs
  bool distinguishable = false;  ///< whether 0 lies outside the confidence interval of 95 %
};

/// Compares values pair by pair, so that what a seed does to both methods alike drops out. One pair
/// is never distinguishable. Throws shape_error where the lengths differ, config_error where they
/// are 0.
inline paired_difference compare_pairs(std::span<const double> first,
                                       std::span<const double> second) {
  require_size(second.size(), first.size(), "compare_pairs: second");
  std::vector<double> differences(first.size());
  for (std::size_t i = 0; i < first.size(); ++i) differences[i] = first[i] - second[i];
  paired_difference result{statistics_of(differences)};
  if (first.size() > 1)
    result.distinguishable = std::abs(result.difference.mean) >
                             student_t95(first.size() - 1) * result.difference.standard_error();
  return result;
}

}  // namespace tern::inline TERN_ABI
