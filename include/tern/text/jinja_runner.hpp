// The evaluation of a Jinja template.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/text/jinja_arguments.hpp"
#include "tern/text/jinja_expression.hpp"
#include "tern/text/jinja_filters.hpp"
#include "tern/text/jinja_operators.hpp"
#include "tern/text/jinja_strings.hpp"
#include "tern/text/jinja_tokens.hpp"
#include "tern/text/jinja_value.hpp"

namespace tern::inline TERN_ABI::detail {

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
          if (const auto result = run(s.bodies[0], text); result != outcome::done) return result;
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
      if (out.size() > jinja_longest) jinja_fail(s.line, "the text is longer than 64 MB");
    }
    return outcome::done;
  }

  outcome run_branch(const jinja_statement& s, std::string& out) {
    std::size_t i = 0;
    while (i < s.expressions.size() && !jinja_true(value_of(s.expressions[i]))) ++i;
    return i < s.bodies.size() ? run(s.bodies[i], out) : outcome::done;
  }

  void run_loop(const jinja_statement& s, std::string& out) {
    jinja_value items = jinja_elements(value_of(s.expressions[0]), s.line);
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
      frames_.back()["loop"] = {{"index", i + 1},         {"index0", i}, {"first", i == 0},
                                {"last", i + 1 == n},     {"length", n}, {"revindex", n - i},
                                {"revindex0", n - i - 1}, {"depth", 1},  {"depth0", 0}};
      jinja_value& loop = frames_.back()["loop"];
      if (i > 0) loop["previtem"] = items[i - 1];
      if (i + 1 < n) loop["nextitem"] = items[i + 1];
      const outcome result = run(s.bodies[0], out);
      frames_.pop_back();
      if (result == outcome::leave) break;
    }
    if (n == 0 && s.bodies.size() > 1) run(s.bodies[1], out);
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
        if (const jinja_value* found = find(e.text)) return *found;
        if (is_function(e.text) || std::ranges::count(hidden, e.text) != 0)
          jinja_fail(e.line, "'" + e.text + "' as a value is not supported");
        return jinja_undefined();
      }
      case kind::list: {
        jinja_value list = jinja_value::array();
        for (auto& value : values_of(e.parts)) list.push_back(std::move(value));
        return jinja_flat(list, e.line);
      }
      case kind::dictionary: {
        jinja_value made = jinja_value::object();
        for (std::size_t i = 0; i < e.parts.size(); i += 2)
          made[text_of(e.parts[i])] = value_of(e.parts[i + 1]);
        return jinja_flat(made, e.line);
      }
      case kind::member:
        return jinja_member(value_of(e.parts[0]), value_of(e.parts[1]), e);
      case kind::slice:
        return jinja_slice(values_of(e.parts), e.line);
      case kind::call:
        return call(e);
      case kind::method:
        return method(e);
      case kind::filter:
        return filter(e);
      case kind::test: {
        if (!e.named.empty()) jinja_fail(e.line, "named arguments of a test are not supported");
        const bool defined = e.text == "defined";
        if ((defined || e.text == "undefined") && e.parts[0].what == kind::name &&
            is_function(e.parts[0].text))
          return defined;
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

  [[nodiscard]] bool is_function(const std::string& name) const {
    return macros_.contains(name) || std::ranges::count(functions, name) != 0;
  }

  std::string text_of(const jinja_expression& key) {
    const jinja_value text = value_of(key);
    if (!text.is_string()) jinja_fail(key.line, "the keys of a dictionary must be strings");
    return text.get<std::string>();
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
    for (std::size_t i = 0; i < values.size(); ++i) own[macro.names[i]] = values[i];
    for (std::size_t i = 0; i < e.named.size(); ++i) {
      if (std::ranges::count(macro.names, e.names[i]) == 0)
        jinja_fail(e.line, "the macro '" + e.text + "' has no parameter '" + e.names[i] + "'");
      own[e.names[i]] = value_of(e.named[i]);
    }
    std::vector<frame> outer(std::make_move_iterator(frames_.begin() + 1),
                             std::make_move_iterator(frames_.end()));
    frames_.resize(1);
    frames_.push_back(std::move(own));
    for (std::size_t i = 0; i < macro.names.size(); ++i)  // a default may use earlier parameters
      if (!frames_.back().contains(macro.names[i]))
        frames_.back()[macro.names[i]] = value_of(macro.expressions[i]);
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
      for (const auto& item : jinja_elements(values[0], e.line))
        made.push_back(item.is_object() && key.is_string() && item.contains(key.get<std::string>())
                           ? item.at(key.get<std::string>())
                           : jinja_undefined());
      return made;
    }
    if (e.text == "tojson" && e.names.size() == 1 && e.names[0] == "indent") {
      const jinja_value indent = value_of(e.named[0]);
      if (indent.is_number_integer())
        return jinja_json(values[0], e.line, static_cast<int>(jinja_integer(indent, e.line)));
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
    return jinja_binary(e, left, value_of(e.parts[1]));
  }

  static constexpr std::array<std::string_view, 8> functions{
      "cycler",          "dict",  "joiner",      "lipsum", "namespace",
      "raise_exception", "range", "strftime_now"};
  static constexpr std::array<std::string_view, 4> hidden{"caller", "kwargs", "self", "varargs"};
  std::vector<frame> frames_;  // variables; the last frame is that of the innermost loop
  std::map<std::string, const jinja_statement*> macros_;
  std::size_t depth_ = 0;
};

}  // namespace tern::inline TERN_ABI::detail
