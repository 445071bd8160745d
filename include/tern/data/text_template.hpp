// Text with the names of columns in braces, such as "{sentence1} So {sentence2}?".
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// A template whose places are filled from the columns of a row. "{{" and "}}" stand for single
/// braces.
class text_template {
 public:
  /// Throws config_error where a brace has no partner or a name is empty.
  explicit text_template(std::string_view text) : literals_(1) {
    const auto fail = [&](const std::string& expected) {
      throw config_error("template '" + std::string(text) + "': expected " + expected +
                         "; a literal brace is written twice");
    };
    for (std::size_t at = 0; at < text.size(); ++at) {
      const char c = text[at];
      if (c != '{' && c != '}') {
        literals_.back() += c;
      } else if (text.substr(at + 1, 1) == text.substr(at, 1)) {
        literals_.back() += text[at++];
      } else if (c == '}') {
        fail("'{' before '}'");
      } else {
        const std::size_t end = text.find_first_of("{}", at + 1);
        if (end == text.npos || text[end] == '{') fail("'}' after '{'");
        if (end == at + 1) fail("the name of a column between '{' and '}'");
        add_place(text.substr(at + 1, end - at - 1));
        at = end;
      }
    }
  }

  /// The columns that the template mentions, each once, in the order of their first places.
  [[nodiscard]] const std::vector<std::string>& columns() const { return columns_; }

  /// The text after the last place; the whole text where there is no place.
  [[nodiscard]] const std::string& tail() const { return literals_.back(); }

  /// The text with value_of(i) in each place of columns()[i]. value_of returns a std::string or a
  /// std::string_view; spaces at both ends of it are left out.
  template <class F>
  [[nodiscard]] std::string fill(F&& value_of) const {
    std::string text = literals_[0];
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const auto& value = value_of(places_[i]);
      text += trimmed(value);
      text += literals_[i + 1];
    }
    return text;
  }

 private:
  static std::string_view trimmed(std::string_view s) {
    const std::size_t first = s.find_first_not_of(' ');
    return first == s.npos ? s.substr(0, 0) : s.substr(first, s.find_last_not_of(' ') + 1 - first);
  }

  void add_place(std::string_view column) {
    const auto known = std::ranges::find(columns_, column);
    places_.push_back(static_cast<std::size_t>(known - columns_.begin()));
    if (known == columns_.end()) columns_.emplace_back(column);
    literals_.emplace_back();
  }

  std::vector<std::string> literals_;  // one before each place, one at the end
  std::vector<std::size_t> places_;    // indices into columns_
  std::vector<std::string> columns_;
};

}  // namespace tern::inline TERN_ABI
