// The values of Jinja templates, and what Python's functions of a value give for them.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/utf8.hpp"
#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI::detail {

/// A value of a template. One that is not defined has the type `discarded`.
using jinja_value = nlohmann::ordered_json;

inline jinja_value jinja_undefined() { return jinja_value(jinja_value::value_t::discarded); }

/// What messages call the type of a value.
inline std::string jinja_type(const jinja_value& v) {
  return v.is_discarded() ? "value that is not defined" : v.type_name();
}

/// An integer of a template. Larger ones than any text needs are refused, so that sums and products
/// fit.
inline std::int64_t jinja_integer(const jinja_value& v, std::size_t line) {
  constexpr std::int64_t most = std::int64_t{1} << 31;
  if (!v.is_number_integer()) jinja_fail(line, "an integer is needed");
  if (v.is_number_unsigned() ? v.get<std::uint64_t>() > std::uint64_t{1} << 31
                             : v.get<std::int64_t>() < -most || v.get<std::int64_t>() > most)
    jinja_fail(line, "integers beyond 2^31 are not supported");
  return v.get<std::int64_t>();
}

/// Refuses lists and dictionaries in one another that are too deep for functions that recurse.
inline const jinja_value& jinja_flat(const jinja_value& v, std::size_t line, int levels = 64) {
  if (!v.is_structured()) return v;
  if (levels == 0) jinja_fail(line, "lists and dictionaries are nested too deeply");
  for (const jinja_value& item : v) jinja_flat(item, line, levels - 1);
  return v;
}

/// Python's bool(value).
inline bool jinja_true(const jinja_value& v) {
  if (v.is_discarded() || v.is_null()) return false;
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number_float()) return v.get<double>() != 0;
  if (v.is_number()) return v.get<std::int64_t>() != 0;
  if (v.is_string()) return !v.get_ref<const std::string&>().empty();
  return !v.empty();
}

/// Python's repr of a number with a fraction.
inline std::string jinja_real(double x) {
  if (!std::isfinite(x)) return std::isnan(x) ? "nan" : x < 0 ? "-inf" : "inf";
  const double size = std::abs(x);
  const bool fixed = size == 0 || (size >= 1e-4 && size < 1e16);
  std::array<char, 64> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), x,
                                 fixed ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits.data(), end.ptr);
  if (fixed && text.find('.') == text.npos) text += ".0";
  return text;
}

/// Python's str(value). Lists and dictionaries are refused: tojson writes them.
inline std::string jinja_text(const jinja_value& v, std::size_t line) {
  if (v.is_discarded()) return "";
  if (v.is_null()) return "None";
  if (v.is_boolean()) return v.get<bool>() ? "True" : "False";
  if (v.is_string()) return v.get<std::string>();
  if (v.is_structured()) jinja_fail(line, "a list or dictionary as text is not supported");
  return v.is_number_float() ? jinja_real(v.get<double>()) : v.dump();
}

/// Python's json.dumps(value, ensure_ascii=False). With a negative `indent` all is on one line,
/// with spaces behind commas and colons; otherwise each element has a line, that many spaces deeper
/// than the one around it.
inline std::string jinja_json(const jinja_value& v, std::size_t line, int indent = -1,
                              int depth = 0) {
  if (v.is_discarded()) jinja_fail(line, "tojson of a value that is not defined");
  if (v.is_number_float()) return jinja_real(v.get<double>());
  if (!v.is_structured()) return v.dump();
  const auto begin_line = [&](int levels) {
    return indent < 0 ? "" : "\n" + std::string(static_cast<std::size_t>(indent * levels), ' ');
  };
  std::string text(v.is_array() ? "[" : "{");
  for (auto item = v.begin(); item != v.end(); ++item) {
    if (item != v.begin()) text += indent < 0 ? ", " : ",";
    text += begin_line(depth + 1);
    if (v.is_object()) text += jinja_value(item.key()).dump() + ": ";
    text += jinja_json(*item, line, indent, depth + 1);
  }
  if (!v.empty()) text += begin_line(depth);
  return text + (v.is_array() ? "]" : "}");
}

/// The characters of a text.
inline std::vector<std::string_view> jinja_characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (std::size_t at = 0, begin = 0; at < text.size(); begin = at) {
    static_cast<void>(next_code_point(text, at));
    all.push_back(text.substr(begin, at - begin));
  }
  return all;
}

inline std::int64_t jinja_length(const jinja_value& v, std::size_t line) {
  if (v.is_string())
    return static_cast<std::int64_t>(jinja_characters(v.get_ref<const std::string&>()).size());
  if (!v.is_structured()) jinja_fail(line, "the length of a value that has none");
  return static_cast<std::int64_t>(v.size());
}

/// Python's a == b. True is 1, False is 0, and the order of keys does not matter.
inline bool jinja_equal(const jinja_value& a, const jinja_value& b) {
  if (a.is_discarded() || b.is_discarded()) return a.is_discarded() && b.is_discarded();
  if (a.is_boolean() && b.is_number()) return jinja_value(a.get<bool>() ? 1 : 0) == b;
  if (b.is_boolean() && a.is_number()) return jinja_equal(b, a);
  if (!a.is_structured() || a.type() != b.type() || a.size() != b.size()) return a == b;
  for (auto item = a.begin(); item != a.end(); ++item) {
    if (a.is_object() && !b.contains(item.key())) return false;
    const jinja_value& other =
        a.is_object() ? b.at(item.key()) : b[static_cast<std::size_t>(item - a.begin())];
    if (!jinja_equal(*item, other)) return false;
  }
  return true;
}

/// What a loop goes over: elements of a list, keys of a dictionary, characters of a string.
inline jinja_value jinja_elements(const jinja_value& v, std::size_t line) {
  if (v.is_array()) return v;
  jinja_value made = jinja_value::array();
  if (v.is_object())
    for (const auto& [key, ignored] : v.items()) made.push_back(key);
  else if (v.is_string())
    for (const auto c : jinja_characters(v.get_ref<const std::string&>())) made.push_back(c);
  else if (!v.is_discarded())
    jinja_fail(line, "a loop needs a list");
  return made;
}

/// Whether `part in all` holds.
inline bool jinja_contains(const jinja_value& all, const jinja_value& part, std::size_t line) {
  if (all.is_string() && part.is_string())
    return all.get_ref<const std::string&>().find(part.get_ref<const std::string&>()) !=
           std::string::npos;
  if (all.is_object()) return part.is_string() && all.contains(part.get_ref<const std::string&>());
  if (all.is_array()) {
    for (const auto& item : all)
      if (jinja_equal(item, part)) return true;
    return false;
  }
  if (all.is_discarded()) return false;
  jinja_fail(line, "'in' needs a string, a list or a dictionary");
}

}  // namespace tern::inline TERN_ABI::detail
