// A recipe: a run as data. It names the data, the architecture of a new model, and the stages.
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/describe.hpp"
#include "tern/core/error.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/recipe/data_source.hpp"
#include "tern/recipe/stage.hpp"

namespace tern::inline TERN_ABI {

/// A run as data.
struct recipe {
  std::string title;          ///< one line that says what the run shows
  model_config model;         ///< architecture of the model that stages make which start from "new"
  data_source data;           ///< what the stages learn from
  std::vector<stage> stages;  ///< in the order in which they run
};

/// Shows the fields of recipe; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, recipe& r) {
  v.value("title", r.title);
  v.object("model", [&](auto& inner) { describe_architecture(inner, r.model); });
  v.object("data", r.data);
  v.objects("stages", r.stages);
}

namespace detail {

/// The name of a stage is a directory of the run, a word of `from`, and the first word of `--set`,
/// so the words that mean something else there cannot be names.
inline void require_stage_name(const std::string& name) {
  for (const char* taken : {"new", "title", "model", "data", "grid", "stages"})
    if (name == taken) throw config_error("recipe: '" + name + "' cannot be the name of a stage");
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
          name.npos)
    throw config_error("recipe: expected a stage name of letters, digits, '-' and '_', got '" +
                       name + "'");
}

/// A layer is chosen by what the other terms say about it.
inline void require_other_terms(const stage& s) {
  bool any = false;
  std::string open;
  s.losses.for_each([&](const auto& o) {
    if constexpr (requires { o.layers; })
      if (!o.layers.layer) {
        open = o.name;
        return;
      }
    any = true;
  });
  if (!open.empty() && !any)
    throw config_error("stage " + s.name + ": losses." + open +
                       ".layer: \"auto\" compares the layers by another loss, and there is none");
}

/// A stage that learns from inputs without labels must not ask for labels.
inline void require_no_labels(const stage& s) {
  const auto fail = [&](const char* what) {
    throw config_error("stage " + s.name + ": 'unlabelled': " + what);
  };
  if (s.data != stage_data::task) fail("expected \"data\": \"task\"");
  if (s.losses.of<cross_entropy_options>())
    fail("the loss cross_entropy needs labels, which the files of data.unlabelled do not have");
}

}  // namespace detail

/// Throws config_error where there is no stage, or where a stage has no good name, starts or learns
/// from a stage that does not come before it, has no loss term, has terms that need a teacher and
/// no teacher, or has options out of range.
inline void validate(const recipe& r) {
  if (r.stages.empty()) throw config_error("recipe: expected at least one stage in 'stages'");
  std::vector<std::string_view> known;
  for (const stage& s : r.stages) {
    detail::require_stage_name(s.name);
    const auto fail = [&](const std::string& what) {
      throw config_error("stage " + s.name + ": " + what);
    };
    if (std::ranges::count(known, s.name) != 0) fail("the recipe has two stages of this name");
    const auto require_origin = [&](const std::string& origin, const char* key) {
      if (!is_model_path(origin) && std::ranges::count(known, origin) == 0)
        fail(std::string("'") + key + "': expected the name of an earlier stage or a path of a " +
             "model with a '/' in it, got '" + origin + "'");
    };
    if (s.from != "new") require_origin(s.from, "from");
    if (!s.teacher.empty()) require_origin(s.teacher, "teacher");
    bool any_loss = false, needs_teacher = false;
    s.losses.for_each([&](const auto& o) {
      any_loss = true;
      needs_teacher |= o.needs_teacher;
      if (!(o.weight >= 0)) fail(std::string(o.name) + ": weight must not be negative");
    });
    if (s.edits.calibrate) static_cast<void>(calibration_options_of(s.edits));
    if (s.edits.weight_quantizer != weight_policy::absmean &&
        (s.edits.learned_scales != scale_granularity::none ||
         !(s.edits.make_ternary || s.edits.calibrate)))
      fail(
          "edits.weight_quantizer is for a stage that makes the model ternary, without learned "
          "scales");
    if (s.steps == 0 && !s.edits.calibrate)
      fail("steps must be positive in a stage that does not calibrate");
    if (s.steps > 0) {
      if (!any_loss) fail("'losses': expected at least one loss term");
      if (needs_teacher && s.teacher.empty()) fail("its losses need a teacher");
      detail::require_other_terms(s);
      if (s.unlabelled && !r.data.unlabelled.empty()) detail::require_no_labels(s);
      static_cast<void>(trainer_options_of(s));
    }
    known.push_back(s.name);
  }
}

/// Whether a stage of the recipe needs `data`: it learns from it, or calibrates on it.
inline bool learns_from(const recipe& r, stage_data data) {
  return std::ranges::any_of(r.stages, [&](const stage& s) {
    if (s.steps > 0 && s.data == data) return true;
    if (!s.edits.calibrate) return false;
    const double share = s.edits.calibrate->task_share;
    return data == stage_data::task ? share > 0 : share < 1;
  });
}

/// Whether a stage of the recipe has a row in the table. Rows are measured on the task.
inline bool has_rows(const recipe& r) {
  return std::ranges::any_of(r.stages, [](const stage& s) { return !s.row.empty(); });
}

}  // namespace tern::inline TERN_ABI
