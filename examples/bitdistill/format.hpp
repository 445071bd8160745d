// Numbers as text of a fixed width, so that lines of numbers form columns.
#pragma once

#include <string>

#include "tern/data/text_task.hpp"

namespace bitdistill {

/// A number in five characters: "3.214", "32.14", "321.4", " 3214", "3.2e6".
std::string five(double x);
/// A number with two digits and an exponent: "2.9e-4".
std::string scientific(double x);
/// A number in five characters with a decimal multiple: "812.0", "4.90k", "12.3M".
std::string multiple(double x);
/// A time in seconds, minutes or hours: "45s", "12m", "3h05".
std::string duration(double seconds);
/// A number with groups of three digits: "1,234,567".
std::string grouped(std::size_t n);

/// Which word stands for which label, in the order of the classes: "labels: 0 = terrible, 1 =
/// great".
std::string label_text(const tern::text_task& task);

}  // namespace bitdistill
