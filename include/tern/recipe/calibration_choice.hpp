// How a stage calibrates: the part of its edits that says which tokens are used, and how.
#pragma once

#include <cstddef>

#include "tern/calibrate/calibration_options.hpp"
#include "tern/core/describe.hpp"

namespace tern::inline TERN_ABI {

/// The calibration of a stage. Norms and scales are other fields of its edits.
struct calibration_choice {
  std::size_t tokens = 16384;  ///< number of calibration tokens, at most
  std::size_t length = 128;    ///< tokens of a window of the corpus
  double task_share = 0.5;     ///< fraction of the tokens that are examples of the task
  calibration_rounding rounding = calibration_rounding::gptq;  ///< see calibration_options
  bool awq = false;                                            ///< see calibration_options
  bool correct_target = true;                                  ///< see calibration_options
  double ridge = 0.1;                                          ///< see calibration_options
  double damping = 0.02;                                       ///< see calibration_options
  double scale_ridge = 0.02;                                   ///< see calibration_options
  std::size_t sweeps = 100;                                    ///< see calibration_options
  bool unit_rms = true;                                        ///< see calibration_options
  double sink_ratio = 10;                                      ///< see calibration_options
};

/// Shows the fields of calibration_choice; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, calibration_choice& c) {
  v.value("tokens", c.tokens);
  v.value("length", c.length);
  v.value("task_share", c.task_share);
  v.choice("rounding", c.rounding,
           enum_names<calibration_rounding>{{"gptq", calibration_rounding::gptq},
                                            {"nearest", calibration_rounding::nearest}});
  v.value("awq", c.awq);
  v.value("correct_target", c.correct_target);
  v.value("ridge", c.ridge);
  v.value("damping", c.damping);
  v.value("scale_ridge", c.scale_ridge);
  v.value("sweeps", c.sweeps);
  v.value("unit_rms", c.unit_rms);
  v.value("sink_ratio", c.sink_ratio);
}
static_assert(describes_all_members<calibration_choice>());

}  // namespace tern::inline TERN_ABI
