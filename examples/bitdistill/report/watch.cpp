// The command watch: how far a run is, as a screen that follows its files.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "commands.hpp"
#include "format.hpp"
#include "grid/grid.hpp"
#include "report/run.hpp"
#include "signals.hpp"
#include "standard_output.hpp"
#include "system.hpp"

namespace bitdistill {
namespace {

constexpr std::size_t curve_width = 32;

/// The curve's positive values as characters of rising height, on a logarithmic scale. Values that
/// share a character are averaged.
std::string characters(const std::vector<svg::point>& curve) {
  constexpr std::array heights{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::vector<double> logs;
  for (const svg::point& p : curve)
    if (p.y > 0) logs.push_back(std::log(p.y));
  if (logs.empty()) return "";
  const std::size_t width = std::min(curve_width, logs.size());
  std::vector<double> means(width);
  for (std::size_t i = 0; i < width; ++i) {
    const std::size_t begin = i * logs.size() / width, end = (i + 1) * logs.size() / width;
    for (std::size_t k = begin; k < end; ++k)
      means[i] += logs[k] / static_cast<double>(end - begin);
  }
  const auto [low, high] = std::ranges::minmax(means);
  std::string text;
  for (const double mean : means) {
    const double share = high > low ? (mean - low) / (high - low) : 0;
    text += heights[static_cast<std::size_t>(share * (heights.size() - 1) + 0.5)];
  }
  return text;
}

/// The last value of a curve; 0 where there is none.
double last(const stage_log& log, const char* key) {
  const auto curve = log.curves.find(key);
  return curve == log.curves.end() ? 0 : curve->second.back().y;
}

std::string stage_line(const run_record& run, const stage_log& log, std::size_t width) {
  const bool done = std::filesystem::exists(run.directory / "stages" / log.stage / "config.json");
  std::string text = fmt::format("{:<{}}  ", log.stage, width);
  if (log.curves.empty()) return text + (done ? "done" : "waiting");
  const double step = last(log, "step"), steps = last(log, "steps"), seconds = last(log, "seconds");
  text += done ? fmt::format("done in {:.0f} steps", steps)
               : fmt::format("step {:.0f}/{:.0f}", step, steps);
  if (const auto loss = log.curves.find("loss"); loss != log.curves.end())
    text += fmt::format(" | loss {} {}", five(loss->second.back().y), characters(loss->second));
  if (done) return text;
  text +=
      fmt::format(" | lr {} | {:.0f} ms", scientific(last(log, "learning_rate")), 1e3 * seconds);
  if (seconds > 0) text += fmt::format(" | {} tok/s", multiple(last(log, "tokens") / seconds));
  if (log.curves.contains("flips"))
    text += fmt::format(" | flips {:.3f}%", 100 * last(log, "flips"));
  return text + " | eta " + duration(seconds * (steps - step));
}

/// What the screen shows.
std::vector<std::string> screen(const run_record& run) {
  std::vector<std::string> lines{
      fmt::format("{}: {}, seed {}", run.directory.string(), run.title, run.seed)};
  std::size_t width = 0;
  for (const stage_log& log : run.logs) width = std::max(width, log.stage.size());
  for (const stage_log& log : run.logs) lines.push_back(stage_line(run, log, width));
  for (const auto& row : run.rows)
    for (const auto& [metric, value] : row.metrics)
      lines.push_back(fmt::format("{}: {} {:.2f}", row.method, metric, value));
  return lines;
}

}  // namespace

void watch(const options& o) {
  if (is_grid(o.paths[0]))
    throw tern::config_error("'" + o.paths[0] + "' is a grid: watch one of its points/NAME");
  const bool follow = is_terminal(stdout);
  catch_signals();
  for (std::size_t shown = 0;;) {
    const run_record run = read_run(o.paths[0]);
    std::string text = shown > 0 ? fmt::format("\x1b[{}A", shown) : "";
    const auto lines = screen(run);
    for (const auto& line : lines) text += line + (follow ? "\x1b[K\n" : "\n");
    put(follow ? text + "\x1b[J" : text);
    if (!follow || !run.rows.empty()) return;
    shown = lines.size();
    for (int i = 0; i < 10 && !stop_requested(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (stop_requested()) return;
  }
}

}  // namespace bitdistill
