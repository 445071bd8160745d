// The command run on a grid.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <optional>

#include "console.hpp"
#include "format.hpp"
#include "grid/grid.hpp"
#include "grid/plan.hpp"
#include "grid/tasks.hpp"
#include "ranks.hpp"
#include "report/means.hpp"
#include "resources.hpp"
#include "signals.hpp"
#include "standard_output.hpp"
#include "stopped.hpp"
#include "table.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/core/together.hpp"
#include "tern/json/write_json.hpp"
#include "tern/recipe/pipeline.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

/// What the tasks of a grid share: how many of its stages are trained.
struct stage_count {
  std::size_t all = 0;
  std::atomic<std::size_t> trained = 0;
};

/// Shows a stage of a point in one line when it begins and in one when it ends. The curves are in
/// the point's metrics.jsonl, which `watch` follows.
class point_console : public tern::run_observer {
 public:
  point_console(const planned_point& point, stage_count& count) : point_(point), count_(count) {}

  void on_change(const tern::stage& s, const std::string& difference) override {
    line(s, "'" + difference + "' has changed since the stage was trained, so it is trained anew");
  }
  void on_begin(const tern::stage& s, const tern::model_config&, std::size_t first_step) override {
    std::string text = s.steps > 0 ? fmt::format("{} steps", s.steps) : "calibration";
    if (first_step > 0) text += fmt::format(", continued at step {}", first_step);
    line(s, text);
  }
  void on_choice(const tern::stage& s, const std::vector<tern::layer_agreement>& choice) override {
    for (const tern::layer_agreement& term : choice) line(s, choice_text(term));
  }
  void on_end(const tern::stage& s) override {
    add_text(point_.input->text, point_.directory->stage(s.name));
    line(s, fmt::format("done in {} ({} of {} stages)", duration(watch_.seconds()),
                        ++count_.trained, count_.all));
  }
  void on_skip(const tern::stage& s) override {
    add_text(point_.input->text, point_.directory->stage(s.name));
  }
  void on_result(const tern::stage& s, const tern::result_row&) override {
    add_text(point_.input->text, point_.directory->model(s.name));
  }
  bool stop_requested() override { return bitdistill::stop_requested(); }

 private:
  void line(const tern::stage& s, const std::string& text) {
    put(point_.name + " | " + s.name + ": " + text + "\n");
  }

  const planned_point& point_;
  stage_count& count_;
  tern::stopwatch watch_;
};

/// Refuses an --out directory that does not hold this kind of grid.
void require_grid_directory(const options& o) {
  const bool begun = fs::exists(fs::path(o.out) / "config.json");
  if (begun && !is_grid(o.out))
    throw tern::config_error("'" + o.out + "' holds a run, not a grid: choose another --out");
  if (begun && !o.resume)
    throw tern::config_error("'" + o.out +
                             "' holds a grid already: continue it with --resume or choose another "
                             "--out");
  if (const auto points = fs::path(o.out) / "points"; !begun && fs::exists(points))
    throw tern::config_error("'" + o.out +
                             "' is not a grid, but it holds points: choose another --out");
}

/// The key that a setting sets.
std::string key_of(const std::string& setting) { return setting.substr(0, setting.find('=')); }

/// Refuses --set for a key that the grid varies, and --seed where the grid has seeds: the grid
/// would win.
void require_free_keys(const options& o, const tern::recipe_grid& grid) {
  if (o.seed && !grid.seeds.empty())
    throw tern::config_error("--seed does not apply to a grid with seeds: --set 'grid.seeds=[" +
                             std::to_string(*o.seed) + "]' replaces them");
  for (const auto& given : o.set)
    for (const tern::grid_axis& axis : grid.axes)
      for (const tern::grid_variant& v : axis.variants)
        for (const auto& setting : v.settings)
          if (key_of(given) == key_of(setting))
            throw tern::config_error("--set " + given + ": axis '" + axis.name +
                                     "' of the grid sets this key");
}

/// The tasks of a grid: its stages, and behind those of each point the point's table.
class grid_run {
 public:
  explicit grid_run(const grid_plan& plan) : plan_(plan) {
    for (const planned_stage& s : plan.stages()) count_.all += s.finished ? 0 : 1;
    for (const auto& p : plan.points()) {
      for (const tern::stage& s : p->run.recipe.stages)
        if (const std::size_t i = plan.index_of(*p, s.name); !task_of_.contains(i)) add_stage(i);
      add_table(*p);
    }
  }

  /// Runs all tasks. Returns the messages of those that failed.
  std::vector<std::string> run(std::size_t parallel, std::size_t threads) {
    std::vector<std::string> errors;
    for (const task_outcome& outcome : run_tasks(tasks_, parallel, threads))
      if (!outcome.error.empty()) errors.push_back(outcome.error);
    return errors;
  }

 private:
  /// The stages that a stage starts and learns from.
  std::vector<std::size_t> origins_of(const planned_point& p, const tern::stage& s) const {
    std::vector<std::size_t> tasks;
    for (const tern::stage& other : p.run.recipe.stages)
      if (other.name == s.from || other.name == s.teacher)
        tasks.push_back(task_of_.at(plan_.index_of(p, other.name)));
    return tasks;
  }

  void add_stage(std::size_t i) {
    const planned_stage& s = plan_.stages()[i];
    planned_point& p = *plan_.points()[s.point];
    // What a finished stage starts from is not needed. Its row may be missing, which other points
    // take over with it.
    auto after = s.finished ? std::vector<std::size_t>{} : origins_of(p, *s.one);
    task_of_[i] = tasks_.size();
    tasks_.push_back({std::move(after), [this, &s, &p](tern::executor_ref ex) {
                        work("stage " + s.one->name + " of point " + p.name, [&] {
                          if (!s.finished) plan_.adopt_origins(p, *s.one);
                          point_console show(p, count_);
                          pipeline_of(p, show, ex).run(*s.one);
                        });
                      }});
  }

  void add_table(planned_point& p) {
    std::vector<std::size_t> after;
    for (const tern::stage& s : p.run.recipe.stages)
      after.push_back(task_of_.at(plan_.index_of(p, s.name)));
    tasks_.push_back({std::move(after), [this, &p](tern::executor_ref ex) {
                        work("the table of point " + p.name, [&] {
                          for (const tern::stage& s : p.run.recipe.stages) plan_.adopt(p, s.name);
                          point_console show(p, count_);
                          const auto rows = pipeline_of(p, show, ex).run();
                          p.directory->write_table(rows, format_table(rows));
                        });
                      }});
  }

  static tern::pipeline<> pipeline_of(planned_point& p, tern::run_observer& show,
                                      tern::executor_ref ex) {
    return {p.run.recipe, p.input->data, *p.input->text.tokenizer, *p.directory, show, ex};
  }

  /// Calls f(), and names `what` where it fails.
  template <class F>
  static void work(const std::string& what, F&& f) {
    if (stop_requested()) throw tern::interrupted("stopped before " + what);
    std::string error;
    try {
      return f();
    } catch (const tern::interrupted&) {
      throw;
    } catch (const std::bad_alloc&) {
      error = "there is not enough memory";
    } catch (const std::exception& e) {
      error = e.what();
    }
    say("bitdistill: " + what + ": " + error);
    throw tern::error(what + ": " + error);
  }

  const grid_plan& plan_;
  stage_count count_;
  std::vector<task> tasks_;
  std::map<std::size_t, std::size_t> task_of_;  ///< number of the task that trains a stage
};

/// Writes the tables of what is finished, and shows them.
void finish_grid(const fs::path& directory) {
  const auto groups = read_groups({directory.string()});
  const std::string table = means_text(means_of(groups));
  tern::write_file(directory / "table.txt", table);
  tern::write_file(directory / "table.csv", means_csv(means_of(groups)));
  fmt::print("\n{}points: {}\n", table, (directory / "points").string());
}

/// Makes the directory of the grid, and says what there is to do.
void open_grid(const options& o, const tern::recipe_file& grid, grid_plan& plan,
               std::size_t threads, std::size_t ranks) {
  std::error_code error;
  fs::create_directories(o.out, error);
  if (error) throw tern::io_error("cannot make '" + o.out + "': " + error.message());
  tern::write_json(fs::path(o.out) / "config.json", to_json(o, grid));
  plan.open(o.out);
  print_header(plan.points().front()->run, threads, ranks);
  const auto finished = std::ranges::count(plan.stages(), true, &planned_stage::finished);
  fmt::print("grid of {} points with {} different stages, {} of them done before, {} at a time\n",
             plan.points().size(), plan.stages().size(), finished, o.parallel);
  std::fflush(stdout);
}

/// Runs one point after another on all ranks. Every rank throws where one fails.
void run_points(const grid_plan& plan, tern::executor_ref ex, tern::reducer& ranks) {
  const bool leads = ranks.rank() == 0;
  stage_count count;
  for (const planned_stage& s : plan.stages()) count.all += s.finished ? 0 : 1;
  for (const auto& p : plan.points()) {
    // Stages that another point trains are finished, since that point comes first.
    together(ranks, [&] {
      for (const tern::stage& s : p->run.recipe.stages)
        if (leads) plan.adopt(*p, s.name);
    });
    silent_observer silent;
    point_console show(*p, count);
    tern::pipeline<> pipeline(p->run.recipe, p->input->data, *p->input->text.tokenizer,
                              leads ? p->directory.get() : nullptr,
                              leads ? static_cast<tern::run_observer&>(show) : silent, ex, ranks);
    const auto rows = pipeline.run();
    together(ranks, [&] {
      if (leads) p->directory->write_table(rows, format_table(rows));
    });
  }
}

/// Trains several stages at a time, and writes the tables of what is finished.
void run_tasks_of(const grid_plan& plan, const options& o, std::size_t threads,
                  const std::string& again) {
  const auto errors = grid_run(plan).run(o.parallel, threads);
  try {
    finish_grid(o.out);
  } catch (const tern::error& e) {
    if (errors.empty()) throw;
    say("bitdistill: there is no table: " + std::string(e.what()));
  }
  if (!errors.empty())
    throw tern::error(
        fmt::format("{} of the grid's tasks failed, the first is {}; continue with: {}",
                    errors.size(), errors.front(), again));
}

}  // namespace

bool is_grid(const fs::path& directory) {
  const auto file = directory / "config.json";
  return fs::exists(file) && tern::has_grid({tern::read_json(file), file.string()});
}

void run_grid(const options& o, const tern::recipe_file& grid, tern::reducer& ranks) {
  const bool leads = ranks.rank() == 0;
  std::optional<tern::thread_pool> pool;
  std::optional<grid_plan> plan;
  catch_signals();
  together(ranks, [&] {
    if (o.command != "run")
      throw tern::config_error(grid.name + ": this is a grid, which only the command run takes");
    if (ranks.ranks() > 1 && o.has("--parallel"))
      throw tern::config_error("--parallel applies to one process: ranks share every stage");
    if (leads) require_grid_directory(o);
    require_free_keys(o, tern::read_grid(grid.json.at("grid"), grid.name));
    pool.emplace(threads_of_rank(o.threads, ranks));
    plan.emplace(o, grid, *pool);
    // A grid that is continued asks for memory, too, before anything is written.
    require_memory(plan->training_bytes(o.parallel), fmt::format("--parallel {}", o.parallel));
  });
  const std::size_t threads = pool->threads();
  together(ranks, [&] {
    if (leads) open_grid(o, grid, *plan, threads, ranks.ranks());
  });
  const std::string again = "bitdistill run --out " + o.out + " --resume";
  try {
    if (ranks.ranks() == 1) {
      pool.reset();  // each task has threads of its own
      return run_tasks_of(*plan, o, threads, again);
    }
    run_points(*plan, *pool, ranks);
    together(ranks, [&] {
      if (leads) finish_grid(o.out);
    });
  } catch (const tern::interrupted& e) {
    throw stopped(std::string(e.what()) + "; continue with: " + again);
  }
}

}  // namespace bitdistill
