// The operators of Jinja templates on values, with members and slices.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tern/text/jinja_expression.hpp"
#include "tern/text/jinja_tokens.hpp"
#include "tern/text/jinja_value.hpp"

namespace tern::inline TERN_ABI::detail {

/// The number of bytes that a text may have, which a template of a few lines could exceed.
inline constexpr std::size_t jinja_longest = std::size_t{64} << 20;

inline std::string jinja_joined(const std::string& a, const std::string& b, std::size_t line) {
  if (a.size() + b.size() > jinja_longest) jinja_fail(line, "a text is longer than 64 MB");
  return a + b;
}

/// The result of a comparison, or none where `sign` is another operator.
template <class T>
std::optional<bool> jinja_compared(const std::string& sign, T a, T b) {
  if (sign == "<") return a < b;
  if (sign == "<=") return a <= b;
  if (sign == ">") return a > b;
  if (sign == ">=") return a >= b;
  return {};
}

inline jinja_value jinja_of_integers(const jinja_expression& e, std::int64_t a, std::int64_t b) {
  if (const auto result = jinja_compared(e.text, a, b)) return *result;
  if (e.text == "+") return a + b;
  if (e.text == "-") return a - b;
  if (e.text == "*") return a * b;
  if (b == 0) jinja_fail(e.line, "a number is divided by 0");
  if (e.text == "/") return static_cast<double>(a) / static_cast<double>(b);
  const std::int64_t rest = a % b, moved = rest != 0 && (rest < 0) != (b < 0) ? 1 : 0;
  return e.text == "//" ? a / b - moved : rest + moved * b;  // rounded down, as in Python
}

inline jinja_value jinja_of_reals(const jinja_expression& e, double a, double b) {
  if (const auto result = jinja_compared(e.text, a, b)) return *result;
  if (e.text == "+") return a + b;
  if (e.text == "-") return a - b;
  if (e.text == "*") return a * b;
  if (e.text == "/" && b != 0) return a / b;
  jinja_fail(e.line, "'" + e.text + "' of these numbers is not supported");
}

/// The result of an operator other than `and` and `or`, which do not always need both operands.
inline jinja_value jinja_binary(const jinja_expression& e, const jinja_value& left,
                                const jinja_value& right) {
  if (e.text == "==") return jinja_equal(left, right);
  if (e.text == "!=") return !jinja_equal(left, right);
  if (e.text == "~")
    return jinja_joined(jinja_text(left, e.line), jinja_text(right, e.line), e.line);
  if (e.text == "in") return jinja_contains(right, left, e.line);
  if (left.is_string() && right.is_string()) {
    const auto& a = left.get_ref<const std::string&>();
    const auto& b = right.get_ref<const std::string&>();
    if (e.text == "+") return jinja_joined(a, b, e.line);
    if (const auto result = jinja_compared(e.text, a.compare(b), 0)) return *result;
  } else if (left.is_array() && right.is_array() && e.text == "+") {
    if (left.size() + right.size() > jinja_longest / 64) jinja_fail(e.line, "a list is too long");
    jinja_value made = left;
    for (const auto& item : right) made.push_back(item);
    return made;
  } else if (left.is_number_integer() && right.is_number_integer()) {
    return jinja_of_integers(e, jinja_integer(left, e.line), jinja_integer(right, e.line));
  } else if (left.is_number() && right.is_number()) {
    return jinja_of_reals(e, left.get<double>(), right.get<double>());
  }
  jinja_fail(e.line, "'" + e.text + "' of a " + jinja_type(left) + " and a " + jinja_type(right) +
                         " is not supported");
}

/// Whether Python's objects of the value's type have a method of this name.
inline bool jinja_has_method(const jinja_value& object, std::string_view name) {
  constexpr std::array<std::string_view, 11> dictionary{
      "clear", "copy",    "fromkeys",   "get",    "items", "keys",
      "pop",   "popitem", "setdefault", "update", "values"};
  constexpr std::array<std::string_view, 11> list{"append", "clear",   "copy",   "count",
                                                  "extend", "index",   "insert", "pop",
                                                  "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 18> string{
      "capitalize", "count",   "encode",     "endswith", "find",   "format",
      "index",      "isdigit", "join",       "lower",    "lstrip", "replace",
      "rstrip",     "split",   "startswith", "strip",    "title",  "upper"};
  return (object.is_object() && std::ranges::count(dictionary, name) != 0) ||
         (object.is_array() && std::ranges::count(list, name) != 0) ||
         (object.is_string() && std::ranges::count(string, name) != 0);
}

/// The member of an object, or an element of a list or string. `e` says how it is written: a member
/// behind a dot is a method before it is a key, which only matters for names of Python's methods.
inline jinja_value jinja_member(const jinja_value& object, const jinja_value& key,
                                const jinja_expression& e) {
  if (object.is_discarded())
    jinja_fail(e.line, "a member of a value that is not defined is wanted: " +
                           (e.parts[0].text.empty() ? jinja_json(key, e.line) : e.parts[0].text));
  if (object.is_object() && key.is_string()) {
    const auto found = object.find(key.get_ref<const std::string&>());
    const bool behind_dot = !e.text.empty();
    if (found != object.end() && !(behind_dot && jinja_has_method(object, e.text))) return *found;
  }
  if (key.is_string() && jinja_has_method(object, key.get_ref<const std::string&>()))
    jinja_fail(e.line, "the method '" + key.get<std::string>() + "' is not called");
  if (key.is_boolean()) jinja_fail(e.line, "a subscript that is true or false is not supported");
  if (!key.is_number_integer()) return jinja_undefined();
  auto at = key.get<std::int64_t>();
  if (object.is_string()) {
    const auto all = jinja_characters(object.get_ref<const std::string&>());
    const auto n = static_cast<std::int64_t>(all.size());
    if (at < 0) at += n;
    return at < 0 || at >= n ? jinja_undefined() : jinja_value(all[static_cast<std::size_t>(at)]);
  }
  if (!object.is_array()) return jinja_undefined();
  const auto n = static_cast<std::int64_t>(object.size());
  if (at < 0) at += n;
  return at < 0 || at >= n ? jinja_undefined() : object[static_cast<std::size_t>(at)];
}

/// Python's parts[0][parts[1]:parts[2]:parts[3]].
inline jinja_value jinja_slice(const std::vector<jinja_value>& parts, std::size_t line) {
  const jinja_value& from = parts[0];
  for (std::size_t i = 1; i < 4; ++i)
    if (!parts[i].is_null() && !parts[i].is_number_integer())
      jinja_fail(line, "the bounds of a slice must be integers");
  const jinja_value items =
      from.is_string() || from.is_array() ? jinja_elements(from, line) : jinja_value();
  if (items.is_null()) jinja_fail(line, "only lists and strings have slices");
  const std::int64_t step = parts[3].is_null() ? 1 : jinja_integer(parts[3], line);
  if (step == 0) jinja_fail(line, "the step of a slice must not be 0");
  const auto n = static_cast<std::int64_t>(items.size());
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  const auto bound = [&](const jinja_value& v, std::int64_t missing) {
    if (v.is_null()) return missing;
    const std::int64_t at = jinja_integer(v, line);
    return std::clamp(at < 0 ? at + n : at, low, high);
  };
  const std::int64_t end = bound(parts[2], step > 0 ? high : low);
  jinja_value list = jinja_value::array();
  std::string text;
  for (std::int64_t i = bound(parts[1], step > 0 ? low : high); step > 0 ? i < end : i > end;
       i += step) {
    const jinja_value& item = items[static_cast<std::size_t>(i)];
    if (from.is_string())
      text += item.get_ref<const std::string&>();
    else
      list.push_back(item);
  }
  return from.is_string() ? jinja_value(text) : list;
}

}  // namespace tern::inline TERN_ABI::detail
