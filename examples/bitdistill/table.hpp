// The table of a run as text.
#pragma once

#include <string>
#include <vector>

#include "tern/recipe/result_row.hpp"

namespace bitdistill {

/// One line for each row, then lines that compare BitDistill with FP-SFT and BitNet-SFT.
std::string format_table(const std::vector<tern::result_row>& rows);

/// One record for each row behind one of headings, as comma-separated values.
std::string table_csv(const std::vector<tern::result_row>& rows);

}  // namespace bitdistill
