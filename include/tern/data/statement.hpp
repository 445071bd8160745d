// Quantified statements ("not all small birds run") and what follows from what, decided by model
// checking. A model says which combinations of (kind, quality, action) occur; a statement says that
// a box of combinations is empty or that it is not. Two statements hold together in some model
// exactly if they hold in the largest one that respects the empty boxes, so one check suffices.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

enum class quantifier { all, some, no, not_all };

/// Label of a pair of statements; the values are those of MNLI's usual order.
enum class inference { entailment = 0, neutral = 1, contradiction = 2 };

/// "quantifier (subject) (verb)" as sets: cells of kinds and of qualities the subject covers, and
/// cells of actions, `actions` out of `every_action`.
struct statement_sets {
  quantifier q;
  std::uint64_t kinds, qualities, actions, every_action;
};

namespace detail {

struct box {
  std::uint64_t kinds, qualities, actions;
  [[nodiscard]] bool within(const box& o) const {
    return (kinds & ~o.kinds) == 0 && (qualities & ~o.qualities) == 0 &&
           (actions & ~o.actions) == 0;
  }
};

/// A statement in normal form: the box is inhabited, or it is empty.
struct claim {
  box where;
  bool inhabited;
};

inline claim to_claim(const statement_sets& s) {
  const bool inside = s.q == quantifier::some || s.q == quantifier::no;
  const std::uint64_t actions = inside ? s.actions : s.every_action & ~s.actions;
  return {{s.kinds, s.qualities, actions}, s.q == quantifier::some || s.q == quantifier::not_all};
}

/// Whether a model exists in which both hold and every (kind, quality) has something doing
/// anything.
inline bool satisfiable(const claim& a, const claim& b, std::uint64_t every_action) {
  if (a.inhabited && b.inhabited) return true;
  if (a.inhabited != b.inhabited)
    return a.inhabited ? !a.where.within(b.where) : !b.where.within(a.where);
  const bool meet =
      (a.where.kinds & b.where.kinds) != 0 && (a.where.qualities & b.where.qualities) != 0;
  return !(meet && (a.where.actions | b.where.actions) == every_action);
}

}  // namespace detail

/// The relation of a hypothesis to a premise over all models in which every kind of thing exists
/// in every quality: true in all models of the premise, in none, or in some.
inline inference infer_label(const statement_sets& premise, const statement_sets& hypothesis) {
  const auto p = detail::to_claim(premise);
  auto h = detail::to_claim(hypothesis);
  if (!detail::satisfiable(p, h, premise.every_action)) return inference::contradiction;
  h.inhabited = !h.inhabited;  // the negation concerns the same box
  return detail::satisfiable(p, h, premise.every_action) ? inference::neutral
                                                         : inference::entailment;
}

}  // namespace tern::inline TERN_ABI
