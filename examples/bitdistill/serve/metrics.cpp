#include "serve/metrics.hpp"

#include <fmt/core.h>

#include <string_view>

#include "system.hpp"

namespace bitdistill::serving {

void metrics::count(const std::string& endpoint, int status) {
  const std::lock_guard lock(mutex_);
  ++responses_[{endpoint, status}];
}

std::string metrics::text(std::size_t slots) const {
  std::string text;
  const auto head = [&](std::string_view name, std::string_view type, std::string_view help) {
    text += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  };
  const auto one = [&](std::string_view name, std::string_view type, std::string_view help,
                       auto value) {
    head(name, type, help);
    text += fmt::format("{} {}\n", name, value);
  };
  head("bitdistill_responses_total", "counter", "Responses by endpoint and status code.");
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, n] : responses_)
      text += fmt::format("bitdistill_responses_total{{endpoint=\"{}\",status=\"{}\"}} {}\n",
                          key.first, key.second, n);
  }
  one("bitdistill_prompt_tokens_total", "counter", "Tokens of accepted prompts.",
      prompt_tokens.load());
  one("bitdistill_generated_tokens_total", "counter",
      "Tokens that were chosen, those that end an answer included.", generated_tokens.load());
  one("bitdistill_abandoned_total", "counter", "Requests whose client went away.",
      abandoned.load());
  one("bitdistill_steps_total", "counter", "Steps of the session.", steps.load());
  one("bitdistill_step_seconds_total", "counter", "Time of these steps.",
      static_cast<double>(step_microseconds.load()) / 1e6);
  one("bitdistill_slots", "gauge", "Requests that can run at once.", slots);
  one("bitdistill_requests_running", "gauge", "Requests that run.", running.load());
  one("bitdistill_requests_waiting", "gauge", "Requests that wait for a slot.", waiting.load());
  one("process_resident_memory_bytes", "gauge", "Memory of the process, mapped files included.",
      resident_megabytes() * 1e6);
  return text;
}

}  // namespace bitdistill::serving
