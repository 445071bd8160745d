// The header of a run: the command, the model and the stages.
#include <fmt/core.h>

#include <string>

#include "console.hpp"
#include "format.hpp"
#include "parameter_table.hpp"
#include "tern/isa/level.hpp"

namespace bitdistill {
namespace {

/// The loss terms of a stage with their weights, such as "cross_entropy 1, logits 10".
std::string losses_text(const tern::stage& s) {
  std::string text;
  s.losses.for_each([&](const auto& o) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", o.name, o.weight);
  });
  return text + (s.losses.balance ? " (balanced)" : "");
}

}  // namespace

void print_header(const settings& s, std::size_t threads) {
  const tern::recipe& r = s.recipe;
  fmt::print("bitdistill {}.{}.{} | {} | task {} | seed {} | threads {} | kernels {}\n",
             TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH, s.command,
             r.data.task.empty() ? "none" : r.data.task, r.stages.front().seed, threads,
             tern::isa::name(tern::isa::active()));
  print_parameter_table(r.model);
  fmt::print("  {:<16} {:>6} {:>10} {:>7}  {}\n", "stage", "steps", "sequences", "lr", "losses");
  for (const tern::stage& each : r.stages)
    fmt::print("  {:<16} {:>6} {:>10} {:>7}  {}\n", each.name, each.steps,
               fmt::format("{}x{}", each.accumulate, each.sequences),
               scientific(each.learning_rate), losses_text(each));
  std::fflush(stdout);
}

}  // namespace bitdistill
