#include "table.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

#include "csv.hpp"
#include "format.hpp"

namespace bitdistill {
namespace {

const tern::result_row* find(const std::vector<tern::result_row>& rows, const char* method) {
  const auto at = std::ranges::find(rows, method, &tern::result_row::method);
  return at == rows.end() ? nullptr : &*at;
}

/// The heading of the column of a metric.
std::string heading(const std::string& metric) {
  if (metric == "accuracy") return "Accuracy %";
  if (metric == "bleu") return "BLEU";
  if (metric.starts_with("rouge")) return "ROUGE-" + metric.substr(5);
  return metric;
}

template <class List, class Key>
void add_new(std::vector<std::string>& names, const List& list, Key&& key) {
  for (const auto& item : list)
    if (std::ranges::count(names, key(item)) == 0) names.push_back(key(item));
}

double first_metric(const tern::result_row& row) {
  return row.metrics.empty() ? 0 : row.metrics[0].second;
}

std::string compare(const tern::result_row& row, const tern::result_row& with) {
  return fmt::format("{} against {}: {:+.2f} points, {:.1f} x smaller, {:.2f} x as fast\n",
                     row.method, with.method, first_metric(row) - first_metric(with),
                     with.megabytes / row.megabytes,
                     row.tokens_per_second / with.tokens_per_second);
}

/// Lines that compare BitDistill with FP-SFT and BitNet-SFT, where the table has these rows.
std::string comparisons(const std::vector<tern::result_row>& rows) {
  const auto *full = find(rows, "FP-SFT"), *naive = find(rows, "BitNet-SFT"),
             *ours = find(rows, "BitDistill");
  std::string text;
  if (ours != nullptr && full != nullptr) text += compare(*ours, *full);
  if (ours != nullptr && naive != nullptr)
    text += fmt::format("{} against {}: {:+.2f} points\n", ours->method, naive->method,
                        first_metric(*ours) - first_metric(*naive));
  return text;
}

}  // namespace

std::string format_table(const std::vector<tern::result_row>& rows) {
  std::size_t width = 10;
  std::vector<std::string> marks, metrics;
  for (const auto& row : rows) {
    width = std::max(width, row.method.size());
    add_new(marks, row.marks, [](const auto& m) { return m.column; });
    add_new(metrics, row.metrics, [](const auto& m) { return m.first; });
  }
  std::string text = fmt::format("{:<{}}", "Method", width);
  for (const auto& column : marks) text += "  " + column;
  for (const auto& name : metrics) text += fmt::format("  {:>10}", heading(name));
  text += fmt::format("  {:>10}  {:>9}\n", "Size MB", "Tokens/s");
  for (const auto& row : rows) {
    text += fmt::format("{:<{}}", row.method, width);
    for (const auto& column : marks) {
      const auto mark = std::ranges::find(row.marks, column, &tern::table_mark::column);
      const char* shown = mark == row.marks.end() ? "" : mark->has ? "yes" : "-";
      text += fmt::format("  {:^{}}", shown, column.size());
    }
    for (const auto& name : metrics) {
      const auto value =
          std::ranges::find(row.metrics, name, &tern::metric_values::value_type::first);
      text += value == row.metrics.end() ? fmt::format("  {:>10}", "")
                                         : fmt::format("  {:>10.2f}", value->second);
    }
    text += fmt::format("  {:>10.3f}  {:>9}\n", row.megabytes, multiple(row.tokens_per_second));
  }
  return text + comparisons(rows);
}

std::string table_csv(const std::vector<tern::result_row>& rows) {
  std::vector<std::string> marks, metrics, head{"method"};
  for (const auto& row : rows) {
    add_new(marks, row.marks, [](const auto& m) { return m.column; });
    add_new(metrics, row.metrics, [](const auto& m) { return m.first; });
  }
  for (const auto* columns : {&marks, &metrics})
    head.insert(head.end(), columns->begin(), columns->end());
  head.insert(head.end(), {"megabytes", "tokens_per_second"});
  std::string text = csv_record(head);
  for (const auto& row : rows) {
    std::vector<std::string> cells{row.method};
    for (const auto& column : marks) {
      const auto mark = std::ranges::find(row.marks, column, &tern::table_mark::column);
      cells.emplace_back(mark == row.marks.end() ? "" : mark->has ? "yes" : "no");
    }
    for (const auto& name : metrics) {
      const auto value =
          std::ranges::find(row.metrics, name, &tern::metric_values::value_type::first);
      cells.push_back(value == row.metrics.end() ? "" : csv_number(value->second));
    }
    cells.insert(cells.end(), {csv_number(row.megabytes), csv_number(row.tokens_per_second)});
    text += csv_record(cells);
  }
  return text;
}

}  // namespace bitdistill
