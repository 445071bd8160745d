// The parser of expressions in Jinja templates. It has the operators' ranks of Jinja, which are not
// quite those of Python.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/text/jinja_expression.hpp"
#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI::detail {

/// Parses the tokens of one piece.
class jinja_expression_parser {
 public:
  explicit jinja_expression_parser(const jinja_piece& piece) : piece_(piece) {}

  [[nodiscard]] bool at_end() const { return token().what == jinja_token::kind::end; }
  [[nodiscard]] std::size_t line() const { return piece_.line; }
  [[nodiscard]] bool is_sign(std::string_view sign) const {
    return token().what == jinja_token::kind::sign && token().text == sign;
  }
  [[nodiscard]] bool is_word(std::string_view word) const {
    return token().what == jinja_token::kind::name && token().text == word;
  }
  bool take_sign(std::string_view sign) { return is_sign(sign) && (++at_, true); }
  bool take_word(std::string_view word) { return is_word(word) && (++at_, true); }
  void need_sign(std::string_view sign) {
    if (!take_sign(sign)) fail("expected '" + std::string(sign) + "', got '" + token().text + "'");
  }
  std::string need_name() {
    if (token().what != jinja_token::kind::name)
      fail("expected a name, got '" + token().text + "'");
    return piece_.tokens[at_++].text;
  }
  void need_end() {
    if (!at_end()) fail("'" + token().text + "' was not expected");
  }
  [[noreturn]] void fail(const std::string& what) const { jinja_fail(piece_.line, what); }

  /// An expression; `whole` is false where an `if` behind it belongs to something else.
  jinja_expression parse(bool whole = true) {
    if (++depth_ > 40) fail("expressions are nested too deeply");
    jinja_expression value = parse_or();
    if (whole && take_word("if")) {
      jinja_expression made = make(kind::conditional);
      made.parts.push_back(parse_or());
      made.parts.push_back(std::move(value));
      made.parts.push_back(take_word("else") ? parse() : undefined());
      value = std::move(made);
    }
    --depth_;
    return value;
  }

 private:
  using kind = jinja_expression::kind;

  [[nodiscard]] const jinja_token& token() const { return piece_.tokens[at_]; }
  [[nodiscard]] jinja_expression make(kind what, std::string text = "") const {
    jinja_expression made;
    made.what = what;
    made.line = piece_.line;
    made.text = std::move(text);
    return made;
  }
  [[nodiscard]] jinja_expression undefined() const {
    jinja_expression made = make(kind::literal);
    made.value = jinja_value(jinja_value::value_t::discarded);
    return made;
  }
  [[nodiscard]] jinja_expression binary(std::string text, jinja_expression left,
                                        jinja_expression right) const {
    jinja_expression made = make(kind::binary, std::move(text));
    made.parts.push_back(std::move(left));
    made.parts.push_back(std::move(right));
    return made;
  }
  [[nodiscard]] jinja_expression unary(std::string text, jinja_expression operand) const {
    jinja_expression made = make(kind::unary, std::move(text));
    made.parts.push_back(std::move(operand));
    return made;
  }

  jinja_expression parse_or() {
    auto left = parse_and();
    while (take_word("or")) left = binary("or", std::move(left), parse_and());
    return left;
  }
  jinja_expression parse_and() {
    auto left = parse_not();
    while (take_word("and")) left = binary("and", std::move(left), parse_not());
    return left;
  }
  jinja_expression parse_not() {
    return take_word("not") ? unary("not", parse_not()) : parse_comparison();
  }
  /// A chain of comparisons holds where each holds: a < b < c means a < b and b < c.
  jinja_expression parse_comparison() {
    auto left = parse_sum();
    std::vector<jinja_expression> all;
    while (true) {
      std::string sign;
      for (const char* each : {"==", "!=", "<=", ">=", "<", ">"})
        if (sign.empty() && take_sign(each)) sign = each;
      if (sign.empty() && take_word("in")) sign = "in";
      const bool negated = sign.empty() && is_word("not") && piece_.tokens[at_ + 1].text == "in";
      if (negated) at_ += 2, sign = "in";
      if (sign.empty()) break;
      auto right = parse_sum();
      auto made = binary(sign, std::move(left), right);
      all.push_back(negated ? unary("not", std::move(made)) : std::move(made));
      left = std::move(right);
    }
    if (all.empty()) return left;
    auto chain = std::move(all[0]);
    for (std::size_t i = 1; i < all.size(); ++i)
      chain = binary("and", std::move(chain), std::move(all[i]));
    return chain;
  }
  jinja_expression parse_sum() {
    return parse_chain({"+", "-"}, [&] { return parse_concatenation(); });
  }
  jinja_expression parse_concatenation() {
    return parse_chain({"~"}, [&] { return parse_product(); });
  }
  jinja_expression parse_product() {
    return parse_chain({"*", "//", "/", "%"}, [&] { return parse_unary(true); });
  }
  /// Operands of `signs`, which are of equal rank, from left to right.
  template <class Operand>
  jinja_expression parse_chain(std::initializer_list<const char*> signs, Operand operand) {
    auto left = operand();
    while (true) {
      std::string sign;
      for (const char* each : signs)
        if (sign.empty() && take_sign(each)) sign = each;
      if (sign.empty()) return left;
      left = binary(sign, std::move(left), operand());
    }
  }
  /// Filters and tests apply to the number with its sign, members to what stands behind the sign.
  jinja_expression parse_unary(bool filters) {
    const bool minus = take_sign("-");
    auto value = minus            ? unary("-", parse_unary(false))
                 : take_sign("+") ? parse_unary(false)
                                  : parse_postfix(parse_primary());
    return filters ? parse_filters(std::move(value)) : value;
  }

  jinja_expression parse_primary() {
    const jinja_token now = token();
    if (now.what == jinja_token::kind::end) fail("an expression is missing");
    ++at_;
    jinja_expression made = make(kind::literal);
    switch (now.what) {
      case jinja_token::kind::text:
        made.value = now.text;
        while (token().what == jinja_token::kind::text)  // adjacent strings are one
          made.value.get_ref<std::string&>() += piece_.tokens[at_++].text;
        return made;
      case jinja_token::kind::integer: {
        std::int64_t number = 0;
        const char* end = now.text.data() + now.text.size();
        if (std::from_chars(now.text.data(), end, number).ec != std::errc())
          fail("the number " + now.text + " is too large");
        made.value = number;
        return made;
      }
      case jinja_token::kind::real:
        made.value = std::stod(now.text);
        return made;
      case jinja_token::kind::name:
        return name(now.text);
      default:
        break;
    }
    if (now.text == "(") return parse_brackets();
    if (now.text == "[") {
      made = make(kind::list);
      parse_list(made.parts, "]");
      return made;
    }
    if (now.text != "{") fail("'" + now.text + "' was not expected");
    made = make(kind::dictionary);
    while (!take_sign("}")) {
      made.parts.push_back(parse());
      need_sign(":");
      made.parts.push_back(parse());
      if (!take_sign(",") && !is_sign("}")) fail("expected ',' or '}'");
    }
    return made;
  }

  jinja_expression name(const std::string& text) const {
    jinja_expression made = make(kind::literal);
    if (text == "true" || text == "True") return made.value = true, made;
    if (text == "false" || text == "False") return made.value = false, made;
    if (text == "none" || text == "None") return made;
    return make(kind::name, text);
  }

  /// An expression in brackets, or a tuple, which is treated as a list.
  jinja_expression parse_brackets() {
    auto first = parse();
    if (!is_sign(",")) return need_sign(")"), first;
    jinja_expression tuple = make(kind::list);
    tuple.parts.push_back(std::move(first));
    need_sign(",");
    parse_list(tuple.parts, ")");
    return tuple;
  }

  void parse_list(std::vector<jinja_expression>& into, std::string_view close) {
    while (!take_sign(close)) {
      into.push_back(parse());
      if (!take_sign(",") && !is_sign(close)) fail("expected ',' or '" + std::string(close) + "'");
    }
  }

  void parse_arguments(jinja_expression& call) {
    while (!take_sign(")")) {
      const bool named = token().what == jinja_token::kind::name &&
                         piece_.tokens[at_ + 1].what == jinja_token::kind::sign &&
                         piece_.tokens[at_ + 1].text == "=";
      if (named) {
        std::string key = need_name();
        need_sign("=");
        call.names.push_back(std::move(key));
        call.named.push_back(parse());
      } else {
        call.parts.push_back(parse());
      }
      if (!take_sign(",") && !is_sign(")")) fail("expected ',' or ')'");
    }
  }

  /// Members, subscripts and calls behind a value.
  jinja_expression parse_postfix(jinja_expression value) {
    while (true) {
      if (take_sign(".")) {
        const std::string key = need_name();
        const bool call = take_sign("(");
        jinja_expression made = make(call ? kind::method : kind::member, key);
        made.parts.push_back(std::move(value));
        if (call) {
          parse_arguments(made);
        } else {
          jinja_expression literal = make(kind::literal);
          literal.value = key;
          made.parts.push_back(std::move(literal));
        }
        value = std::move(made);
      } else if (take_sign("[")) {
        value = parse_subscript(std::move(value));
      } else if (take_sign("(")) {
        if (value.what != kind::name) fail("only functions with a name can be called");
        value = make(kind::call, value.text);
        parse_arguments(value);
      } else {
        return value;
      }
    }
  }

  jinja_expression parse_filters(jinja_expression value) {
    while (true) {
      if (take_sign("|")) {
        jinja_expression made = make(kind::filter, need_name());
        made.parts.push_back(std::move(value));
        if (take_sign("(")) parse_arguments(made);
        value = std::move(made);
      } else if (take_word("is")) {
        value = parse_test(std::move(value));
      } else {
        return value;
      }
    }
  }

  jinja_expression parse_subscript(jinja_expression value) {
    std::vector<jinja_expression> bounds;
    bool slice = false;
    bounds.push_back(is_sign(":") ? make(kind::literal) : parse());
    while (take_sign(":")) {
      slice = true;
      bounds.push_back(is_sign(":") || is_sign("]") ? make(kind::literal) : parse());
    }
    need_sign("]");
    jinja_expression made = make(slice ? kind::slice : kind::member);
    if (bounds.size() > 3) fail("a slice has at most three parts");
    while (slice && bounds.size() < 3) bounds.push_back(make(kind::literal));
    made.parts.push_back(std::move(value));
    for (auto& bound : bounds) made.parts.push_back(std::move(bound));
    return made;
  }

  jinja_expression parse_test(jinja_expression value) {
    const bool negated = take_word("not");
    jinja_expression made = make(kind::test, need_name());
    made.parts.push_back(std::move(value));
    constexpr std::array<std::string_view, 7> words{"and", "or", "else", "if", "not", "is", "in"};
    const bool argument =
        token().what == jinja_token::kind::text || token().what == jinja_token::kind::integer ||
        token().what == jinja_token::kind::real || is_sign("[") || is_sign("{") ||
        (token().what == jinja_token::kind::name && std::ranges::count(words, token().text) == 0);
    if (take_sign("("))
      parse_arguments(made);
    else if (argument)
      made.parts.push_back(parse_postfix(parse_primary()));
    return negated ? unary("not", std::move(made)) : made;
  }

  const jinja_piece& piece_;
  std::size_t at_ = 0, depth_ = 0;
};

}  // namespace tern::inline TERN_ABI::detail
