// The filters, tests and methods of Jinja templates, on values. They do what Python's functions of
// the same names do. One that is not supported is refused by name.
#pragma once

#include <utf8proc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/utf8.hpp"
#include "tern/text/jinja_syntax.hpp"
#include "tern/text/unicode_class.hpp"

namespace tern::inline TERN_ABI::detail {

inline jinja_value jinja_undefined() { return jinja_value(jinja_value::value_t::discarded); }

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

/// Python's str(value). Lists and dictionaries are refused: tojson writes them.
inline std::string jinja_text(const jinja_value& v, std::size_t line) {
  if (v.is_discarded()) return "";
  if (v.is_null()) return "None";
  if (v.is_boolean()) return v.get<bool>() ? "True" : "False";
  if (v.is_string()) return v.get<std::string>();
  if (v.is_structured()) jinja_fail(line, "a list or dictionary as text is not supported");
  return v.dump();
}

/// Python's json.dumps(value, ensure_ascii=False), with spaces behind commas and colons.
inline std::string jinja_json(const jinja_value& v) {
  if (!v.is_structured()) return v.is_discarded() ? "null" : v.dump();
  std::string text(v.is_array() ? "[" : "{");
  for (auto item = v.begin(); item != v.end(); ++item) {
    if (item != v.begin()) text += ", ";
    if (v.is_object()) text += jinja_value(item.key()).dump() + ": ";
    text += jinja_json(*item);
  }
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

enum class letter_case { upper, lower, capital, title };

inline std::string jinja_cased(std::string_view text, letter_case wanted) {
  std::string out;
  bool first = true;  // whether a word begins here
  for (std::size_t at = 0; at < text.size();) {
    const auto c = static_cast<utf8proc_int32_t>(next_code_point(text, at));
    const bool upper = wanted == letter_case::upper || (wanted != letter_case::lower && first);
    append_utf8(out, static_cast<char32_t>(upper ? utf8proc_toupper(c) : utf8proc_tolower(c)));
    first = wanted == letter_case::title && utf8proc_toupper(c) == utf8proc_tolower(c);
  }
  return out;
}

/// Python's strip, lstrip and rstrip. Without `which` white space is removed.
inline std::string jinja_stripped(std::string_view text, bool front, bool back,
                                  const std::string* which) {
  if (which == nullptr) {
    if (front) text.remove_prefix(white_space_at_begin(text));
    if (back) text.remove_suffix(white_space_at_end(text));
    return std::string(text);
  }
  auto all = jinja_characters(text);
  const auto known = jinja_characters(*which);
  const auto removed = [&](std::string_view c) { return std::ranges::count(known, c) != 0; };
  std::size_t begin = 0, end = all.size();
  while (front && begin < end && removed(all[begin])) ++begin;
  while (back && begin < end && removed(all[end - 1])) --end;
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += all[i];
  return out;
}

inline jinja_value jinja_split(const std::string& text, const jinja_value* by, std::int64_t most) {
  jinja_value parts = jinja_value::array();
  std::size_t at = 0;
  if (by == nullptr || by->is_null()) {
    while (true) {
      at += white_space_at_begin(std::string_view(text).substr(at));
      if (at == text.size()) return parts;
      std::size_t end = at;
      while (end < text.size() && white_space_at_begin(std::string_view(text).substr(end)) == 0)
        ++end;
      parts.push_back(text.substr(at, end - at));
      at = end;
    }
  }
  const std::string& sign = by->get_ref<const std::string&>();
  for (std::size_t end; most-- != 0 && (end = text.find(sign, at)) != text.npos;
       at = end + sign.size())
    parts.push_back(text.substr(at, end - at));
  parts.push_back(text.substr(at));
  return parts;
}

inline std::string jinja_replaced(const std::string& text, const std::string& from,
                                  const std::string& to) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(from, done)) != text.npos; done = at + from.size())
    out.append(text, done, at - done).append(to);
  return out.append(text, done);
}

/// Arguments of a call, with checks.
class jinja_arguments {
 public:
  jinja_arguments(std::string what, std::size_t line, std::span<const jinja_value> values)
      : what_(std::move(what)), line_(line), values_(values) {}

  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] const jinja_value* at(std::size_t i) const {
    return i < values_.size() ? &values_[i] : nullptr;
  }
  [[nodiscard]] const std::string& text(std::size_t i) const {
    if (at(i) == nullptr || !at(i)->is_string()) fail("needs a string");
    return at(i)->get_ref<const std::string&>();
  }
  [[nodiscard]] std::int64_t integer(std::size_t i) const {
    if (at(i) == nullptr) fail("needs an integer");
    return jinja_integer(*at(i), line_);
  }
  void most(std::size_t n) const {
    if (values_.size() > n) fail("has more arguments than are supported");
  }
  [[noreturn]] void fail(const std::string& why) const { jinja_fail(line_, what_ + " " + why); }
  [[noreturn]] void refuse() const { fail("is not supported"); }

 private:
  std::string what_;
  std::size_t line_;
  std::span<const jinja_value> values_;
};

/// The method of a string.
inline jinja_value jinja_string_method(const std::string& text, const std::string& name,
                                       const jinja_arguments& a) {
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    a.most(1);
    return jinja_stripped(text, name != "rstrip", name != "lstrip",
                          a.size() > 0 ? &a.text(0) : nullptr);
  }
  if (name == "split") {
    a.most(2);
    if (a.size() > 0 && !a.at(0)->is_null() && a.text(0).empty()) a.fail("needs a separator");
    return jinja_split(text, a.at(0), a.size() > 1 ? a.integer(1) : -1);
  }
  if (name == "startswith" || name == "endswith") {
    a.most(1);
    return name == "startswith" ? text.starts_with(a.text(0)) : text.ends_with(a.text(0));
  }
  if (name == "replace") {
    a.most(2);
    if (a.text(0).empty()) a.fail("needs a string that is not empty");
    return jinja_replaced(text, a.text(0), a.text(1));
  }
  if (name == "find") {
    a.most(1);
    const std::size_t at = text.find(a.text(0));
    return at == text.npos ? -1
                           : static_cast<std::int64_t>(
                                 jinja_characters(std::string_view(text).substr(0, at)).size());
  }
  a.most(0);
  if (name == "upper") return jinja_cased(text, letter_case::upper);
  if (name == "lower") return jinja_cased(text, letter_case::lower);
  if (name == "title") return jinja_cased(text, letter_case::title);
  if (name == "capitalize") return jinja_cased(text, letter_case::capital);
  a.refuse();
}

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
  if (name == "equalto" || name == "eq" || name == "sameas") return v == other();
  if (name == "ne") return v != other();
  if (name == "in") {
    for (const auto& item : other())
      if (item == v) return true;
    return false;
  }
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
  if (name == "sequence" || name == "iterable") return v.is_string() || v.is_structured();
  if (name == "number") return v.is_number();
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
    for (auto item = v.begin(); item != v.end(); ++item)
      text += (item == v.begin() || a.size() < 2 ? "" : a.text(1)) + jinja_text(*item, line);
    return text;
  }
  if (name == "replace") {
    a.most(3);
    return jinja_string_method(jinja_text(v, line), name,
                               {"the filter 'replace'", line, std::span(a.at(1), a.size() - 1)});
  }
  a.most(1);
  if (name == "tojson") return jinja_json(v);
  if (name == "length" || name == "count") return jinja_length(v, line);
  if (name == "string") return jinja_text(v, line);
  if (name == "safe") return v;
  if (name == "upper" || name == "lower" || name == "title" || name == "capitalize")
    return jinja_string_method(jinja_text(v, line), name, {name, line, {}});
  if (name == "items" && v.is_object()) return jinja_dictionary_method(v, name, {name, line, {}});
  if (name == "list" && v.is_array()) return v;
  if (name == "int" && v.is_number_integer()) return v;
  if ((name == "first" || name == "last") && v.is_array()) {
    if (v.empty()) return jinja_undefined();
    return name == "first" ? v.front() : v.back();
  }
  a.refuse();
}

}  // namespace tern::inline TERN_ABI::detail
