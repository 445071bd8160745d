// Regular expressions in the syntax of tokenizer files (Oniguruma's), matched with PCRE2.
#pragma once

#ifndef PCRE2_CODE_UNIT_WIDTH
#  define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

// For PCRE2, \s matches U+180E as in Perl; for the regex engines of tokenizers it does not. Their
// \s is the Unicode property White_Space.
inline std::string spell_out_white_space(std::string_view pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view pair = pattern.substr(i, 2);
    if (pair == "\\s")
      out += "\\p{White_Space}";
    else if (pair == "\\S")
      out += "\\P{White_Space}";
    else
      out += pair[0] == '\\' ? pair : pair.substr(0, 1);
    if (pair[0] == '\\') ++i;
  }
  return out;
}

inline std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR8, 256> text{};
  pcre2_get_error_message_8(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace detail

/// Returns a pattern that matches `literal` and nothing else.
inline std::string escape_regex(std::string_view literal) {
  std::string out;
  for (const char c : literal) {
    if (std::string_view("\\.+*?()|[]{}^$#&-~").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

/// A compiled pattern. It is immutable and shared by copies, so any number of threads may match at
/// a time.
class regex {
 public:
  /// Throws config_error if PCRE2 rejects the pattern.
  explicit regex(std::string_view pattern) {
    const std::string spelled = detail::spell_out_white_space(pattern);
    int code = 0;
    std::size_t offset = 0;
    code_.reset(pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(spelled.data()), spelled.size(),
                                PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr),
                pcre2_code_free_8);
    if (!code_)
      throw config_error("pattern \"" + std::string(pattern) +
                         "\": " + detail::pcre2_message(code));
    // If this fails, the pattern is interpreted.
    pcre2_jit_compile_8(code_.get(), PCRE2_JIT_COMPLETE);
  }

  /// Calls `part(std::string_view, bool matched)` for all non-empty matches and for the text
  /// between them, in order. Together the parts are `text`, which must be well-formed UTF-8. Throws
  /// config_error if matching exceeds PCRE2's limits, which only happens for patterns that
  /// backtrack without bound.
  template <class F>
  void split(std::string_view text, F&& part) const {
    const std::unique_ptr<pcre2_match_data_8, void (*)(pcre2_match_data_8*)> match(
        pcre2_match_data_create_8(1, nullptr), pcre2_match_data_free_8);
    const std::size_t* range = pcre2_get_ovector_pointer_8(match.get());
    std::size_t done = 0;
    while (done < text.size() && find(text, done, match.get())) {
      if (range[0] > done) part(text.substr(done, range[0] - done), false);
      part(text.substr(range[0], range[1] - range[0]), true);
      done = range[1];
    }
    if (done < text.size()) part(text.substr(done), false);
  }

 private:
  bool find(std::string_view text, std::size_t from, pcre2_match_data_8* match) const {
    const auto match_with = [&](std::uint32_t options) {
      return pcre2_match_8(code_.get(), reinterpret_cast<PCRE2_SPTR8>(text.data()), text.size(),
                           from, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, match, nullptr);
    };
    int code = match_with(0);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) code = match_with(PCRE2_NO_JIT);
    if (code == PCRE2_ERROR_NOMATCH) return false;
    if (code < 0) throw config_error("pattern: " + detail::pcre2_message(code));
    return true;
  }

  std::shared_ptr<pcre2_code_8> code_;
};

}  // namespace tern::inline TERN_ABI
