// How a model is made ternary by calibration.
#pragma once

#include <cstddef>

#include "tern/core/error.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// How weights are rounded.
enum class calibration_rounding {
  gptq,     ///< errors of a column are compensated in the columns behind it
  nearest,  ///< every weight becomes the nearest code; weights keep their values
};

/// Options of model_calibration.
struct calibration_options {
  calibration_rounding rounding = calibration_rounding::gptq;  ///< how weights are rounded
  /// Which scales become parameters. With `none`, which needs rounding to nearest, the weight
  /// quantizer of the model computes its scales.
  scale_granularity scales = scale_granularity::row;
  std::size_t scale_group = 0;  ///< columns of a group; 0 unless scales are those of groups
  /// Where norms are inserted before projections. Their gain is the median root mean square of the
  /// input in the full-precision model, so that the norm changes little.
  norm_placement sub_ln = norm_placement::none;
  double sub_ln_eps = 1e-5;  ///< eps of the inserted norms
  /// Scale input channels by AWQ first; see scale_channels().
  bool awq = false;
  bool correct_target = true;  ///< fit each projection to the full-precision stream first
  double ridge = 0.1;          ///< ridge of that fit, as a multiple of the hessian's mean diagonal
  double damping = 0.02;       ///< damping of GPTQ, as a multiple of the same
  /// Fit the scales once more when the codes are known, with this ridge relative to the mean
  /// diagonal of the fit; negative: they stay as GPTQ found them.
  double scale_ridge = 0.02;
  /// Largest number of passes of coordinate descent over the codes, behind GPTQ; 0: none. Where
  /// they stop before the end, the latents of codes that would still change lie at
  /// their thresholds, and the first step of training changes them all at once.
  std::size_t sweeps = 100;
  bool unit_rms = true;  ///< divide each token by the root mean square of its input
  /// A token is an attention sink where its input or hidden state has a root mean square r above
  /// this multiple of the median m. Its weight in the moments is (sink_ratio m / r)^2, that of
  /// other tokens is 1. 0: there are no sinks.
  double sink_ratio = 10;

  /// Throws config_error where an option is out of range.
  void validate() const {
    const auto require = [](bool good, const char* what) {
      if (!good) throw config_error(std::string("calibration: ") + what);
    };
    require(rounding == calibration_rounding::nearest || scales != scale_granularity::none,
            "gptq needs scales for a tensor, a row or a group");
    require((scales == scale_granularity::group) == (scale_group != 0),
            "scale_group must be positive for scales of groups, and 0 for others");
    require(ridge >= 0 && damping >= 0, "ridge and damping must not be negative");
    require(sink_ratio >= 0, "sink_ratio must not be negative");
    require(sub_ln_eps > 0, "sub_ln_eps must be positive");
  }
};

}  // namespace tern::inline TERN_ABI
