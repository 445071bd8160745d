// The command report: runs and calibrations as one HTML page, and their pictures as files.
#include <fmt/core.h>

#include <filesystem>
#include <utility>

#include "commands.hpp"
#include "report/page.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"
#include "tern/json/read_json.hpp"

namespace bitdistill {

namespace fs = std::filesystem;

void report(const options& o) {
  std::vector<std::string> runs;
  std::vector<picture> calibrations;
  for (const auto& path : o.paths) {
    if (const auto file = fs::path(path) / "calibration.json"; fs::exists(file))
      calibrations.push_back(draw_calibration(tern::read_json(file)));
    else
      runs.push_back(path);
  }
  const auto groups = read_groups(runs);
  auto pictures = draw_runs(groups);
  for (std::size_t i = 0; i < calibrations.size(); ++i) {
    if (calibrations.size() > 1) calibrations[i].name += fmt::format("-{}", i + 1);
    pictures.push_back(std::move(calibrations[i]));
  }
  tern::write_file(o.out, report_page(groups, pictures));
  fmt::print("wrote {}\n", o.out);
  if (o.pictures.empty()) return;
  std::error_code error;
  fs::create_directories(o.pictures, error);
  if (error) throw tern::io_error("cannot make '" + o.pictures + "': " + error.message());
  for (const picture& p : pictures)
    tern::write_file(fs::path(o.pictures) / (p.name + ".svg"), svg::standalone(p.svg));
  fmt::print("wrote {} pictures to {}\n", pictures.size(), o.pictures);
}

}  // namespace bitdistill
