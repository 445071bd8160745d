// The table of several runs: means over seeds with their standard errors, and paired differences.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "report/run.hpp"

namespace bitdistill {

/// A metric of a method.
struct metric_mean {
  std::string name;
  std::optional<tern::sample_statistics> value;  ///< nothing where no run measured it
  /// The difference to the first method: that of the same group, or that of a grid's first group.
  std::optional<tern::paired_difference> to_first;
  /// The difference to the same method in a grid's first group; nothing in that group.
  std::optional<tern::paired_difference> to_first_variant;
};

/// A method of a group.
struct mean_row {
  const run_group* group = nullptr;
  std::string method;
  bool shared = false;    ///< whether the row counts for all groups of a grid
  std::size_t seeds = 0;  ///< number of runs that have the method
  std::vector<metric_mean> metrics;
  double megabytes = 0, tokens_per_second = 0;  ///< means
};

/// The rows of all groups, which must outlive the result.
std::vector<mean_row> means_of(const std::vector<run_group>& groups);

/// The heading of the differences to the first method: "to FP-SFT". In a grid, it names the
/// variant.
std::string first_heading(const std::vector<mean_row>& rows);

/// The rows of runs or of a grid as text.
std::string means_text(const std::vector<mean_row>& rows);

/// The same with a column for each axis of a grid, as comma-separated values.
std::string means_csv(const std::vector<mean_row>& rows);

/// "93.35 +- 0.23", without an error for one value. `between` stands between mean and error.
std::string mean_text(const tern::sample_statistics& s, const char* between);

/// "-6.67 +- 0.17", without an error for one pair, and whether it is not distinguishable from 0.
std::string difference_text(const tern::paired_difference& d, const char* between);

}  // namespace bitdistill
