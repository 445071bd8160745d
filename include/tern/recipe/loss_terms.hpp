// The loss terms that a stage of a recipe can name. To add a term, write a header in distill/ and
// add the term and its describe() here; reading, writing, logs and checkpoints then know it.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "tern/core/describe.hpp"
#include "tern/distill/cross_entropy_term.hpp"
#include "tern/distill/hidden_state_term.hpp"
#include "tern/distill/logits_term.hpp"
#include "tern/distill/objective.hpp"
#include "tern/distill/relation_term.hpp"
#include "tern/recipe/optional_options.hpp"

namespace tern::inline TERN_ABI {

/// All loss terms, in the order in which they are added up. Each has `options` with a name, a
/// weight, `needs_teacher` and a describe().
template <class T>
using loss_term_types =
    std::tuple<cross_entropy_term<T>, logits_term<T>, relation_term<T>, hidden_state_term<T>,
               logits_term<T, reverse_logits_term_options>>;

/// Shows the fields of cross_entropy_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, cross_entropy_options& o) {
  v.value("weight", o.weight);
}

/// Shows the fields of logits_term_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, logits_term_options& o) {
  v.value("weight", o.weight);
  v.value("tau", o.form.tau);
  v.value("tau_squared", o.form.tau_squared);
  v.choice("tokens", o.tokens,
           enum_names<distilled_tokens>{{"all", distilled_tokens::all},
                                        {"answer", distilled_tokens::answer}});
  v.value("prompt_weight", o.prompt_weight);
}

/// Shows the fields of layer_choice; see core/describe.hpp.
template <class V>
constexpr void describe_layers(V& v, layer_choice& c) {
  v.optional("layer", c.layer, "auto");
  v.optional("teacher_layer", c.teacher_layer);
}

/// Shows the fields of relation_term_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, relation_term_options& o) {
  v.value("weight", o.weight);
  describe_layers(v, o.layers);
  v.value("every", o.every);
  v.value("split_heads", o.form.split_heads);
  v.value("temperature", o.form.temperature);
  v.choice("form", o.form.form,
           enum_names<relation_form>{{"cosine", relation_form::cosine},
                                     {"scaled_dot", relation_form::scaled_dot}});
  v.choice("mask", o.form.mask,
           enum_names<relation_mask>{{"all", relation_mask::all},
                                     {"nonpad", relation_mask::nonpad},
                                     {"causal", relation_mask::causal}});
  v.choice("normaliser", o.form.normaliser,
           enum_names<relation_normaliser>{{"paper", relation_normaliser::paper},
                                           {"official", relation_normaliser::official}});
  v.value("n_layers", o.form.n_layers);
  v.value("clamp", o.form.clamp);
  v.value("alpha_q", o.alpha[0]);
  v.value("alpha_k", o.alpha[1]);
  v.value("alpha_v", o.alpha[2]);
}

/// Shows the fields of hidden_state_term_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, hidden_state_term_options& o) {
  v.value("weight", o.weight);
  describe_layers(v, o.layers);
  v.value("every", o.every);
  v.value("skip_first", o.skip_first);
  v.value("per_token", o.per_token);
}

/// The terms of a stage: those that have options. JSON: {"cross_entropy": {"weight": 1}, ...}.
struct loss_options {
  detail::optional_options_of<loss_term_types<float>> terms;  ///< one place for each type
  /// Whether the weight of every term but the first is its share relative to the first one; see
  /// objective.
  bool balance = false;

  /// Losses with these options of terms.
  template <class... Options>
  static loss_options with(const Options&... o) {
    loss_options losses;
    (static_cast<void>(std::get<std::optional<Options>>(losses.terms) = o), ...);
    return losses;
  }
  /// Calls f(options) for each term that the stage has.
  template <class F>
  void for_each(F&& f) const {
    std::apply([&](const auto&... o) { (static_cast<void>(o && (f(*o), true)), ...); }, terms);
  }
  /// The options of one term; nothing where the stage does not have it.
  template <class Options>
  [[nodiscard]] const std::optional<Options>& of() const {
    return std::get<std::optional<Options>>(terms);
  }
};

/// Shows the fields of loss_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, loss_options& losses) {
  std::apply([&]<class... O>(std::optional<O>&... o) { (v.optional(O::name, o), ...); },
             losses.terms);
  v.value("balance", losses.balance);
}

/// The objective that `losses` describe, for a student and a teacher with these numbers of layers.
/// Throws config_error where there is no term or a term names a layer that a model does not have.
template <class T>
objective<T> make_objective(const loss_options& losses, const layer_counts& counts) {
  std::vector<typename objective<T>::weighted_term> terms;
  const auto add = [&]<class Term>(Term*) {
    if (const auto& o = losses.of<typename Term::options>())
      terms.push_back({std::make_unique<Term>(*o, counts), o->weight});
  };
  [&]<class... Term>(std::tuple<Term...>*) {
    (add(static_cast<Term*>(nullptr)), ...);
  }(static_cast<loss_term_types<T>*>(nullptr));
  return objective<T>(std::move(terms), losses.balance);
}

}  // namespace tern::inline TERN_ABI
