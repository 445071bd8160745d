// The filters and tests of Jinja templates, and the methods of dictionaries. One that is not
// supported is refused by name.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/text/jinja_arguments.hpp"
#include "tern/text/jinja_strings.hpp"
#include "tern/text/jinja_tokens.hpp"
#include "tern/text/jinja_value.hpp"

namespace tern::inline TERN_ABI::detail {

/// The method of a dictionary.
inline jinja_value jinja_dictionary_method(const jinja_value& object, const std::string& name,
                                           const jinja_arguments& a) {
  if (name == "get") {
    a.most(2);
    const auto found = object.find(a.text(0));
    if (found != object.end()) return *found;
    return a.size() > 1 ? *a.at(1) : jinja_value();
  }
  a.most(0);
  jinja_value made = jinja_value::array();
  for (const auto& [key, value] : object.items()) {
    if (name == "items")
      made.push_back(jinja_value::array({key, value}));
    else if (name == "keys")
      made.push_back(key);
    else if (name == "values")
      made.push_back(value);
    else
      a.refuse();
  }
  if (object.empty() && name != "items" && name != "keys" && name != "values") a.refuse();
  return made;
}

/// Whether the value, the first argument, passes the test.
inline bool jinja_test(const std::string& name, const jinja_arguments& a) {
  const jinja_value& v = *a.at(0);
  const auto other = [&]() -> const jinja_value& {
    if (a.size() != 2) a.fail("needs one argument");
    return *a.at(1);
  };
  if (name == "equalto" || name == "eq" || name == "==") return jinja_equal(v, other());
  if (name == "sameas") {
    if (!other().is_boolean() && !other().is_null())
      a.fail("is supported for true, false and none alone");
    return v == other();
  }
  if (name == "ne") return !jinja_equal(v, other());
  if (name == "in") return jinja_contains(other(), v, a.line());
  if (name == "divisibleby") {
    static_cast<void>(other());
    if (a.integer(1) == 0) a.fail("needs an integer that is not 0");
    return a.integer(0) % a.integer(1) == 0;
  }
  a.most(1);
  if (name == "defined") return !v.is_discarded();
  if (name == "undefined") return v.is_discarded();
  if (name == "none") return v.is_null();
  if (name == "string") return v.is_string();
  if (name == "mapping") return v.is_object();
  if (name == "sequence" || name == "iterable")
    return v.is_string() || v.is_structured() || v.is_discarded();
  if (name == "number") return v.is_number() || v.is_boolean();
  if (name == "integer") return v.is_number_integer();
  if (name == "float") return v.is_number_float();
  if (name == "boolean") return v.is_boolean();
  if (name == "true") return v.is_boolean() && v.get<bool>();
  if (name == "false") return v.is_boolean() && !v.get<bool>();
  if (name == "odd" || name == "even") {
    return (a.integer(0) % 2 != 0) == (name == "odd");
  }
  a.refuse();
}

/// A filter of a list: elements that pass a test, or the values of a key.
inline jinja_value jinja_list_filter(const std::string& name, const jinja_arguments& a,
                                     std::size_t line) {
  const jinja_value& list = *a.at(0);
  if (!list.is_array()) a.fail("needs a list");
  jinja_value made = jinja_value::array();
  if (name == "reverse") {
    for (auto item = list.rbegin(); item != list.rend(); ++item) made.push_back(*item);
    return made;
  }
  for (const jinja_value& item : list) {  // selectattr and rejectattr
    jinja_value value = jinja_undefined();
    if (item.is_object() && item.contains(a.text(1))) value = item.at(a.text(1));
    bool passes = jinja_true(value);
    if (a.size() > 2) {
      std::vector<jinja_value> arguments{std::move(value)};
      for (std::size_t i = 3; i < a.size(); ++i) arguments.push_back(*a.at(i));
      passes = jinja_test(a.text(2), {"the test '" + a.text(2) + "'", line, arguments});
    }
    if (passes == (name == "selectattr")) made.push_back(item);
  }
  return made;
}

/// A filter; the first argument is its input.
inline jinja_value jinja_filter(const std::string& name, const jinja_arguments& a,
                                std::size_t line) {
  const jinja_value& v = *a.at(0);
  if (name == "default" || name == "d") {
    a.most(3);
    const bool falsy = a.size() > 2 && jinja_true(*a.at(2)) && !jinja_true(v);
    if (!v.is_discarded() && !falsy) return v;
    return a.size() > 1 ? *a.at(1) : jinja_value("");
  }
  if (name == "trim" && a.size() == 1)
    return jinja_stripped(jinja_text(v, line), true, true, nullptr);
  if (name == "selectattr" || name == "rejectattr" || (name == "reverse" && v.is_array()))
    return jinja_list_filter(name, a, line);
  if (name == "join") {
    a.most(2);
    std::string text;
    const jinja_value items = jinja_elements(v, line);
    for (auto item = items.begin(); item != items.end(); ++item)
      text += (item == items.begin() || a.size() < 2 ? "" : a.text(1)) + jinja_text(*item, line);
    return text;
  }
  if (name == "replace") {
    a.most(3);
    return jinja_string_method(jinja_text(v, line), name,
                               {"the filter 'replace'", line, std::span(a.at(1), a.size() - 1)});
  }
  a.most(1);
  if (name == "tojson") return jinja_json(v, line);
  if (name == "length" || name == "count") return jinja_length(v, line);
  if (name == "string") return jinja_text(v, line);
  if (name == "safe") return v;
  if (name == "title") return jinja_cased(jinja_text(v, line), letter_case::title, line, "-({[<");
  if (name == "upper" || name == "lower" || name == "capitalize")
    return jinja_string_method(jinja_text(v, line), name, {name, line, {}});
  if (name == "items" && v.is_object()) return jinja_dictionary_method(v, name, {name, line, {}});
  if (name == "list") return jinja_elements(v, line);
  if (name == "int" && v.is_number_integer()) return v;
  if ((name == "first" || name == "last") && v.is_array()) {
    if (v.empty()) return jinja_undefined();
    return name == "first" ? v.front() : v.back();
  }
  a.refuse();
}

}  // namespace tern::inline TERN_ABI::detail
