// The final table as text.
#pragma once

#include <string>
#include <vector>

#include "tern/recipe/result_row.hpp"

namespace bitdistill {

/// One line a row, and below how the ternary models compare with the full-precision one.
std::string format_table(const std::vector<tern::result_row>& rows);

}  // namespace bitdistill
