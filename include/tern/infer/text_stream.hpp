// Text that arrives token by token. It is passed on in whole characters, and text that may be the
// beginning of a stop string is held back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

class text_stream {
 public:
  /// Empty stop strings are ignored.
  explicit text_stream(std::vector<std::string> stop_strings = {})
      : stops_(std::move(stop_strings)) {
    std::erase(stops_, "");
  }

  /// Takes the bytes of a token and returns the text that may be shown, valid until the next call.
  /// A complete stop string and everything after it are dropped.
  std::string_view push(std::string_view bytes) {
    held_.erase(0, shown_);
    shown_ = 0;
    if (stopped_) return {};
    held_.append(bytes);
    std::size_t end = std::string::npos;
    for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
    stopped_ = end != std::string::npos;
    if (stopped_) {
      held_.resize(end);
    } else {
      end = held_.size();
      for (const std::string& stop : stops_) end = std::min(end, held_.size() - overlap(stop));
      end = whole_characters(end);
    }
    shown_ = end;
    return std::string_view(held_).substr(0, end);
  }

  /// Returns the text that is still held back, after the last token.
  std::string_view finish() {
    held_.erase(0, shown_);
    shown_ = held_.size();
    return held_;
  }

  /// Whether the text contained a stop string.
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  /// Length of the longest end of the text that is a beginning of the stop string.
  [[nodiscard]] std::size_t overlap(std::string_view stop) const {
    std::size_t n = std::min(stop.size() - 1, held_.size());
    while (n != 0 && !std::string_view(held_).ends_with(stop.substr(0, n))) --n;
    return n;
  }

  /// The largest number of bytes, at most `end`, that does not end inside a UTF-8 character.
  [[nodiscard]] std::size_t whole_characters(std::size_t end) const {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(held_[i]); };
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, end); ++back) {
      const unsigned char lead = byte(end - back);
      if (lead < 0x80) return end;  // a complete character
      if (lead < 0xC0) continue;    // inside a character
      const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
      return length > back ? end - back : end;
    }
    return end;  // not UTF-8, so there is nothing to wait for
  }

  std::vector<std::string> stops_;
  std::string held_;
  std::size_t shown_ = 0;
  bool stopped_ = false;
};

}  // namespace tern::inline TERN_ABI
