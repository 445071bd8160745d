#include "table.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "format.hpp"

namespace bitdistill {
namespace {

const tern::result_row* find(const std::vector<tern::result_row>& rows, const char* method) {
  const auto at = std::ranges::find(rows, method, &tern::result_row::method);
  return at == rows.end() ? nullptr : &*at;
}

std::string compare(const tern::result_row& row, const tern::result_row& with) {
  return fmt::format("{} against {}: {:+.2f} points, {:.1f} x smaller, {:.2f} x as fast\n",
                     row.method, with.method, row.accuracy - with.accuracy,
                     with.megabytes / row.megabytes,
                     row.tokens_per_second / with.tokens_per_second);
}

}  // namespace

std::string format_table(const std::vector<tern::result_row>& rows) {
  std::size_t width = 10;
  for (const auto& row : rows) width = std::max(width, row.method.size());
  std::string text = fmt::format("{:<{}}  {:>10}  {:>10}  {:>9}\n", "Method", width, "Accuracy %",
                                 "Size MB", "Tokens/s");
  for (const auto& row : rows)
    text += fmt::format("{:<{}}  {:>10.2f}  {:>10.3f}  {:>9}\n", row.method, width, row.accuracy,
                        row.megabytes, multiple(row.tokens_per_second));
  const auto *full = find(rows, "FP-SFT"), *naive = find(rows, "BitNet-SFT"),
             *ours = find(rows, "BitDistill");
  if (ours != nullptr && full != nullptr) text += compare(*ours, *full);
  if (ours != nullptr && naive != nullptr)
    text += fmt::format("{} against {}: {:+.2f} points\n", ours->method, naive->method,
                        ours->accuracy - naive->accuracy);
  return text;
}

}  // namespace bitdistill
