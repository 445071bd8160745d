// Numbers as text of a fixed width, for lines that stand under one another.
#pragma once

#include <string>

namespace bitdistill {

/// Five characters: "3.214", "32.14", "321.4", " 3214", "3.2e6".
std::string five(double x);
/// "2.9e-4".
std::string scientific(double x);
/// Five characters with a decimal multiple: "812.0", "4.90k", "12.3M".
std::string multiple(double x);
/// "45s", "12m", "3h05".
std::string duration(double seconds);
/// 1234567 as "1,234,567".
std::string grouped(std::size_t n);

}  // namespace bitdistill
