// Makes a full-precision model ternary, layer by layer. Two streams of hidden states run through
// the model: one in full precision, and one through the layers that are ternary already. Each
// projection is fitted to what it gives in the first stream, for the input that it has in the
// second one, and is then rounded with its errors compensated.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/calibrate/calibrated_input.hpp"
#include "tern/calibrate/calibration_options.hpp"
#include "tern/calibrate/least_squares_scale.hpp"
#include "tern/calibrate/row_rounding.hpp"
#include "tern/calibrate/scale_channels.hpp"
#include "tern/calibrate/stream_recorder.hpp"
#include "tern/core/describe.hpp"
#include "tern/core/reducer.hpp"
#include "tern/model/decoder.hpp"
#include "tern/model/surgery.hpp"

namespace tern::inline TERN_ABI {

/// What calibration has done to one layer.
struct layer_calibration {
  std::size_t layer = 0;  ///< number of the layer, counted from 0
  /// Relative squared error of the outputs of q, k, v, o, gate, up and down, against those of the
  /// full-precision stream: with weights rounded to nearest, and as the layer is now.
  std::vector<double> nearest = std::vector<double>(7), now = nearest;
  double hidden = 0;      ///< squared difference of both streams behind the layer, relative
  std::size_t sinks = 0;  ///< largest number of tokens that were sinks of a projection
};

/// Shows the fields of layer_calibration; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, layer_calibration& r) {
  v.value("layer", r.layer);
  v.value("nearest", r.nearest);
  v.value("calibrated", r.now);
  v.value("hidden_states", r.hidden);
  v.value("sinks", r.sinks);
}
static_assert(describes_all_members<layer_calibration>());

/// About the memory that model_calibration takes besides the model, in bytes.
inline std::size_t calibration_bytes(const model_config& c, std::size_t tokens) {
  const std::size_t d = c.hidden_size, f = c.intermediate_size, q = c.q_width();
  const std::size_t widest = std::max({d, f, q});
  const std::size_t streams = 2 * d, inputs = 2 * d + q + f;
  const std::size_t layer = 3 * d + 2 * q + 2 * c.kv_width() + 3 * f;
  return sizeof(float) * (tokens * (streams + inputs + layer) + 8 * widest * widest);
}

/// Calibrates one model on one batch of sequences. Besides the model it holds both streams, the
/// inputs of one layer, and what one layer's forward pass takes. All steps have the same bits for
/// any number of threads and ranks. Ranks have the same model, batch and options. Each runs both
/// streams, and they share what takes longer: the moments of inputs and the rounding of rows.
template <class Model>
class model_calibration {
 public:
  using T = typename Model::scalar;                         ///< type of an element
  using owner = typename Model::owner;                      ///< type of the model's matrices
  using projection_type = typename Model::projection_type;  ///< parameters of a linear

  /// The model must be in full precision. Its configuration is that of the calibrated model from
  /// here on; its layers follow one by one. Throws config_error where the model is ternary or has
  /// SubLN, an option is out of range, or there are no tokens.
  model_calibration(Model& model, token_batch batch, const calibration_options& options,
                    executor_ref ex = {}, reducer& ranks = one_rank())
      : model_(model),
        ranks_(ranks),
        batch_(std::move(batch)),
        options_((options.validate(), options)),
        tape_(ex, false) {
    if (model.config().ternary || model.config().sub_ln != norm_placement::none)
      throw config_error("calibration needs a full-precision model without SubLN");
    if (batch_.tokens.empty()) throw config_error("calibration needs at least one token");
    const matrix_view<T> x = model_.embed(tape_, batch_.tokens).value;
    for (owner* stream : {&reference_, &quantized_}) {
      *stream = tensor_traits<owner>::make(x.rows, x.cols);
      copy_matrix<T>(x, *stream);
    }
    model_.place_norms(options_.sub_ln, options_.sub_ln_eps);
    model_.place_scales(options_.scales, options_.scale_group);
    model_.set_ternary(true);
    for (auto& layer : model_.layers()) layer.for_each_projection(strip);
  }

  /// Number of layers that are calibrated.
  [[nodiscard]] std::size_t layers_done() const { return done_; }
  /// Whether all layers are.
  [[nodiscard]] bool finished() const { return done_ == model_.layers().size(); }
  /// The hidden states behind the layers that are done, (tokens, hidden_size), in full precision.
  [[nodiscard]] matrix_view<T> reference() { return reference_; }
  /// The same of the ternary model.
  [[nodiscard]] matrix_view<T> quantized() { return quantized_; }

  /// Calibrates the next layer. Throws numeric_error, which names a projection, where weights or
  /// activations are not finite, and rank_error where another rank failed.
  layer_calibration calibrate_next() {
    layer_calibration report;
    report.layer = done_;
    const std::vector<T> hidden_rms = row_rms<T>(matrix_view<const T>(reference_));
    recorder inputs;
    run(reference_, inputs);
    prepare(inputs);
    if (options_.awq) scale_channels(inputs, hidden_rms);
    set_first_scales(model_.layers()[done_]);
    run(quantized_, calibrator{*this, inputs, hidden_rms, report});
    report.hidden = difference_of_streams();
    ++done_;
    return report;
  }

  /// Passes over the next layer, which was calibrated before: `restore(layer)` gives its parameters
  /// the values that they had then. The streams go on as they did.
  template <class Restore>
  void replay_next(Restore&& restore) {
    auto& layer = model_.layers()[done_];
    recorder inputs;
    run(reference_, inputs);
    prepare(inputs);
    layer.for_each_projection([](projection_type& p) { p.ternary = true; });
    restore(layer);
    run(quantized_, detail::no_hook{});
    ++done_;
  }

 private:
  using recorder = stream_recorder<T>;

  /// Calibrates each projection when the second stream reaches it.
  struct calibrator {
    model_calibration& all;
    const recorder& reference;
    const std::vector<T>& hidden_rms;
    layer_calibration& report;
    std::size_t next = 0;
    std::optional<calibrated_input<T>> input{};

    static void before_norm(projection_type&, variable<T>) {}
    void before_product(projection_type& p, variable<T> x) {
      const std::size_t index = next++;
      if (all.options_.rounding == calibration_rounding::gptq) try {
          if (!shares_input(index, p))
            input.emplace(x.value, reference.of(index), hidden_rms, all.options_,
                          all.tape_.executor(), all.ranks_);
          all.quantize(p, *input, report, index);
        } catch (const numeric_error& e) {
          throw numeric_error("calibration of '" + p.weight.name + "': " + e.what());
        } catch (const rank_error& e) {
          throw rank_error("calibration of '" + p.weight.name + "': " + e.what());
        }
      p.ternary = true;
    }
  };

  static void strip(projection_type& p) {
    p.norm.reset();
    p.scales.reset();
    p.ternary = false;
  }

  /// Sends a stream through the next layer.
  template <class Hook>
  void run(matrix_view<T> stream, Hook&& hook) {
    tape_.reset();
    model_.layer_forward(tape_, done_, {stream, {}}, batch_, hook);
  }

  /// Puts norms and scales into the next layer, as the options say.
  void prepare(const recorder& reference) {
    auto& layer = model_.layers()[done_];
    layer.place_norms(options_.sub_ln);
    layer.place_scales(model_.config());
    std::size_t index = 0;
    layer.for_each_projection([&](projection_type& p) {
      const std::size_t i = index++;
      if (p.norm) p.norm->fill(median(row_rms<T>(reference.of(i))));
    });
  }

  void scale_channels(recorder& inputs, const std::vector<T>& hidden_rms) {
    const auto scale = [&](auto&& rule_of) {
      tern::scale_channels(model_.layers()[done_], inputs, hidden_rms, options_,
                           model_.config().norm_offset(), rule_of, tape_.memory(), tape_.executor(),
                           ranks_);
    };
    if (options_.scales != scale_granularity::none)
      return scale([&](const projection_type& p) { return rule_of(p); });
    const policy_scale<typename Model::weight_quantizer_type> policy{model_.weight_quantizer()};
    scale([&](const projection_type&) { return policy; });
  }

  /// The rule for the scales of a projection that has them as parameters.
  [[nodiscard]] least_squares_scale rule_of(const projection_type& p) const {
    return {p.scale_block == p.weight.shape ? extents{0, 0} : extents{1, options_.scale_group}};
  }

  void quantize(projection_type& p, const calibrated_input<T>& input, layer_calibration& report,
                std::size_t index) {
    const executor_ref ex = tape_.executor();
    arena& memory = tape_.memory();
    const arena_scope temporaries(memory);
    const matrix_view<T> w = p.weight.view(), original = memory.matrix<T>(w.rows, w.cols);
    copy_matrix<T>(w, original);
    const row_rounding<T> rounding{
        input,      original, p.scale_block,
        rule_of(p), options_, {memory.matrix<std::int8_t>(w.rows, w.cols), p.scales->view(), w}};
    const auto& to = rounding.to;
    report.nearest[index] = input.nearest_error(original, rounding.rule, to.codes, memory, ex);
    rounding(ranks_, ex);
    report.now[index] = input.error(original, to.codes, to.scales, p.scale_block, memory, ex);
    report.sinks = std::max(report.sinks, input.sinks());
  }

  /// The mean over tokens of |x - f|^2 / |f|^2.
  double difference_of_streams() {
    const matrix_view<const T> f = reference_, x = quantized_;
    double sum = 0;
    for (std::size_t r = 0; r < f.rows; ++r) {
      double difference = 0, size = 0;
      for (std::size_t c = 0; c < f.cols; ++c) {
        const double want = static_cast<double>(f(r, c));
        const double d = static_cast<double>(x(r, c)) - want;
        difference += d * d;
        size += want * want;
      }
      sum += size == 0 ? 0 : difference / size;
    }
    return sum / static_cast<double>(f.rows);
  }

  Model& model_;
  reducer& ranks_;
  token_batch batch_;
  calibration_options options_;
  tape<T> tape_;
  owner reference_ = tensor_traits<owner>::make(0, 0), quantized_ = reference_;
  std::size_t done_ = 0;
};

}  // namespace tern::inline TERN_ABI
