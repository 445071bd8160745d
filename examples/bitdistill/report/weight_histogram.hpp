// How the weights of a model's linears are distributed around the thresholds of the ternary codes
// (BitNet Distillation, Fig. 2).
#pragma once

#include <filesystem>
#include <vector>

#include "report/svg.hpp"

namespace bitdistill {

/// The density of w / scale over the weights of all linears of the layers, in steps of 0.1 from -3
/// to
/// 3. The scale is that of the ternary quantizer; in full precision it is mean|W| of the matrix,
/// which absmean would take. A code changes at -0.5 and 0.5. Empty where the folder has no master
/// weights or they are larger than 2 GB.
std::vector<svg::point> weight_histogram(const std::filesystem::path& stage);

}  // namespace bitdistill
