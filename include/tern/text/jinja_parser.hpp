// The parser of Jinja templates. A statement that is not supported is refused by name.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "tern/text/jinja_expression.hpp"
#include "tern/text/jinja_expression_parser.hpp"
#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI::detail {

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
        if (word == "generation" || word == "endgeneration") {
          need_end_behind_word();
          continue;
        }
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
    else if (word == "break" || word == "continue")
      parse_jump(made, p, word);
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
    need_end_behind_word();
  }
  /// Checks that the statement is a single word.
  void need_end_behind_word() const {
    jinja_expression_parser p(pieces_[at_]);
    p.need_name();
    p.need_end();
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
    need_end_behind_word();
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
    ++loops_;
    made.bodies.push_back(parse_body());
    --loops_;
    parse_else(made);
    need_word("endfor", made.line);
  }

  void parse_jump(jinja_statement& made, jinja_expression_parser& p, const std::string& word) {
    made.what = word == "break" ? kind::leave : kind::next;
    p.need_end();
    if (loops_ == 0) p.fail("'" + word + "' outside a loop");
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
    // Jinja's macro sees the variables of the loop around it.
    if (loops_ > 0) p.fail("a macro inside a loop is not supported");
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
  std::size_t at_ = 0, depth_ = 0, loops_ = 0;
};

}  // namespace tern::inline TERN_ABI::detail
