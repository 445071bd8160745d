#include "report/tensorboard.hpp"

#include <fmt/core.h>

#include <cstdint>
#include <map>
#include <utility>

#include "report/event_file.hpp"
#include "report/run.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// The lines of a stage's log as events. Their time is that which training took so far.
std::vector<scalar_event> events_of(const stage_log& log) {
  std::map<double, scalar_event> by_step;
  for (const auto& [key, curve] : log.curves)
    for (const svg::point& p : curve) {
      by_step[p.x].step = static_cast<std::int64_t>(p.x);
      if (key != "step" && key != "steps")
        by_step[p.x].values.emplace_back(key, static_cast<float>(p.y));
    }
  std::map<double, double> seconds;
  if (const auto at = log.curves.find("seconds"); at != log.curves.end())
    for (const svg::point& p : at->second) seconds[p.x] = p.y;
  std::vector<scalar_event> events;
  double time = 0, before = 0;
  for (auto& [step, event] : by_step) {
    time += seconds[step] * (step - before);
    before = step;
    event.wall_time = time;
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace

void write_event_files(const std::vector<std::string>& paths, const fs::path& folder) {
  std::map<fs::path, std::string> files;
  for (const run_group& group : read_groups(paths))
    for (const run_record& run : group.runs)
      for (const stage_log& log : run.logs) {
        if (log.curves.empty()) continue;
        const auto name = fs::weakly_canonical(run.directory).filename() / log.stage;
        if (!files.emplace(name, event_file(events_of(log))).second)
          throw tern::config_error("two of the runs are called '" + name.parent_path().string() +
                                   "': give one at a time, with a folder of its own");
      }
  for (const auto& [name, bytes] : files) {
    std::error_code error;
    fs::create_directories(folder / name, error);
    if (error)
      throw tern::io_error("cannot make '" + (folder / name).string() + "': " + error.message());
    tern::write_file(folder / name / "events.out.tfevents.1.bitdistill", bytes);
  }
  fmt::print("wrote {} event files to {}\n", files.size(), folder.string());
}

}  // namespace bitdistill
