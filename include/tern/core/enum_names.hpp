// The names of an enum's values, as files and messages spell them.
#pragma once

#include <initializer_list>
#include <utility>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// A list of names and values. Several names may stand for one value; the first of them is written.
template <class E>
using enum_names = std::initializer_list<std::pair<const char*, E>>;

/// The first name of a value. Throws config_error where the list has none.
template <class E>
const char* name_of(E value, enum_names<E> names) {
  for (const auto& [name, e] : names)
    if (e == value) return name;
  throw config_error("a value of an enum has no name in its list");
}

}  // namespace tern::inline TERN_ABI
