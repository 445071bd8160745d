// The text of a Jinja template in pieces: plain text, and the tokens of `{{ expression }}` and
// `{% statement %}`. White space around them is treated as Hugging Face transformers treats it,
// with trim_blocks and lstrip_blocks.
#pragma once

#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/utf8.hpp"
#include "tern/text/unicode_class.hpp"

namespace tern::inline TERN_ABI::detail {

/// A token of an expression or statement.
struct jinja_token {
  enum class kind { name, text, integer, real, sign, end };
  kind what = kind::end;
  std::string text;  ///< name, sign, digits, or the content of a string
};

/// A part of a template.
struct jinja_piece {
  enum class kind { text, output, statement };
  kind what = kind::text;
  std::size_t line = 1;             ///< line of the template in which it begins
  std::string text;                 ///< the plain text
  std::vector<jinja_token> tokens;  ///< what stands between the brackets, then one of kind `end`
};

[[noreturn]] inline void jinja_fail(std::size_t line, const std::string& what) {
  throw config_error("chat template, line " + std::to_string(line) + ": " + what);
}

/// Splits a template into its pieces. Throws config_error naming the line.
class jinja_splitter {
 public:
  explicit jinja_splitter(std::string_view source) : source_(with_line_feeds(source)) {
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<jinja_piece> split() {
    while (at_ < source_.size()) {
      const std::size_t open = next_open();
      const std::string_view text = rest(open - at_);
      if (open == source_.size()) {
        add_text(text);
        break;
      }
      const char kind = source_[open + 1];
      const char mark = open + 2 < source_.size() ? source_[open + 2] : ' ';
      add_text(before_tag(text, kind, mark));
      count_lines(text);
      at_ = open + 2 + (mark == '-' || mark == '+' ? 1 : 0);
      read_tag(kind);
    }
    return std::move(pieces_);
  }

 private:
  /// Jinja treats each kind of line break as \n, in strings, too.
  static std::string with_line_feeds(std::string_view source) {
    std::string text;
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') ++i;
      text += source[i] == '\r' ? '\n' : source[i];
    }
    return text;
  }

  /// What is not read yet, at most `size` bytes of it.
  [[nodiscard]] std::string_view rest(std::size_t size = std::string_view::npos) const {
    return std::string_view(source_).substr(at_, size);
  }

  [[nodiscard]] std::size_t next_open() const {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i)
      if (source_[i] == '{' &&
          std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos)
        return i;
    return source_.size();
  }

  /// The text before a tag without the white space that the tag removes.
  std::string_view before_tag(std::string_view text, char kind, char mark) const {
    if (mark == '-') return text.substr(0, text.size() - white_space_at_end(text));
    if (mark == '+' || kind == '{') return text;
    const std::size_t line = text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1;
    const bool begins = line > 0 || line_starting_;
    const bool blank = white_space_at_begin(text.substr(line)) == text.size() - line;
    return begins && blank ? text.substr(0, line) : text;
  }

  void read_tag(char kind) {
    jinja_piece piece;
    piece.line = line_;
    piece.what = kind == '{' ? jinja_piece::kind::output : jinja_piece::kind::statement;
    const std::string_view close = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    char mark = ' ';
    if (kind == '#') {
      const std::size_t end = source_.find(close, at_);
      if (end == source_.npos) jinja_fail(line_, "a comment has no end");
      count_lines(rest(end - at_));
      if (end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+'))
        mark = source_[end - 1];
      at_ = end;
    } else {
      mark = read_tokens(piece.tokens, close);
      piece.tokens.push_back({});
      pieces_.push_back(std::move(piece));
    }
    at_ += 2;
    std::size_t skipped = 0;
    if (mark == '-')
      skipped = white_space_at_begin(rest());
    else if (kind != '{' && mark != '+' && rest().starts_with('\n'))
      skipped = 1;
    count_lines(rest(skipped));
    at_ += skipped;
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  /// Reads tokens up to `close`, which is not passed. Returns the mark before it.
  char read_tokens(std::vector<jinja_token>& tokens, std::string_view close) {
    std::size_t depth = 0;  // of {}, since }} may end two of them
    while (true) {
      while (at_ < source_.size() && std::isspace(byte(at_)) != 0) line_ += source_[at_++] == '\n';
      const std::string_view next = rest();
      if (next.empty()) jinja_fail(line_, "'" + std::string(close) + "' is missing");
      if (depth == 0 && next.starts_with(close)) return ' ';
      if (depth == 0 && (next[0] == '-' || next[0] == '+') && next.substr(1).starts_with(close)) {
        ++at_;
        return next[0];
      }
      if (next[0] == '{') ++depth;
      if (next[0] == '}' && depth > 0) --depth;
      tokens.push_back(read_token(next));
      if (tokens.size() > most_tokens) jinja_fail(line_, "an expression is too long");
    }
  }

  jinja_token read_token(std::string_view next) {
    const auto is_name = [&](std::size_t i) {
      return std::isalnum(byte(i)) != 0 || source_[i] == '_';
    };
    const std::size_t begin = at_;
    if (next[0] == '"' || next[0] == '\'') return {jinja_token::kind::text, read_string()};
    if (std::isdigit(byte(at_)) != 0) {
      const auto digits = [&] {
        while (at_ < source_.size() && std::isdigit(byte(at_)) != 0) ++at_;
      };
      digits();
      if (at_ + 1 < source_.size() && source_[at_] == '.' && std::isdigit(byte(at_ + 1)) != 0) {
        ++at_;
        digits();
        return {jinja_token::kind::real, source_.substr(begin, at_ - begin)};
      }
      return {jinja_token::kind::integer, source_.substr(begin, at_ - begin)};
    }
    if (is_name(at_)) {
      while (at_ < source_.size() && is_name(at_)) ++at_;
      return {jinja_token::kind::name, source_.substr(begin, at_ - begin)};
    }
    for (const std::string_view sign : {"==", "!=", "<=", ">=", "//", "**"})
      if (next.starts_with(sign)) {
        at_ += 2;
        return {jinja_token::kind::sign, std::string(sign)};
      }
    if (std::string_view("+-*/%~<>=()[]{}|.,:").find(next[0]) == std::string_view::npos)
      jinja_fail(line_, "the character '" + std::string(1, next[0]) + "' is not supported");
    ++at_;
    return {jinja_token::kind::sign, std::string(1, next[0])};
  }

  std::string read_string() {
    const char quote = source_[at_++];
    std::string text;
    for (; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] == '\n') ++line_;
      if (source_[at_] != '\\' || at_ + 1 == source_.size()) {
        text += source_[at_];
        continue;
      }
      const char escape = source_[++at_];
      constexpr std::array known{std::pair('n', '\n'),  std::pair('t', '\t'),  std::pair('r', '\r'),
                                 std::pair('\\', '\\'), std::pair('\'', '\''), std::pair('"', '"')};
      bool found = false;
      for (const auto& [name, character] : known)
        if (name == escape) text += character, found = true;
      if (escape == 'u') text += read_code_point(), found = true;
      if (!found) jinja_fail(line_, std::string("the escape '\\") + escape + "' is not supported");
    }
    if (at_ == source_.size()) jinja_fail(line_, "a string has no end");
    ++at_;
    return text;
  }

  std::string read_code_point() {
    std::uint32_t code = 0;
    for (int i = 0; i < 4; ++i) {
      ++at_;
      if (at_ >= source_.size() || std::isxdigit(byte(at_)) == 0)
        jinja_fail(line_, "'\\u' needs four digits");
      const char c = source_[at_];
      code = code * 16 + static_cast<std::uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (code >= 0xD800 && code < 0xE000) jinja_fail(line_, "'\\u' with a half of a character");
    std::string text;
    append_utf8(text, static_cast<char32_t>(code));
    return text;
  }

  void add_text(std::string_view text) {
    if (text.empty()) return;
    pieces_.push_back({jinja_piece::kind::text, line_, std::string(text), {}});
  }

  void count_lines(std::string_view text) {
    for (const char c : text) line_ += c == '\n';
  }

  [[nodiscard]] unsigned char byte(std::size_t i) const {
    return static_cast<unsigned char>(source_[i]);
  }

  static constexpr std::size_t most_tokens = 500;  // evaluation recurses over them
  std::string source_;
  std::size_t at_ = 0, line_ = 1;
  bool line_starting_ = true;
  std::vector<jinja_piece> pieces_;
};

}  // namespace tern::inline TERN_ABI::detail
