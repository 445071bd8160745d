// A described struct that has a field of every kind.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tern/core/describe.hpp"

namespace tern_test {

enum class colour { red, green };
inline constexpr tern::enum_names<colour> colour_names = {
    {"red", colour::red}, {"rot", colour::red}, {"green", colour::green}};

struct term {
  std::string kind = "ce";
  double weight = 1;
};
template <class V>
constexpr void describe(V& v, term& t) {
  v.value("kind", t.kind);
  v.value("weight", t.weight);
}
static_assert(tern::describes_all_members<term>());

struct everything {
  bool flag = false;
  std::size_t size = 3;
  double real = 0.5;
  std::string text = "t";
  std::vector<bool> flags;
  colour paint = colour::red;
  term inner;
  double tau = 2, alpha = 4;  ///< shown as a group
  std::vector<term> terms;
};
template <class V>
constexpr void describe(V& v, everything& e) {
  v.value("flag", e.flag);
  v.value("size", e.size);
  v.value("real", e.real);
  v.value("text", e.text);
  v.value("flags", e.flags);
  v.choice("paint", e.paint, colour_names);
  v.object("inner", e.inner);
  v.object("group", [&](auto& group) {
    group.value("tau", e.tau);
    group.value("alpha", e.alpha);
  });
  v.objects("terms", e.terms);
}
static_assert(tern::describes_all_members<everything>());

}  // namespace tern_test
