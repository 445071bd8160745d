#include "numbers.hpp"

#include <fmt/core.h>

#include <charconv>
#include <cstdlib>
#include <limits>
#include <stdexcept>

namespace bitdistill {

std::uint64_t whole_number(const std::string& text, whole_range range) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [read, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && read == end && number >= range.least && number <= range.most)
    return number;
  const std::string to = range.most == std::numeric_limits<std::uint64_t>::max()
                             ? "2^64 - 1"
                             : std::to_string(range.most);
  throw std::invalid_argument(
      fmt::format("expected a whole number from {} to {}, got '{}'", range.least, to, text));
}

double real_number(const std::string& text, real_range range) {
  const bool decimal = !text.empty() && text.find_first_not_of("0123456789.eE+-") == text.npos;
  char* end = nullptr;
  const double number = decimal ? std::strtod(text.c_str(), &end) : 0;
  const bool whole = decimal && end == text.c_str() + text.size();
  if (whole && (range.open ? number > range.least : number >= range.least) && number <= range.most)
    return number;
  std::string expected =
      fmt::format("{} {}", range.open ? "a number above" : "a number from", range.least);
  if (range.most == std::numeric_limits<double>::max())
    expected += range.open ? "" : " up";
  else
    expected += fmt::format(" {} {}", range.open ? "up to" : "to", range.most);
  throw std::invalid_argument(fmt::format("expected {}, got '{}'", expected, text));
}

}  // namespace bitdistill
