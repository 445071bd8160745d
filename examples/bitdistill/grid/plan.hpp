// Which stages of a grid are to be trained, and where.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "run_input.hpp"
#include "settings.hpp"
#include "tern/recipe/grid_points.hpp"
#include "tern/recipe/run_directory.hpp"

namespace bitdistill {

/// A point of a grid: a run with a directory of its own.
struct planned_point {
  std::string name;
  settings run;
  const run_input* input = nullptr;  ///< shared by points with the same data
  std::map<std::string, nlohmann::json> fingerprints{};
  std::unique_ptr<tern::run_directory> directory{};  ///< nothing before the grid begins
  std::mutex adopting{};  ///< held while stages of other points are adopted
};

/// A stage that points have in common: its fingerprint is the same in all of them.
struct planned_stage {
  std::size_t point = 0;             ///< point in whose directory it is trained
  const tern::stage* one = nullptr;  ///< the stage in the recipe of that point
  bool finished = false;             ///< whether it was trained before
};

/// All that a grid is to do.
class grid_plan {
 public:
  /// Makes and checks the points, and reads their data. Nothing is written. Throws config_error,
  /// io_error or format_error; messages about a point begin with its name.
  grid_plan(const options& o, const tern::recipe_file& grid, tern::executor_ref ex);

  [[nodiscard]] const std::vector<std::unique_ptr<planned_point>>& points() const {
    return points_;
  }
  [[nodiscard]] const std::vector<planned_stage>& stages() const { return stages_; }
  /// The number of a point's stage in stages().
  [[nodiscard]] std::size_t index_of(const planned_point& p, const std::string& stage) const {
    return index_.at(p.fingerprints.at(stage).dump());
  }
  /// Bytes that the largest stages take which are still to be trained, `parallel` of them.
  [[nodiscard]] std::size_t training_bytes(std::size_t parallel) const;

  /// Makes the directories of the points, and looks which stages are finished.
  void open(const std::filesystem::path& directory);
  /// Takes the stage from the point that trained it, where `p` does not have it.
  void adopt(planned_point& p, const std::string& stage) const;
  /// The same for all that the stage starts and learns from.
  void adopt_origins(planned_point& p, const tern::stage& s) const;

 private:
  const run_input& input_of(settings& s, tern::executor_ref ex);
  void plan_stages();

  std::vector<std::unique_ptr<planned_point>> points_;
  std::map<std::string, std::unique_ptr<run_input>> inputs_;
  std::vector<planned_stage> stages_;
  std::map<std::string, std::size_t> index_;  ///< number of a stage by the text of its fingerprint
};

}  // namespace bitdistill
