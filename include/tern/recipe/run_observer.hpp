// What a program may want to see of a run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tern/calibrate/model_calibration.hpp"
#include "tern/core/error.hpp"
#include "tern/model/config.hpp"
#include "tern/recipe/layer_agreement.hpp"
#include "tern/recipe/result_row.hpp"
#include "tern/recipe/stage.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// The run was asked to stop; its state is saved.
struct interrupted : error {
  using error::error;
};

/// What a program may want to see of a run. The library itself prints nothing.
class run_observer {
 public:
  virtual ~run_observer() = default;
  /// A finished stage is trained anew because of the field `difference`, such as "stage.steps".
  virtual void on_change(const stage&, const std::string& /*difference*/) {}
  /// A stage begins or goes on.
  virtual void on_begin(const stage&, const model_config&, std::size_t /*first_step*/) {}
  /// A stage has calibrated one of its `layers`.
  virtual void on_layer(const stage&, const layer_calibration&, std::size_t /*layers*/) {}
  /// Layers were chosen for terms of the stage, before its first step; also where it goes on.
  virtual void on_choice(const stage&, const std::vector<layer_agreement>&) {}
  virtual void on_step(const stage&, const step_report&) {}   ///< A stage has done a step.
  virtual void on_end(const stage&) {}                        ///< A stage is done.
  virtual void on_skip(const stage&) {}                       ///< A stage was done before.
  virtual void on_result(const stage&, const result_row&) {}  ///< The row of a stage is measured.
  /// An evaluation has finished `finished` of its `examples`.
  virtual void on_evaluation(const stage&, std::size_t /*finished*/, std::size_t /*examples*/) {}
  /// Whether to save the state and throw `interrupted`.
  virtual bool stop_requested() { return false; }
};

}  // namespace tern::inline TERN_ABI
