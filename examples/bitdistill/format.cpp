#include "format.hpp"

#include <fmt/core.h>

#include <cmath>

namespace bitdistill {

std::string scientific(double x) {
  const std::string text = fmt::format("{:.1e}", x);  // "2.9e-04"
  const auto e = text.find('e');
  if (e == std::string::npos) return text;  // not finite
  return fmt::format("{}e{}", text.substr(0, e), std::stoi(text.substr(e + 1)));
}

std::string five(double x) {
  const double a = std::abs(x);
  if (a < 9.9995) return fmt::format("{:5.3f}", x);
  if (a < 99.995) return fmt::format("{:5.2f}", x);
  if (a < 999.95) return fmt::format("{:5.1f}", x);
  if (a < 99999.5) return fmt::format("{:5.0f}", x);
  return fmt::format("{:>5}", scientific(x));
}

std::string multiple(double x) {
  const char* unit = "";
  for (const char* next : {"k", "M", "G"})
    if (x >= 999.5) {
      x /= 1000;
      unit = next;
    }
  const int digits = x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
  return fmt::format("{:>5}", fmt::format("{:.{}f}{}", x, digits, unit));
}

std::string duration(double seconds) {
  const auto s = static_cast<long>(std::ceil(seconds));
  if (s < 100) return fmt::format("{}s", s);
  const long m = (s + 30) / 60;
  if (m < 100) return fmt::format("{}m", m);
  return fmt::format("{}h{:02}", m / 60, m % 60);
}

std::string grouped(std::size_t n) {
  return n < 1000 ? std::to_string(n) : grouped(n / 1000) + fmt::format(",{:03}", n % 1000);
}

std::string label_text(const tern::text_task& task) {
  std::string text = "labels: ";
  for (std::size_t i = 0; i < task.labels.size(); ++i)
    text += fmt::format("{}{} = {}", i == 0 ? "" : ", ", task.labels[i], task.label_words[i]);
  return text;
}

}  // namespace bitdistill
