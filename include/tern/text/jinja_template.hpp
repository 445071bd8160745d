// Templates in a part of the language Jinja: what the chat templates of language models use. A
// template with anything else is refused by name, so a text is never wrong silently.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/jinja_functions.hpp"
#include "tern/text/jinja_syntax.hpp"
#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Runs the statements of a template.
class jinja_runner {
 public:
  explicit jinja_runner(std::map<std::string, jinja_value> variables) {
    frames_.push_back(std::move(variables));
  }

  std::string run(const std::vector<jinja_statement>& statements) {
    std::string out;
    run(statements, out);
    return out;
  }

 private:
  using frame = std::map<std::string, jinja_value>;
  using kind = jinja_expression::kind;
  enum class outcome { done, leave, next };

  outcome run(const std::vector<jinja_statement>& statements, std::string& out) {
    for (const jinja_statement& s : statements) {
      switch (s.what) {
        case jinja_statement::kind::text:
          out += s.text;
          break;
        case jinja_statement::kind::output:
          out += jinja_text(value_of(s.expressions[0]), s.line);
          break;
        case jinja_statement::kind::branch:
          if (const auto result = run_branch(s, out); result != outcome::done) return result;
          break;
        case jinja_statement::kind::loop:
          run_loop(s, out);
          break;
        case jinja_statement::kind::assign:
          assign(s, value_of(s.expressions[0]));
          break;
        case jinja_statement::kind::capture: {
          std::string text;
          run(s.bodies[0], text);
          assign(s, std::move(text));
          break;
        }
        case jinja_statement::kind::macro:
          macros_[s.text] = &s;
          break;
        case jinja_statement::kind::leave:
          return outcome::leave;
        case jinja_statement::kind::next:
          return outcome::next;
      }
      if (out.size() > longest) jinja_fail(s.line, "the text is longer than 64 MB");
    }
    return outcome::done;
  }

  outcome run_branch(const jinja_statement& s, std::string& out) {
    std::size_t i = 0;
    while (i < s.expressions.size() && !jinja_true(value_of(s.expressions[i]))) ++i;
    return i < s.bodies.size() ? run(s.bodies[i], out) : outcome::done;
  }

  void run_loop(const jinja_statement& s, std::string& out) {
    jinja_value items = elements(value_of(s.expressions[0]), s.line);
    if (s.expressions.size() > 1) {
      jinja_value kept = jinja_value::array();
      for (const jinja_value& item : items) {
        frames_.emplace_back();
        bind(s, item);
        if (jinja_true(value_of(s.expressions[1]))) kept.push_back(item);
        frames_.pop_back();
      }
      items = std::move(kept);
    }
    const std::size_t n = items.size();
    for (std::size_t i = 0; i < n; ++i) {
      frames_.emplace_back();
      bind(s, items[i]);
      frames_.back()["loop"] = {{"index", i + 1},        {"index0", i}, {"first", i == 0},
                                {"last", i + 1 == n},    {"length", n}, {"revindex", n - i},
                                {"revindex0", n - i - 1}};
      jinja_value& loop = frames_.back()["loop"];
      if (i > 0) loop["previtem"] = items[i - 1];
      if (i + 1 < n) loop["nextitem"] = items[i + 1];
      const outcome result = run(s.bodies[0], out);
      frames_.pop_back();
      if (result == outcome::leave) break;
    }
    if (n == 0 && s.bodies.size() > 1) run(s.bodies[1], out);
  }

  /// What a loop goes over: elements of a list, keys of a dictionary, characters of a string.
  static jinja_value elements(jinja_value v, std::size_t line) {
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

  void bind(const jinja_statement& s, const jinja_value& item) {
    if (s.names.size() == 1) {
      frames_.back()[s.names[0]] = item;
      return;
    }
    if (!item.is_array() || item.size() != s.names.size())
      jinja_fail(s.line, "an element has not " + std::to_string(s.names.size()) + " parts");
    for (std::size_t i = 0; i < s.names.size(); ++i) frames_.back()[s.names[i]] = item[i];
  }

  void assign(const jinja_statement& s, jinja_value value) {
    if (s.names.size() == 1) {
      frames_.back()[s.names[0]] = std::move(value);
      return;
    }
    jinja_value* object = find(s.names[0]);
    if (object == nullptr || !object->is_object())
      jinja_fail(s.line, "'" + s.names[0] + "' is not a namespace");
    (*object)[s.names[1]] = jinja_flat(value, s.line);
  }

  jinja_value* find(const std::string& name) {
    for (auto each = frames_.rbegin(); each != frames_.rend(); ++each)
      if (const auto found = each->find(name); found != each->end()) return &found->second;
    return nullptr;
  }

  std::vector<jinja_value> values_of(const std::vector<jinja_expression>& parts) {
    std::vector<jinja_value> values;
    values.reserve(parts.size());
    for (const auto& part : parts) values.push_back(value_of(part));
    return values;
  }

  jinja_value value_of(const jinja_expression& e) {
    switch (e.what) {
      case kind::literal:
        return e.value;
      case kind::name: {
        const jinja_value* found = find(e.text);
        return found == nullptr ? jinja_undefined() : *found;
      }
      case kind::list: {
        jinja_value list = jinja_value::array();
        for (auto& value : values_of(e.parts)) list.push_back(std::move(value));
        return jinja_flat(list, e.line);
      }
      case kind::dictionary: {
        jinja_value made = jinja_value::object();
        for (std::size_t i = 0; i < e.parts.size(); i += 2)
          made[jinja_text(value_of(e.parts[i]), e.line)] = value_of(e.parts[i + 1]);
        return jinja_flat(made, e.line);
      }
      case kind::member:
        return member(value_of(e.parts[0]), value_of(e.parts[1]), e);
      case kind::slice:
        return slice(values_of(e.parts), e.line);
      case kind::call:
        return call(e);
      case kind::method:
        return method(e);
      case kind::filter:
        return filter(e);
      case kind::test: {
        if (!e.named.empty()) jinja_fail(e.line, "named arguments of a test are not supported");
        const auto values = values_of(e.parts);
        return jinja_test(e.text, {"the test '" + e.text + "'", e.line, values});
      }
      case kind::unary:
        return unary(e);
      case kind::binary:
        return binary(e);
      case kind::conditional:
        return value_of(e.parts[jinja_true(value_of(e.parts[0])) ? 1 : 2]);
    }
    return {};
  }

  static jinja_value member(const jinja_value& object, const jinja_value& key,
                            const jinja_expression& e) {
    if (object.is_discarded())
      jinja_fail(e.line, "a member of a value that is not defined is wanted: " +
                             (e.parts[0].text.empty() ? jinja_json(key) : e.parts[0].text));
    if (object.is_object() && key.is_string()) {
      const auto found = object.find(key.get_ref<const std::string&>());
      return found == object.end() ? jinja_undefined() : *found;
    }
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

  static jinja_value slice(const std::vector<jinja_value>& parts, std::size_t line) {
    const jinja_value& from = parts[0];
    for (std::size_t i = 1; i < 4; ++i)
      if (!parts[i].is_null() && !parts[i].is_number_integer())
        jinja_fail(line, "the bounds of a slice must be integers");
    const jinja_value items =
        from.is_string() || from.is_array() ? elements(from, line) : jinja_value();
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

  jinja_value call(const jinja_expression& e) {
    if (const auto macro = macros_.find(e.text); macro != macros_.end())
      return call_macro(*macro->second, e);
    const auto values = values_of(e.parts);
    const jinja_arguments a("the function '" + e.text + "'", e.line, values);
    if (e.text == "namespace" || e.text == "dict") {
      a.most(0);
      jinja_value made = jinja_value::object();
      for (std::size_t i = 0; i < e.named.size(); ++i) made[e.names[i]] = value_of(e.named[i]);
      return made;
    }
    if (!e.named.empty()) a.fail("has named arguments, which are not supported");
    if (e.text == "raise_exception")
      throw config_error("chat template: " + jinja_text(values.empty() ? "" : values[0], e.line));
    if (e.text == "range") return range(a, values);
    if (e.text == "strftime_now") {
      a.most(1);
      const std::time_t now = std::time(nullptr);
      std::string text(256, '\0');
      const std::tm* parts = std::localtime(&now);
      if (parts == nullptr) a.fail("does not know the time");
      text.resize(std::strftime(text.data(), text.size(), a.text(0).c_str(), parts));
      return text;
    }
    a.refuse();
  }

  static jinja_value range(const jinja_arguments& a, const std::vector<jinja_value>& values) {
    if (values.empty() || values.size() > 3) a.fail("needs one to three integers");
    const auto at = [&](std::size_t i) { return a.integer(i); };
    const std::int64_t first = values.size() > 1 ? at(0) : 0, end = at(values.size() > 1 ? 1 : 0),
                       step = values.size() > 2 ? at(2) : 1;
    if (step == 0) a.fail("needs a step that is not 0");
    jinja_value list = jinja_value::array();
    for (std::int64_t i = first; step > 0 ? i < end : i > end; i += step) {
      if (list.size() == 100000) a.fail("gives more than 100000 numbers");
      list.push_back(i);
    }
    return list;
  }

  /// Runs a macro. It sees its arguments and the variables of the template, not those of loops.
  jinja_value call_macro(const jinja_statement& macro, const jinja_expression& e) {
    if (++depth_ > 40) jinja_fail(e.line, "macros call one another too deeply");
    const auto values = values_of(e.parts);
    if (values.size() > macro.names.size())
      jinja_fail(e.line, "the macro '" + e.text + "' has fewer parameters");
    frame own;
    for (std::size_t i = 0; i < macro.names.size(); ++i)
      own[macro.names[i]] = i < values.size() ? values[i] : value_of(macro.expressions[i]);
    for (std::size_t i = 0; i < e.named.size(); ++i) {
      if (std::ranges::count(macro.names, e.names[i]) == 0)
        jinja_fail(e.line, "the macro '" + e.text + "' has no parameter '" + e.names[i] + "'");
      own[e.names[i]] = value_of(e.named[i]);
    }
    std::vector<frame> outer(std::make_move_iterator(frames_.begin() + 1),
                             std::make_move_iterator(frames_.end()));
    frames_.resize(1);
    frames_.push_back(std::move(own));
    std::string text;
    run(macro.bodies[0], text);
    frames_.resize(1);
    for (frame& each : outer) frames_.push_back(std::move(each));
    --depth_;
    return text;
  }

  jinja_value method(const jinja_expression& e) {
    if (!e.named.empty()) jinja_fail(e.line, "named arguments of a method are not supported");
    const auto values = values_of(e.parts);
    const jinja_arguments a("the method '" + e.text + "'", e.line, std::span(values).subspan(1));
    if (values[0].is_string())
      return jinja_string_method(values[0].get_ref<const std::string&>(), e.text, a);
    if (values[0].is_object()) return jinja_dictionary_method(values[0], e.text, a);
    if (values[0].is_discarded() || values[0].is_null()) a.fail("of a value that is not there");
    a.refuse();
  }

  jinja_value filter(const jinja_expression& e) {
    auto values = values_of(e.parts);
    const std::string what = "the filter '" + e.text + "'";
    if (e.text == "map" && e.names.size() == 1 && e.names[0] == "attribute") {
      const jinja_value key = value_of(e.named[0]);
      jinja_value made = jinja_value::array();
      for (const auto& item : elements(values[0], e.line))
        made.push_back(item.is_object() && key.is_string() && item.contains(key.get<std::string>())
                           ? item.at(key.get<std::string>())
                           : jinja_undefined());
      return made;
    }
    if (e.text == "tojson" && e.names.size() == 1 && e.names[0] == "indent") {
      const jinja_value indent = value_of(e.named[0]);
      if (indent.is_number_integer()) return values[0].dump(indent.get<int>());
      if (!indent.is_null()) jinja_fail(e.line, what + " needs an integer as indent");
    } else if (e.text == "default" && e.names.size() == 1 && e.names[0] == "boolean") {
      values.push_back(value_of(e.named[0]));
    } else if (!e.named.empty()) {
      jinja_fail(e.line, what + " has named arguments, which are not supported");
    }
    return jinja_filter(e.text, {what, e.line, values}, e.line);
  }

  jinja_value unary(const jinja_expression& e) {
    const jinja_value v = value_of(e.parts[0]);
    if (e.text == "not") return !jinja_true(v);
    if (v.is_number_float()) return -v.get<double>();
    return -jinja_integer(v, e.line);
  }

  jinja_value binary(const jinja_expression& e) {
    const jinja_value left = value_of(e.parts[0]);
    if (e.text == "and") return jinja_true(left) ? value_of(e.parts[1]) : left;
    if (e.text == "or") return jinja_true(left) ? left : value_of(e.parts[1]);
    const jinja_value right = value_of(e.parts[1]);
    if (e.text == "==") return equal(left, right);
    if (e.text == "!=") return !equal(left, right);
    if (e.text == "~") return joined(jinja_text(left, e.line), jinja_text(right, e.line), e.line);
    if (e.text == "in") return contains(right, left, e.line);
    if (left.is_string() && right.is_string()) {
      const auto& a = left.get_ref<const std::string&>();
      const auto& b = right.get_ref<const std::string&>();
      if (e.text == "+") return joined(a, b, e.line);
      if (const auto result = compare(e.text, a.compare(b), 0)) return *result;
    } else if (left.is_array() && right.is_array() && e.text == "+") {
      if (left.size() + right.size() > longest / 64) jinja_fail(e.line, "a list is too long");
      jinja_value made = left;
      for (const auto& item : right) made.push_back(item);
      return made;
    } else if (is_integer(left) && is_integer(right)) {
      return of_integers(e, jinja_integer(left, e.line), jinja_integer(right, e.line));
    } else if (left.is_number() && right.is_number()) {
      return of_reals(e, left.get<double>(), right.get<double>());
    }
    jinja_fail(e.line, "'" + e.text + "' of a " + name_of(left) + " and a " + name_of(right) +
                           " is not supported");
  }

  static std::string joined(const std::string& a, const std::string& b, std::size_t line) {
    if (a.size() + b.size() > longest) jinja_fail(line, "a text is longer than 64 MB");
    return a + b;
  }

  static bool is_integer(const jinja_value& v) { return v.is_number_integer(); }

  static bool equal(const jinja_value& a, const jinja_value& b) {
    if (a.is_discarded() || b.is_discarded()) return a.is_discarded() && b.is_discarded();
    return a == b;
  }

  static std::string name_of(const jinja_value& v) {
    return v.is_discarded() ? "value that is not defined" : v.type_name();
  }

  static bool contains(const jinja_value& all, const jinja_value& part, std::size_t line) {
    if (all.is_string() && part.is_string())
      return all.get_ref<const std::string&>().find(part.get_ref<const std::string&>()) !=
             std::string::npos;
    if (all.is_object())
      return part.is_string() && all.contains(part.get_ref<const std::string&>());
    if (all.is_array()) {
      for (const auto& item : all)
        if (equal(item, part)) return true;
      return false;
    }
    if (all.is_discarded()) return false;
    jinja_fail(line, "'in' needs a string, a list or a dictionary");
  }

  template <class T>
  static std::optional<bool> compare(const std::string& sign, T a, T b) {
    if (sign == "<") return a < b;
    if (sign == "<=") return a <= b;
    if (sign == ">") return a > b;
    if (sign == ">=") return a >= b;
    return {};
  }

  static jinja_value of_integers(const jinja_expression& e, std::int64_t a, std::int64_t b) {
    if (const auto result = compare(e.text, a, b)) return *result;
    if (e.text == "+") return a + b;
    if (e.text == "-") return a - b;
    if (e.text == "*") return a * b;
    if (b == 0) jinja_fail(e.line, "a number is divided by 0");
    if (e.text == "/") return static_cast<double>(a) / static_cast<double>(b);
    const std::int64_t rest = a % b, moved = rest != 0 && (rest < 0) != (b < 0) ? 1 : 0;
    return e.text == "//" ? a / b - moved : rest + moved * b;  // rounded down, as in Python
  }

  static jinja_value of_reals(const jinja_expression& e, double a, double b) {
    if (const auto result = compare(e.text, a, b)) return *result;
    if (e.text == "+") return a + b;
    if (e.text == "-") return a - b;
    if (e.text == "*") return a * b;
    if (e.text == "/" && b != 0) return a / b;
    jinja_fail(e.line, "'" + e.text + "' of these numbers is not supported");
  }

  static constexpr std::size_t longest = std::size_t{64} << 20;
  std::vector<frame> frames_;  // variables; the last frame is that of the innermost loop
  std::map<std::string, const jinja_statement*> macros_;
  std::size_t depth_ = 0;
};

}  // namespace detail

/// A template. docs/formats.md lists what is supported. An object is immutable.
class jinja_template {
 public:
  /// Parses a template. Throws config_error naming the line and the construct that is not
  /// supported, and format_error where the template is not UTF-8.
  explicit jinja_template(std::string_view source) {
    require_utf8(source);
    statements_ = detail::jinja_parser(detail::jinja_splitter(source).split()).parse();
  }

  /// The text for these variables, each of which is a JSON value. Throws config_error where the
  /// template calls raise_exception or uses a function, filter or test that is not supported.
  [[nodiscard]] std::string render(std::map<std::string, nlohmann::ordered_json> variables) const {
    return detail::jinja_runner(std::move(variables)).run(statements_);
  }

 private:
  std::vector<detail::jinja_statement> statements_;
};

}  // namespace tern::inline TERN_ABI
