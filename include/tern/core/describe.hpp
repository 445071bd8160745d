// One list of fields per struct. The function `describe(visitor, object)` of a struct, in the
// struct's namespace, shows every field with its name to a visitor. Reading JSON, writing JSON,
// command-line settings and comparison are visitors, so a new field is written down once:
//
//   template <class V>
//   constexpr void describe(V& v, stage_options& s) {
//     v.value("steps", s.steps);                         // a number, bool or string, or a list of
//     v.choice("schedule", s.plan, schedule_kind_names); // an enum by its names
//     v.object("model", s.model);                        // a struct that has a describe() itself
//     v.object("loss", [&](auto& inner) { inner.value("tau", s.tau); });  // or a group of fields
//     v.objects("terms", s.terms);                       // a list of such structs
//     v.optional("teacher", s.teacher);                  // a value or struct that may be missing
//     v.optional("layer", s.layer, "auto");              // a value, or a word where there is none
//   }
//   static_assert(describes_all_members<stage_options>());
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tern/core/enum_names.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

enum class sample_choice { a };

/// The smallest struct that can be described.
struct sample_object {
  double x = 0;
};
template <class V>
constexpr void describe(V& v, sample_object& s) {
  v.value("x", s.x);
}

}  // namespace detail

/// What `describe` calls. `value` takes a bool, a number, a std::string, or a std::vector of those.
/// `object` takes a described struct, or a function that shows fields to a visitor of the same
/// type. Keys are string literals without dots.
template <class V>
concept field_visitor = requires(
    V& v, bool& flag, std::size_t& size, double& real, std::string& text,
    std::vector<std::string>& list, detail::sample_choice& choice, detail::sample_object& object,
    std::vector<detail::sample_object>& objects, void (&group)(V&), std::optional<int>& maybe,
    std::optional<detail::sample_object>& maybe_object) {
  v.value("key", flag);
  v.value("key", size);
  v.value("key", real);
  v.value("key", text);
  v.value("key", list);
  v.choice("key", choice, enum_names<detail::sample_choice>{});
  v.object("key", object);
  v.object("key", group);
  v.objects("key", objects);
  v.optional("key", maybe);
  v.optional("key", maybe_object);
  v.optional("key", maybe, "word");
};

/// A struct that has a `describe` function.
template <class S, class V>
concept described_for = requires(V& v, S& s) { describe(v, s); };

/// Shows the fields of a struct, or of a group that is given as a function, to a visitor.
template <class V, class Inner>
constexpr void show_fields(V& visitor, Inner& inner) {
  if constexpr (std::invocable<Inner&, V&>)
    inner(visitor);
  else
    describe(visitor, inner);
}

namespace detail {

/// Counts the fields of a struct, not those inside its objects; a group counts by its fields.
struct field_counter {
  std::size_t count = 0;

  template <class T>
  constexpr void value(const char*, T&) {
    ++count;
  }
  template <class E>
  constexpr void choice(const char*, E&, enum_names<E>) {
    ++count;
  }
  template <class Inner>
  constexpr void object(const char*, Inner&& inner) {
    if constexpr (std::invocable<Inner&, field_counter&>)
      inner(*this);
    else
      ++count;
  }
  template <class S>
  constexpr void objects(const char*, std::vector<S>&) {
    ++count;
  }
  template <class T>
  constexpr void optional(const char*, std::optional<T>&, const char* = nullptr) {
    ++count;
  }
};

/// Becomes any member in the initialiser of an aggregate; never evaluated.
struct any_member {
  template <class T>
  operator T() const;  // NOLINT: the conversion is the point
};

/// Room for an S that is never constructed. Its members can be named in a constant expression also
/// where a constant S cannot be made, as with strings in older standard libraries.
template <class S>
union unmade {
  constexpr unmade() : nothing() {}
  constexpr ~unmade() {}
  char nothing;
  S object;
};
template <class S>
inline unmade<S> unmade_object;

template <class S, class... Members>
constexpr std::size_t count_members() {
  if constexpr (requires { S{Members{}..., any_member{}}; })
    return count_members<S, Members..., any_member>();
  else
    return sizeof...(Members);
}

}  // namespace detail

/// Number of members of an aggregate without arrays and base classes.
template <class S>
inline constexpr std::size_t member_count = detail::count_members<S>();

/// Whether `describe` shows as many fields as the struct has members. Stands in a static_assert
/// behind `describe`, so that a member which was left out does not compile.
template <class S>
consteval bool describes_all_members() {
  detail::field_counter counter;
  describe(counter, detail::unmade_object<S>.object);
  return counter.count == member_count<S>;
}

}  // namespace tern::inline TERN_ABI
