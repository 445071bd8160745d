#include "report/means.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "csv.hpp"
#include "format.hpp"
#include "report/pictures.hpp"

namespace bitdistill {
namespace {

std::optional<tern::sample_statistics> mean_of(const std::map<std::uint64_t, double>& values) {
  std::vector<double> list;
  for (const auto& [seed, value] : values) list.push_back(value);
  if (list.empty()) return {};
  return tern::statistics_of(list);
}

/// `first_group`: the first group of all that has rows.
mean_row row_of(const run_group& first_group, const run_group& group, const std::string& method,
                const std::vector<std::string>& metrics) {
  const bool grid = !group.variants.empty();
  const run_group& reference = grid ? first_group : group;
  const std::string first = methods_of(reference).front();
  mean_row row{&group, method, group.shared.contains(method), 0, {}};
  for (const auto& metric : metrics) {
    const auto values = values_of(group, method, metric);
    metric_mean m{metric, mean_of(values), {}, {}};
    row.seeds = std::max(row.seeds, values.size());
    if (&reference != &group || method != first)
      m.to_first = difference_of(values, values_of(reference, first, metric));
    if (grid && &group != &first_group)
      m.to_first_variant = difference_of(values, values_of(first_group, method, metric));
    row.metrics.push_back(std::move(m));
  }
  const auto of = [&](const char* name) {
    const auto s = mean_of(values_of(group, method, name));
    return s ? s->mean : 0;
  };
  row.megabytes = of("megabytes");
  row.tokens_per_second = of("tokens_per_second");
  return row;
}

std::string label_of(const mean_row& row) { return label_of(*row.group, row.method); }

std::string optional_difference(const std::optional<tern::paired_difference>& d) {
  return d ? difference_text(*d, "+-") : "";
}

/// Cells in columns, the first one to the left, the others to the right.
std::string in_columns(const std::vector<std::vector<std::string>>& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  std::string text;
  for (const auto& line : lines) {
    std::string all = fmt::format("{:<{}}", line[0], widths[0]);
    for (std::size_t i = 1; i < line.size(); ++i)
      all += fmt::format("  {:>{}}", line[i], widths[i]);
    text += all + "\n";
  }
  return text;
}

std::vector<std::string> csv_difference(const std::optional<tern::paired_difference>& d) {
  if (!d) return {"", "", ""};
  const bool error = d->difference.count > 1;
  return {csv_number(d->difference.mean), error ? csv_number(d->difference.standard_error()) : "",
          d->distinguishable ? "yes" : "no"};
}

}  // namespace

std::string mean_text(const tern::sample_statistics& s, const char* between) {
  std::string text = fmt::format("{:.2f}", s.mean);
  if (s.count > 1) text += fmt::format(" {} {:.2f}", between, s.standard_error());
  return text;
}

std::string difference_text(const tern::paired_difference& d, const char* between) {
  std::string text = fmt::format("{:+.2f}", d.difference.mean);
  if (d.difference.count > 1)
    text += fmt::format(" {} {:.2f}{}", between, d.difference.standard_error(),
                        d.distinguishable ? "" : ", not distinguishable");
  return text;
}

std::vector<mean_row> means_of(const std::vector<run_group>& groups) {
  const auto metrics = metrics_of(groups);
  const run_group* first = nullptr;
  std::vector<mean_row> rows;
  for (const run_group& group : groups)
    for (const auto& method : methods_of(group)) {
      if (first == nullptr) first = &group;
      rows.push_back(row_of(*first, group, method, metrics));
    }
  return rows;
}

std::string first_heading(const std::vector<mean_row>& rows) {
  const mean_row& first = rows.front();
  if (!first.group->variants.empty()) return "to " + label_of(first);
  const run_group* group = nullptr;
  for (const mean_row& row : rows) {
    if (row.group != group && row.method != first.method) return "to the first method";
    group = row.group;
  }
  return "to " + first.method;
}

std::string means_text(const std::vector<mean_row>& rows) {
  if (rows.empty() || rows.front().metrics.empty()) return "no row is measured yet\n";
  const mean_row& first = rows.front();
  const bool variants = !first.group->variants.empty();
  std::vector<std::vector<std::string>> lines{{"Method"}};
  for (const metric_mean& m : first.metrics) lines[0].push_back(m.name);
  lines[0].push_back(first_heading(rows));
  if (variants) lines[0].push_back("to " + first.group->name);
  for (const char* heading : {"Seeds", "Size MB", "Tokens/s"}) lines[0].emplace_back(heading);
  for (const mean_row& row : rows) {
    std::vector<std::string> line{label_of(row)};
    for (const metric_mean& m : row.metrics)
      line.push_back(m.value ? mean_text(*m.value, "+-") : "");
    line.push_back(optional_difference(row.metrics[0].to_first));
    if (variants) line.push_back(optional_difference(row.metrics[0].to_first_variant));
    line.insert(line.end(), {std::to_string(row.seeds), fmt::format("{:.3f}", row.megabytes),
                             multiple(row.tokens_per_second)});
    lines.push_back(std::move(line));
  }
  return in_columns(lines);
}

std::string means_csv(const std::vector<mean_row>& rows) {
  if (rows.empty()) return "";
  const auto& variants = rows.front().group->variants;
  std::vector<std::string> head;
  for (const auto& [axis, variant] : variants) head.push_back(axis);
  if (variants.empty()) head.emplace_back("group");
  head.insert(head.end(), {"method", "seeds"});
  for (const metric_mean& m : rows.front().metrics)
    for (const char* what :
         {"", "_error", "_to_first", "_to_first_error", "_to_first_distinguishable",
          "_to_first_variant", "_to_first_variant_error", "_to_first_variant_distinguishable"})
      head.push_back(m.name + what);
  head.insert(head.end(), {"megabytes", "tokens_per_second"});
  std::string text = csv_record(head);
  for (const mean_row& row : rows) {
    std::vector<std::string> cells;
    for (const auto& [axis, variant] : row.group->variants)
      cells.push_back(row.shared ? "" : variant);
    if (variants.empty()) cells.push_back(row.group->name);
    cells.insert(cells.end(), {row.method, std::to_string(row.seeds)});
    for (const metric_mean& m : row.metrics) {
      const bool error = m.value && m.value->count > 1;
      cells.push_back(m.value ? csv_number(m.value->mean) : "");
      cells.push_back(error ? csv_number(m.value->standard_error()) : "");
      for (const auto& d : {m.to_first, m.to_first_variant})
        for (auto& cell : csv_difference(d)) cells.push_back(std::move(cell));
    }
    cells.insert(cells.end(), {csv_number(row.megabytes), csv_number(row.tokens_per_second)});
    text += csv_record(cells);
  }
  return text;
}

}  // namespace bitdistill
