// Figures about the endpoint, in the text format of Prometheus.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace bitdistill::serving {

/// Counters that any thread may change.
struct metrics {
  std::atomic<std::uint64_t> prompt_tokens{0};      ///< tokens of prompts that were accepted
  std::atomic<std::uint64_t> generated_tokens{0};   ///< tokens that were chosen
  std::atomic<std::uint64_t> abandoned{0};          ///< requests whose client went away
  std::atomic<std::uint64_t> steps{0};              ///< passes of the session
  std::atomic<std::uint64_t> step_microseconds{0};  ///< time that they took
  std::atomic<std::size_t> running{0};              ///< requests that have a place in the session
  std::atomic<std::size_t> waiting{0};              ///< requests that wait for a place

  /// Counts a response. `endpoint` is one of a fixed list of names.
  void count(const std::string& endpoint, int status);

  /// The text that GET /metrics returns. `slots`: number of places in the session.
  [[nodiscard]] std::string text(std::size_t slots) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, std::uint64_t> responses_;
};

}  // namespace bitdistill::serving
