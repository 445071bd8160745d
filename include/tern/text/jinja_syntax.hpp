// The syntax tree of a Jinja template. A construct that is not supported is refused by name.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI::detail {

/// A value of a template. One that is not defined has the type `discarded`.
using jinja_value = nlohmann::ordered_json;

/// An expression. What its parts mean depends on its kind:
struct jinja_expression {
  enum class kind {
    literal,      ///< `value`
    name,         ///< variable `text`
    list,         ///< elements
    dictionary,   ///< key, value, key, value ...
    member,       ///< object, key
    slice,        ///< object, first, end, step; those that are missing are literals of null
    call,         ///< arguments; function `text`
    method,       ///< object, arguments; method `text`
    filter,       ///< input, arguments; filter `text`
    test,         ///< input, arguments; test `text`
    unary,        ///< operand; operator `text`
    binary,       ///< left, right; operator `text`
    conditional,  ///< condition, value if true, value if false
  };
  kind what = kind::literal;
  std::size_t line = 1;
  std::string text;
  jinja_value value;
  std::vector<jinja_expression> parts;
  std::vector<std::string> names;       ///< names of arguments that have one
  std::vector<jinja_expression> named;  ///< their values
};

/// A statement, with the statements inside it.
struct jinja_statement {
  enum class kind { text, output, branch, loop, assign, capture, macro, leave, next };
  kind what = kind::text;
  std::size_t line = 1;
  std::string text;                           ///< plain text, or the name of a macro
  std::vector<std::string> names;             ///< variables of a loop or an assignment, parameters
  std::vector<jinja_expression> expressions;  ///< conditions, sequence and filter, value, defaults
  std::vector<std::vector<jinja_statement>>
      bodies;  ///< one for each branch; the last may be `else`
};

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
  jinja_expression parse_comparison() {
    auto left = parse_sum();
    while (true) {
      std::string sign;
      for (const char* each : {"==", "!=", "<=", ">=", "<", ">"})
        if (sign.empty() && take_sign(each)) sign = each;
      if (sign.empty() && take_word("in")) sign = "in";
      if (sign.empty() && is_word("not") && piece_.tokens[at_ + 1].text == "in") {
        at_ += 2;
        left = unary("not", binary("in", std::move(left), parse_sum()));
        continue;
      }
      if (sign.empty()) return left;
      left = binary(sign, std::move(left), parse_sum());
    }
  }
  jinja_expression parse_sum() {
    auto left = parse_product();
    while (true) {
      const std::string sign = take_sign("+")   ? "+"
                               : take_sign("-") ? "-"
                               : take_sign("~") ? "~"
                                                : "";
      if (sign.empty()) return left;
      left = binary(sign, std::move(left), parse_product());
    }
  }
  jinja_expression parse_product() {
    auto left = parse_unary();
    while (true) {
      std::string sign;
      for (const char* each : {"*", "//", "/", "%"})
        if (sign.empty() && take_sign(each)) sign = each;
      if (sign.empty()) return left;
      left = binary(sign, std::move(left), parse_unary());
    }
  }
  jinja_expression parse_unary() {
    if (take_sign("-")) return unary("-", parse_unary());
    if (take_sign("+")) return parse_unary();
    return parse_postfix(parse_primary());
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
      } else if (take_sign("|")) {
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
        is_sign("[") ||
        (token().what == jinja_token::kind::name && std::ranges::count(words, token().text) == 0);
    if (take_sign("("))
      parse_arguments(made);
    else if (argument)
      made.parts.push_back(parse_primary());
    return negated ? unary("not", std::move(made)) : made;
  }

  const jinja_piece& piece_;
  std::size_t at_ = 0, depth_ = 0;
};

/// Parses the pieces of a template.
class jinja_parser {
 public:
  explicit jinja_parser(std::vector<jinja_piece> pieces) : pieces_(std::move(pieces)) {}

  std::vector<jinja_statement> parse() {
    auto all = parse_body();
    if (at_ < pieces_.size())
      jinja_fail(pieces_[at_].line, "'" + pieces_[at_].tokens[0].text + "' was not expected");
    return all;
  }

 private:
  using kind = jinja_statement::kind;

  /// The statements up to one that ends or divides a statement, which is not passed.
  std::vector<jinja_statement> parse_body() {
    if (++depth_ > 40) jinja_fail(line(), "statements are nested too deeply");
    std::vector<jinja_statement> all;
    for (; at_ < pieces_.size(); ++at_) {
      const jinja_piece& piece = pieces_[at_];
      jinja_statement made;
      made.line = piece.line;
      if (piece.what == jinja_piece::kind::text) {
        made.text = piece.text;
      } else if (piece.what == jinja_piece::kind::output) {
        jinja_expression_parser p(piece);
        made.what = kind::output;
        made.expressions.push_back(p.parse());
        p.need_end();
      } else {
        const std::string& word = piece.tokens[0].text;
        // These two mark what an assistant wrote, for training.
        if (word == "generation" || word == "endgeneration") continue;
        if (word.starts_with("end") || word == "else" || word == "elif") break;
        parse_statement(made, piece);
      }
      all.push_back(std::move(made));
    }
    --depth_;
    return all;
  }

  void parse_statement(jinja_statement& made, const jinja_piece& piece) {
    jinja_expression_parser p(piece);
    const std::string word = p.need_name();
    if (word == "if")
      parse_if(made, p);
    else if (word == "for")
      parse_for(made, p);
    else if (word == "set")
      parse_set(made, p);
    else if (word == "macro")
      parse_macro(made, p);
    else if (word == "break")
      made.what = kind::leave;
    else if (word == "continue")
      made.what = kind::next;
    else
      jinja_fail(piece.line, "the statement '" + word + "' is not supported");
  }

  [[nodiscard]] std::size_t line() const {
    return at_ < pieces_.size() ? pieces_[at_].line : pieces_.empty() ? 1 : pieces_.back().line;
  }
  /// The first word of the statement at which a body ended.
  std::string word_at_end(std::size_t begin) const {
    if (at_ == pieces_.size()) jinja_fail(begin, "the statement has no end");
    return pieces_[at_].tokens[0].text;
  }
  void need_word(const char* word, std::size_t begin) const {
    if (const auto found = word_at_end(begin); found != word)
      jinja_fail(line(), "expected '" + std::string(word) + "', got '" + found + "'");
  }

  void parse_if(jinja_statement& made, jinja_expression_parser& p) {
    made.what = kind::branch;
    made.expressions.push_back(p.parse());
    p.need_end();
    ++at_;
    made.bodies.push_back(parse_body());
    while (word_at_end(made.line) == "elif") {
      jinja_expression_parser next(pieces_[at_++]);
      next.need_name();
      made.expressions.push_back(next.parse());
      next.need_end();
      made.bodies.push_back(parse_body());
    }
    parse_else(made);
    need_word("endif", made.line);
  }

  void parse_else(jinja_statement& made) {
    if (word_at_end(made.line) != "else") return;
    ++at_;
    made.bodies.push_back(parse_body());
  }

  void parse_for(jinja_statement& made, jinja_expression_parser& p) {
    made.what = kind::loop;
    do made.names.push_back(p.need_name());
    while (p.take_sign(","));
    if (!p.take_word("in")) p.fail("expected 'in'");
    made.expressions.push_back(p.parse(false));
    if (p.take_word("if")) made.expressions.push_back(p.parse());
    p.need_end();  // "recursive" is refused here
    ++at_;
    made.bodies.push_back(parse_body());
    parse_else(made);
    need_word("endfor", made.line);
  }

  void parse_set(jinja_statement& made, jinja_expression_parser& p) {
    made.names.push_back(p.need_name());
    if (p.take_sign(".")) made.names.push_back(p.need_name());
    if (p.take_sign("=")) {
      made.what = kind::assign;
      made.expressions.push_back(p.parse());
      return p.need_end();
    }
    p.need_end();
    made.what = kind::capture;
    ++at_;
    made.bodies.push_back(parse_body());
    need_word("endset", made.line);
  }

  void parse_macro(jinja_statement& made, jinja_expression_parser& p) {
    made.what = kind::macro;
    made.text = p.need_name();
    p.need_sign("(");
    while (!p.take_sign(")")) {
      made.names.push_back(p.need_name());
      jinja_expression value;
      value.value = jinja_value(jinja_value::value_t::discarded);
      made.expressions.push_back(p.take_sign("=") ? p.parse() : std::move(value));
      if (!p.take_sign(",") && !p.is_sign(")")) p.fail("expected ',' or ')'");
    }
    p.need_end();
    ++at_;
    made.bodies.push_back(parse_body());
    need_word("endmacro", made.line);
  }

  std::vector<jinja_piece> pieces_;
  std::size_t at_ = 0, depth_ = 0;
};

}  // namespace tern::inline TERN_ABI::detail
