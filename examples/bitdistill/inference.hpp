// Decides by model checking whether one quantified statement ("not all small birds run") follows
// from another one. A model says which combinations of kind, quality and action occur. A statement
// says that a box of combinations is empty, or that it is not. Statements are true together in some
// model exactly if they are true in the largest model that respects the empty boxes, so one check
// decides.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitdistill {

/// The first word of a statement such as "all A do B".
enum class quantifier { all, some, no, not_all };

/// How a hypothesis relates to a premise; the values are the class numbers of the task.
enum class inference { entailment = 0, neutral = 1, contradiction = 2 };

/// A statement "quantifier subject verb" as sets of cells (see `taxonomy`). A bit stands for a
/// cell.
struct statement_sets {
  quantifier q;                ///< the first word
  std::uint64_t kinds;         ///< kinds that the subject covers
  std::uint64_t qualities;     ///< qualities that the subject covers
  std::uint64_t actions;       ///< actions that the verb covers
  std::uint64_t every_action;  ///< all actions
};

namespace detail {

struct box {
  std::uint64_t kinds, qualities, actions;
  [[nodiscard]] bool within(const box& o) const {
    return (kinds & ~o.kinds) == 0 && (qualities & ~o.qualities) == 0 &&
           (actions & ~o.actions) == 0;
  }
};

/// A statement in normal form: this box is inhabited, or it is empty.
struct claim {
  box where;
  bool inhabited;
};

inline claim to_claim(const statement_sets& s) {
  const bool doing = s.q == quantifier::some || s.q == quantifier::no;
  return {{s.kinds, s.qualities, doing ? s.actions : s.every_action & ~s.actions},
          s.q == quantifier::some || s.q == quantifier::not_all};
}

/// Whether both claims are true in some model in which things of every kind and quality exist.
inline bool satisfiable(const claim& a, const claim& b, std::uint64_t every_action) {
  if (a.inhabited && b.inhabited) return true;
  if (a.inhabited) return !a.where.within(b.where);
  if (b.inhabited) return !b.where.within(a.where);
  const bool meet =
      (a.where.kinds & b.where.kinds) != 0 && (a.where.qualities & b.where.qualities) != 0;
  return !(meet && (a.where.actions | b.where.actions) == every_action);
}

}  // namespace detail

/// Tells whether the hypothesis is true in all models of the premise, in some of them, or in none.
/// A model must have something of every kind and quality, else "all" would not imply "some". No
/// verb may cover every action.
inline inference infer_label(const statement_sets& premise, const statement_sets& hypothesis) {
  const auto p = detail::to_claim(premise);
  auto h = detail::to_claim(hypothesis);
  if (!detail::satisfiable(p, h, premise.every_action)) return inference::contradiction;
  h.inhabited = !h.inhabited;  // the opposite is a claim about the same box
  return detail::satisfiable(p, h, premise.every_action) ? inference::neutral
                                                         : inference::entailment;
}

}  // namespace bitdistill
