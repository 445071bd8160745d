// The output of a run: a header, one line per log interval, a bar on terminals, and the results.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "progress_bar.hpp"
#include "settings.hpp"
#include "tern/recipe/pipeline.hpp"

namespace bitdistill {

/// Prints version, command, seed, ranks, threads of a rank, kernels, model and stages of a run.
void print_header(const settings& s, std::size_t threads, std::size_t ranks = 1);

/// What was found about the layers of a term, such as "relations: layer 1 of 0..2 agrees best with
/// the other losses (cosines -0.010 0.213 0.107)".
std::string choice_text(const tern::layer_agreement& term);

/// Shows nothing, as ranks other than rank 0 do.
struct silent_observer : tern::run_observer {
  bool stop_requested() override;
};

/// Shows the progress of a run on the standard output.
class console : public tern::run_observer {
 public:
  console();
  void on_change(const tern::stage& s, const std::string& difference) override;
  void on_begin(const tern::stage& s, const tern::model_config& model,
                std::size_t first_step) override;
  void on_layer(const tern::stage& s, const tern::layer_calibration& r,
                std::size_t layers) override;
  void on_choice(const tern::stage& s, const std::vector<tern::layer_agreement>& choice) override;
  void on_step(const tern::stage& s, const tern::step_report& r) override;
  void on_end(const tern::stage& s) override;
  void on_skip(const tern::stage& s) override;
  void on_result(const tern::stage& s, const tern::result_row& row) override;
  void on_evaluation(const tern::stage& s, std::size_t finished, std::size_t examples) override;
  bool stop_requested() override;

 private:
  using clock = std::chrono::steady_clock;

  void log(const tern::stage& s, const tern::step_report& r);
  void line(const std::string& text);
  [[nodiscard]] double seconds_left(const tern::step_report& r) const;

  progress_bar bar_;
  bool colour_;
  clock::time_point stage_start_, last_log_;
  std::size_t first_step_ = 0, last_log_step_ = 0, tokens_ = 0;
};

}  // namespace bitdistill
