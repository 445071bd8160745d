// The normalizer of a tokenizer: changes to a text before tokens are looked for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tern/text/nfc.hpp"

namespace tern::inline TERN_ABI {

/// Step that applies Unicode normalization form C.
struct nfc_form {
  bool operator==(const nfc_form&) const = default;
};

/// Step that replaces all occurrences of a string, from the left.
struct replace_all {
  std::string from;  ///< string that is replaced, not empty
  std::string to;    ///< its replacement
  bool operator==(const replace_all&) const = default;
};

/// Step that puts a string before the text unless the text is empty.
struct prepend {
  std::string text;  ///< string that is put before the text
  bool operator==(const prepend&) const = default;
};

/// One step. Steps are applied one after another.
using normalizer_step = std::variant<nfc_form, replace_all, prepend>;

/// Appends `text` with the replacements of `step` to `out`.
inline void append_replaced(std::string& out, std::string_view text, const replace_all& step) {
  std::size_t done = 0;
  for (std::size_t at = 0; (at = text.find(step.from, done)) != text.npos;
       done = at + step.from.size()) {
    out.append(text, done, at - done);
    out += step.to;
  }
  out.append(text, done);
}

/// Applies the steps to well-formed UTF-8, in order. The result is a view of `text` itself if
/// nothing changes, else of `buffer`, which is overwritten.
inline std::string_view normalize(const std::vector<normalizer_step>& steps, std::string_view text,
                                  std::string& buffer) {
  std::string made;
  for (const normalizer_step& step : steps) {
    std::string_view result = text;
    if (std::holds_alternative<nfc_form>(step)) {
      result = nfc(text, made);
    } else if (const auto* replace = std::get_if<replace_all>(&step)) {
      if (text.find(replace->from) == text.npos) continue;
      made.clear();
      append_replaced(made, text, *replace);
      result = made;
    } else if (!text.empty()) {
      made = std::get<prepend>(step).text;
      made += text;
      result = made;
    }
    if (result.data() != made.data()) continue;
    buffer.swap(made);
    text = buffer;
  }
  return text;
}

}  // namespace tern::inline TERN_ABI
