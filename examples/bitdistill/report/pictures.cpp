#include "report/pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "report/weight_histogram.hpp"
#include "tern/core/error.hpp"

namespace bitdistill {
namespace {

tern::sample_statistics statistics(const std::map<std::uint64_t, double>& values) {
  std::vector<double> all;
  for (const auto& [seed, value] : values) all.push_back(value);
  return tern::statistics_of(all);
}

void add_new(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

void add(std::vector<picture>& all, std::string name, std::string svg) {
  if (!svg.empty()) all.push_back({std::move(name), std::move(svg)});
}

std::string draw_bars(const std::vector<run_group>& groups, const std::string& metric) {
  std::vector<svg::bar> bars;
  std::size_t seeds = 0;
  for (const run_group& group : groups)
    for (const auto& method : methods_of(group))
      if (const auto values = values_of(group, method, metric); !values.empty()) {
        const auto s = statistics(values);
        seeds = std::max(seeds, s.count);
        bars.push_back({label_of(group, method), s.mean, s.standard_error()});
      }
  return svg::draw(
      metric + (seeds > 1 ? fmt::format(", mean of up to {} seeds and standard error", seeds) : ""),
      bars);
}

/// A disc for each method: its metric against size or speed.
std::string draw_against(const std::vector<run_group>& groups, const std::string& metric,
                         const std::string& other, const char* label) {
  svg::chart chart;
  chart.title = metric;
  chart.x_label = label;
  chart.log_x = true;
  for (const run_group& group : groups)
    for (const auto& method : methods_of(group)) {
      const auto y = values_of(group, method, metric), x = values_of(group, method, other);
      if (y.empty() || x.empty()) continue;
      chart.all.push_back({label_of(group, method),
                           {{statistics(x).mean, statistics(y).mean}},
                           chart.all.size(),
                           false});
    }
  return svg::draw(chart);
}

bool equal_points(const std::vector<svg::point>& a, const std::vector<svg::point>& b) {
  return std::ranges::equal(
      a, b, [](const svg::point& p, const svg::point& q) { return p.x == q.x && p.y == q.y; });
}

/// One curve of a stage for each run that has it.
svg::chart curve_of(const std::vector<run_group>& groups, const std::string& stage,
                    const std::string& key) {
  svg::chart chart;
  chart.title = stage;
  chart.x_label = "step";
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (const run_record& run : groups[g].runs) {
      const auto log = std::ranges::find(run.logs, stage, &stage_log::stage);
      if (log == run.logs.end() || !log->curves.contains(key)) continue;
      const bool one = groups.size() == 1;
      const auto& points = log->curves.at(key);
      // The points of a grid share stages, whose curves are drawn once.
      const auto same = std::ranges::find_if(
          chart.all, [&](const svg::series& other) { return equal_points(other.points, points); });
      if (!groups[g].variants.empty() && same != chart.all.end()) {
        if (same->color != g) same->name = "shared";
        continue;
      }
      chart.all.push_back({one ? fmt::format("seed {}", run.seed) : groups[g].name, points,
                           one ? chart.all.size() : g, true});
    }
  return chart;
}

void draw_stage(std::vector<picture>& all, const std::vector<run_group>& groups,
                const std::string& stage) {
  const auto points = [](const svg::chart& chart) {
    std::vector<double> values;
    for (const svg::series& s : chart.all)
      for (const svg::point& p : s.points) values.push_back(p.y);
    return values;
  };
  const bool one_term =
      points(curve_of(groups, stage, "loss")) == points(curve_of(groups, stage, "cross_entropy"));
  for (const auto& [key, label] : {std::pair{"cross_entropy", "cross-entropy, nats a token"},
                                   {"loss", "loss"},
                                   {"logits", "logits distillation"},
                                   {"hidden_states", "relative error of hidden states"},
                                   {"relations", "attention-relation distillation"},
                                   {"flips", "share of codes that an update changes"}}) {
    if (one_term && key == std::string_view("loss")) continue;
    svg::chart chart = curve_of(groups, stage, key);
    chart.y_label = label;
    chart.log_y = true;
    add(all, fmt::format("{}-{}", stage, key), svg::draw(chart));
  }
}

void draw_weights(std::vector<picture>& all, const run_record& run) {
  svg::chart chart;
  chart.title = "Weights of the linears";
  chart.y_label = "density of w / scale";
  chart.x_label = "w / scale; the code changes at the dashed lines";
  chart.marks = {-0.5, 0.5};
  for (const stage_log& log : run.logs)
    if (auto density = weight_histogram(run.directory / "stages" / log.stage); !density.empty())
      chart.all.push_back({log.stage, std::move(density), chart.all.size(), true});
  add(all, "weights", svg::draw(chart));
}

}  // namespace

std::vector<std::string> metrics_of(const std::vector<run_group>& groups) {
  std::vector<std::string> names;
  for (const run_group& group : groups)
    for (const run_record& run : group.runs)
      for (const auto& row : run.rows)
        for (const auto& [name, value] : row.metrics) add_new(names, name);
  return names;
}

std::vector<std::string> methods_of(const run_group& group) {
  std::vector<std::string> names;
  for (const run_record& run : group.runs)
    for (const auto& row : run.rows) add_new(names, row.method);
  return names;
}

std::string label_of(const run_group& group, const std::string& method) {
  return group.name.empty() || group.shared.contains(method)
             ? method
             : fmt::format("{} ({})", method, group.name);
}

std::vector<picture> draw_runs(const std::vector<run_group>& groups) {
  std::vector<picture> all;
  for (const auto& metric : metrics_of(groups)) add(all, metric, draw_bars(groups, metric));
  if (const auto metrics = metrics_of(groups); !metrics.empty()) {
    add(all, "size", draw_against(groups, metrics[0], "megabytes", "size of the weights file, MB"));
    add(all, "speed", draw_against(groups, metrics[0], "tokens_per_second", "tokens/s"));
  }
  std::vector<std::string> stages;
  for (const run_group& group : groups)
    for (const run_record& run : group.runs)
      for (const stage_log& log : run.logs) add_new(stages, log.stage);
  for (const auto& stage : stages) draw_stage(all, groups, stage);
  for (const run_group& group : groups) {
    const std::size_t before = all.size();
    draw_weights(all, group.runs.front());
    for (std::size_t i = before; i < all.size(); ++i)
      if (!group.name.empty()) all[i].name += "-" + group.name;
  }
  return all;
}

picture draw_calibration(const nlohmann::json& calibration) {
  svg::chart chart;
  chart.title = "Outputs of each layer";
  chart.y_label = "squared error relative to their size";
  chart.x_label = "layer";
  chart.log_y = true;
  for (const auto& [key, name] :
       {std::pair{"nearest", "rounded to nearest"}, {"calibrated", "calibrated"}}) {
    std::vector<svg::point> points;
    for (const auto& layer : calibration.at("layers")) {
      const auto errors = layer.at(key).get<std::vector<double>>();
      points.push_back({layer.at("layer").get<double>(), tern::statistics_of(errors).mean});
    }
    chart.all.push_back({name, std::move(points), chart.all.size(), true});
  }
  return {"calibration", svg::draw(chart)};
}

}  // namespace bitdistill
