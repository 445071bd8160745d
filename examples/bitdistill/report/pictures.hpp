// The pictures of a report.
#pragma once

#include <string>
#include <vector>

#include "report/run.hpp"

namespace bitdistill {

/// A picture with the name of its file, without the ending.
struct picture {
  std::string name, svg;
};

/// Results of all methods as bars, and against size and speed; for each stage its loss and its flip
/// rate; and the distributions of weights before and after the stages that train ternary ones.
std::vector<picture> draw_runs(const std::vector<run_group>& groups);

/// The errors of the layers that `bitdistill quantize` wrote to `calibration.json`.
picture draw_calibration(const nlohmann::json& calibration);

/// The metrics of the tables, in the order in which they appear.
std::vector<std::string> metrics_of(const std::vector<run_group>& groups);

/// The methods of a group's tables, in the order in which they appear.
std::vector<std::string> methods_of(const run_group& group);

/// "BitDistill", or "BitDistill (A)" where there are several groups that do not share the row.
std::string label_of(const run_group& group, const std::string& method);

}  // namespace bitdistill
