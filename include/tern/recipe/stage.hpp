// A stage says the whole truth about itself: what it starts from, what is done to the weights, what
// it learns from and how, and what is measured. Besides these fields only the data of the recipe
// influence it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/describe.hpp"
#include "tern/core/error.hpp"
#include "tern/linalg/precision.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/nn/scaled_bit_linear.hpp"
#include "tern/recipe/calibration_choice.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/optimizers.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// What a stage learns from.
enum class stage_data {
  corpus,  ///< windows of the token stream of the corpus; the target is the next token
  task,    ///< examples of the task; the targets are the tokens of the answer
};

/// What is done to the weights before the first step.
struct stage_edits {
  /// Norms to insert before projections (stage 1 of BitDistill); none: no norms are inserted.
  norm_placement sub_ln = norm_placement::none;
  double sub_ln_eps = 1e-5;   ///< eps of the inserted norms
  bool make_ternary = false;  ///< the linears of all layers are quantized from here on
  /// What rounds the weights of a model that the stage makes ternary, unless scales are parameters.
  weight_policy weight_quantizer = weight_policy::absmean;
  /// Scales of ternary weights become parameters; none: they stay as they are.
  scale_granularity learned_scales = scale_granularity::none;
  std::size_t scale_group = 0;  ///< columns of a group of learned_scales
  /// Makes the model ternary by calibration, with the norms and scales that the other fields name;
  /// none: norms have gain 1 and weights are left as they are.
  std::optional<calibration_choice> calibrate{};
};

/// A cell of the result table that says whether a row has something, such as {"SubLN", true}.
struct table_mark {
  std::string column;  ///< heading of the column
  bool has = false;    ///< whether the row gets a check mark
};

/// One training stage of a recipe.
struct stage {
  std::string name;          ///< directory of the stage's weights in the run, without '/'
  std::string like;          ///< template that the stage was made from; --set can name it
  std::string from = "new";  ///< "new", the name of an earlier stage, or a path of a model
  std::string teacher;       ///< name of an earlier stage or path of a model; empty: none
  /// Bits of the weights in the teacher's layers. 32: those of the model. 8: each row is rounded to
  /// 8 bits, and so are the inputs of linears, so that the teacher is faster and smaller.
  std::size_t teacher_bits = 32;
  stage_edits edits;                   ///< changes of the weights before the first step
  stage_data data = stage_data::task;  ///< what the stage learns from
  std::size_t examples = 0;            ///< largest number of the task's examples; 0: all
  std::size_t min_tokens = 0;  ///< fewest tokens of an example that is used, answer included
  bool unlabelled = false;     ///< the stage learns from the inputs without labels, too
  loss_options losses;         ///< what is minimised
  optimizer_choice optimizer;  ///< rule that updates the weights
  std::size_t steps = 0;       ///< number of optimizer steps
  std::size_t sequences = 16;  ///< windows or examples in a micro-batch
  std::size_t length = 128;    ///< tokens of a window of the corpus
  std::size_t accumulate = 1;  ///< micro-batches in an optimizer step
  /// Parts of a step whose gradients are computed for themselves and added up in a tree; ranks
  /// share the parts. More parts than micro-batches cut the micro-batches. The bits of the weights
  /// depend on it, but not on the number of ranks.
  std::size_t parts = 1;
  gradient_format gradients = gradient_format::real;  ///< how gradients of parts are added up
  bool sort_by_length = false;  ///< micro-batches of a step hold examples of similar lengths
  precision products = precision::exact;  ///< how precisely products of floats are computed
  /// What the rounding with learned scales passes on to weights that it clips.
  clipped_gradient clipped = clipped_gradient::straight;
  double learning_rate = 1e-3;                 ///< peak learning rate
  rate_factors rates;                          ///< factors on the learning rate by parameter_kind
  schedule_kind plan = schedule_kind::cosine;  ///< shape of the learning rate over the steps
  double warmup = 0.05;                        ///< fraction of the steps until the peak
  /// Fraction of the steps in which quantization is turned on, from 0 to 1 on a line. Ternary
  /// linears then must not have learned scales.
  double quantization_warmup = 0;
  double clip = 1.0;             ///< largest global gradient norm; 0: no clipping
  std::uint64_t seed = 1;        ///< draws new weights and the order of the data
  std::size_t log_every = 20;    ///< steps between two lines of the log
  std::size_t save_every = 200;  ///< steps between two saved states
  /// Most megabytes of a file in which the run keeps what the teacher says about examples that the
  /// stage sees again; 0: no file. The weights do not depend on it.
  std::size_t teacher_cache = 8192;
  std::string row;                ///< name of its row in the table; empty: no row
  std::vector<table_mark> marks;  ///< further columns of the row
};

/// Shows the fields of stage_edits; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, stage_edits& e) {
  v.choice("sub_ln", e.sub_ln, norm_placement_names);
  v.value("sub_ln_eps", e.sub_ln_eps);
  v.value("make_ternary", e.make_ternary);
  v.choice("weight_quantizer", e.weight_quantizer, weight_policy_names);
  v.choice("learned_scales", e.learned_scales, scale_granularity_names);
  v.value("scale_group", e.scale_group);
  v.optional("calibrate", e.calibrate);
}
static_assert(describes_all_members<stage_edits>());

/// Shows the fields of rate_factors; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, rate_factors& r) {
  v.value("matrices", r.matrices);
  v.value("tables", r.tables);
  v.value("vectors", r.vectors);
  v.value("scales", r.scales);
  v.value("by_spread", r.by_spread);
}
static_assert(describes_all_members<rate_factors>());

/// Shows the fields of table_mark; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, table_mark& m) {
  v.value("column", m.column);
  v.value("has", m.has);
}
static_assert(describes_all_members<table_mark>());

/// Shows the fields of stage; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, stage& s) {
  v.value("name", s.name);
  v.value("like", s.like);
  v.value("from", s.from);
  v.value("teacher", s.teacher);
  v.value("teacher_bits", s.teacher_bits);
  v.object("edits", s.edits);
  v.choice("data", s.data,
           enum_names<stage_data>{{"corpus", stage_data::corpus}, {"task", stage_data::task}});
  v.value("examples", s.examples);
  v.value("min_tokens", s.min_tokens);
  v.value("unlabelled", s.unlabelled);
  v.object("losses", s.losses);
  v.object("optimizer", s.optimizer);
  v.value("steps", s.steps);
  v.value("sequences", s.sequences);
  v.value("length", s.length);
  v.value("accumulate", s.accumulate);
  v.value("parts", s.parts);
  v.choice("gradients", s.gradients, gradient_format_names);
  v.value("sort_by_length", s.sort_by_length);
  v.choice("precision", s.products, precision_names);
  v.choice("clipped_gradient", s.clipped,
           enum_names<clipped_gradient>{{"straight", clipped_gradient::straight},
                                        {"none", clipped_gradient::none}});
  v.value("learning_rate", s.learning_rate);
  v.object("rates", s.rates);
  v.choice("schedule", s.plan,
           enum_names<schedule_kind>{{"constant", schedule_kind::constant},
                                     {"linear", schedule_kind::linear},
                                     {"cosine", schedule_kind::cosine},
                                     {"two_stage", schedule_kind::two_stage}});
  v.value("warmup", s.warmup);
  v.value("quantization_warmup", s.quantization_warmup);
  v.value("clip", s.clip);
  v.value("seed", s.seed);
  v.value("log_every", s.log_every);
  v.value("save_every", s.save_every);
  v.value("teacher_cache", s.teacher_cache);
  v.value("row", s.row);
  v.objects("marks", s.marks);
}
static_assert(describes_all_members<stage>());

/// What the edits of a stage that calibrates say. Throws config_error as
/// calibration_options::validate() does.
inline calibration_options calibration_options_of(const stage_edits& e) {
  const calibration_choice c = e.calibrate.value();
  const calibration_options o{c.rounding, e.learned_scales, e.scale_group, e.sub_ln,  e.sub_ln_eps,
                              c.awq,      c.correct_target, c.ridge,       c.damping, c.scale_ridge,
                              c.sweeps,   c.unit_rms,       c.sink_ratio};
  o.validate();
  return o;
}

/// The configuration of a model after the edits of a stage.
inline model_config edited(model_config c, const stage_edits& e) {
  if (e.sub_ln != norm_placement::none) {
    c.sub_ln = e.sub_ln;
    c.sub_ln_eps = e.sub_ln_eps;
  }
  if (e.make_ternary || e.calibrate) {
    c.ternary = true;
    c.weight_quantizer = e.weight_quantizer;
  }
  if (e.learned_scales != scale_granularity::none) {
    c.learned_scales = e.learned_scales;
    c.scale_group = e.scale_group;
  }
  return c;
}

/// Whether `from` or `teacher` is a path of a model rather than the name of a stage.
inline bool is_model_path(std::string_view origin) {
  return origin.find('/') != origin.npos || origin.ends_with(".gguf");
}

/// How far the model is quantized in step number `step`, counted from 0; see
/// decoder::set_quantization().
inline double quantization_of_step(const stage& s, std::size_t step) {
  const double steps = s.quantization_warmup * static_cast<double>(s.steps);
  return steps == 0 ? 1 : std::min(1.0, static_cast<double>(step) / steps);
}

/// Number of the micro-batches into which a step is cut.
inline std::size_t micro_batches_of_step(const stage& s) { return std::max(s.accumulate, s.parts); }

/// Number of the sequences of one of these micro-batches.
inline std::size_t sequences_of_micro_batch(const stage& s) {
  return s.accumulate * s.sequences / micro_batches_of_step(s);
}

/// The stage's options as the trainer takes them. Throws config_error, naming the stage, where an
/// option of the trainer or of the optimizer is out of range.
inline trainer_options trainer_options_of(const stage& s) {
  const auto require = [&](bool good, const char* what) {
    if (!good) throw config_error("stage " + s.name + ": " + what);
  };
  require(s.warmup >= 0 && s.warmup <= 1, "warmup must lie between 0 and 1");
  require(s.quantization_warmup >= 0 && s.quantization_warmup <= 1,
          "quantization_warmup must lie between 0 and 1");
  require(s.teacher_bits == 8 || s.teacher_bits == 32, "teacher_bits must be 8 or 32");
  require(s.sequences > 0 && s.length > 0, "sequences and length must be positive");
  require(s.save_every > 0, "save_every must be positive");
  require(s.parts > 0 && (s.parts <= s.accumulate ? s.accumulate % s.parts == 0
                                                  : s.accumulate * s.sequences % s.parts == 0),
          "parts must divide accumulate, or, where it is larger, accumulate * sequences");
  trainer_options o;
  o.learning_rate = s.learning_rate;
  o.rates = s.rates;
  o.plan.kind = s.plan;
  o.plan.steps = s.steps;
  o.plan.warmup_steps = static_cast<std::size_t>(s.warmup * static_cast<double>(s.steps));
  o.accumulate = micro_batches_of_step(s);
  o.parts = s.parts;
  o.gradients = s.gradients;
  o.clip = s.clip;
  o.products = s.products;
  o.log_every = s.log_every;
  try {
    o.validate();
    s.optimizer.validate();
  } catch (const config_error& e) {
    throw config_error("stage " + s.name + ": " + e.what());
  }
  return o;
}

}  // namespace tern::inline TERN_ABI
