// A progress bar on a terminal.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <string>

namespace bitdistill {

/// A progress bar. It is drawn at most ten times a second, and never where the stream is no
/// terminal or TERM is "dumb".
class progress_bar {
 public:
  explicit progress_bar(std::FILE* stream);

  /// Whether the stream is a terminal that can show a bar.
  [[nodiscard]] bool possible() const { return possible_; }
  /// Shows that `done` of `all` parts are done. The text that more() returns follows the bar.
  void show(const std::string& what, std::size_t done, std::size_t all,
            const std::function<std::string()>& more = {});
  /// Removes the bar, so that a line can be written.
  void clear();

 private:
  using clock = std::chrono::steady_clock;

  std::FILE* stream_;
  bool possible_, drawn_ = false;
  clock::time_point last_ = clock::now();
};

}  // namespace bitdistill
