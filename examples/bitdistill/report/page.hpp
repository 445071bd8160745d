// A report as one HTML file that needs no network.
#pragma once

#include <string>
#include <vector>

#include "report/pictures.hpp"

namespace bitdistill {

/// The page: what the runs are, their results, pictures, settings and the commands that repeat
/// them.
std::string report_page(const std::vector<run_group>& groups, const std::vector<picture>& pictures);

}  // namespace bitdistill
