// Tables as comma-separated values, as RFC 4180 describes them.
#pragma once

#include <string>
#include <vector>

namespace bitdistill {

/// The cells as one record, which ends in CR LF. A cell with a comma, a quote or a line break is
/// put in quotes, in which a quote is doubled.
std::string csv_record(const std::vector<std::string>& cells);

/// A number with all digits that tell it from other numbers.
std::string csv_number(double x);

}  // namespace bitdistill
