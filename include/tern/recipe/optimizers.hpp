// The optimizers that a stage of a recipe can name. To add one, write a header in train/, and add
// it to the list and its describe() here.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>

#include "tern/adapt/eigen.hpp"
#include "tern/core/describe.hpp"
#include "tern/core/error.hpp"
#include "tern/recipe/optional_options.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/moment.hpp"
#include "tern/train/sgd.hpp"

namespace tern::inline TERN_ABI {

/// All optimizers. Each has `options` with a name, a weight_decay and a describe().
template <matrix_owner Owner>
using optimizer_types = std::tuple<adamw<Owner>, sgd<Owner>>;

/// Shows the fields of adamw_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, adamw_options& o) {
  v.value("beta1", o.beta1);
  v.value("beta2", o.beta2);
  v.value("eps", o.eps);
  v.value("weight_decay", o.weight_decay);
  v.value("cautious", o.cautious);
  v.choice("moments", o.moments, moment_format_names);
}
static_assert(describes_all_members<adamw_options>());

/// Shows the fields of sgd_options; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, sgd_options& o) {
  v.value("momentum", o.momentum);
  v.value("weight_decay", o.weight_decay);
  v.choice("moments", o.moments, moment_format_names);
}
static_assert(describes_all_members<sgd_options>());

/// The optimizer of a stage: the one that has options. JSON: {"adamw": {"weight_decay": 0.01}}.
struct optimizer_choice {
  /// Options by optimizer; exactly one of them is there.
  detail::optional_options_of<optimizer_types<matrix<float>>> rules;

  /// Calls f(options) for each optimizer that is named.
  template <class F>
  void for_each(F&& f) const {
    std::apply([&](const auto&... o) { (static_cast<void>(o && (f(*o), true)), ...); }, rules);
  }
  /// Throws config_error unless exactly one optimizer is named and its options are in range.
  void validate() const {
    std::size_t count = 0;
    for_each([&](const auto& o) {
      ++count;
      o.validate();
    });
    if (count != 1)
      throw config_error("optimizer: expected exactly one, got " + std::to_string(count));
  }
};

/// Shows the fields of optimizer_choice; see core/describe.hpp.
template <class V>
constexpr void describe(V& v, optimizer_choice& c) {
  std::apply([&]<class... O>(std::optional<O>&... o) { (v.optional(O::name, o), ...); }, c.rules);
}

/// The optimizer that is chosen. Throws config_error as optimizer_choice::validate() does.
template <matrix_owner Owner>
std::unique_ptr<optimizer<Owner>> make_optimizer(const optimizer_choice& choice) {
  choice.validate();
  std::unique_ptr<optimizer<Owner>> made;
  const auto make = [&]<class Rule>(Rule*) {
    if (const auto& o = std::get<std::optional<typename Rule::options>>(choice.rules))
      made = std::make_unique<Rule>(*o);
  };
  [&]<class... Rule>(std::tuple<Rule...>*) {
    (make(static_cast<Rule*>(nullptr)), ...);
  }(static_cast<optimizer_types<Owner>*>(nullptr));
  return made;
}

}  // namespace tern::inline TERN_ABI
