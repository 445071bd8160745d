// Numbers on the command line: decimal digits only, and nothing is clamped.
#pragma once

#include <cstdint>
#include <string>

namespace bitdistill {

/// The whole numbers that an option takes.
struct whole_range {
  std::uint64_t least, most;
};

/// The numbers that an option takes.
struct real_range {
  double least, most;
  bool open = false;  ///< whether `least` itself is too small
};

/// The number that a text says. Throws std::invalid_argument "expected ..., got ..." for other text
/// and for a number outside of the range.
std::uint64_t whole_number(const std::string& text, whole_range range);
double real_number(const std::string& text, real_range range);

}  // namespace bitdistill
