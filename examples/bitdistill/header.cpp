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

void print_header(const settings& s, std::size_t threads, std::size_t ranks) {
  const tern::recipe& r = s.recipe;
  fmt::print("bitdistill {}.{}.{} | {} | task {} | seed {} | {}threads {} | kernels {}\n",
             TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH, s.command,
             r.data.task.empty() ? "none" : r.data.task, r.stages.front().seed,
             ranks == 1 ? "" : fmt::format("ranks {} | ", ranks), threads,
             tern::isa::name(tern::isa::active()));
  print_parameter_table(r.model);
  fmt::print("  {:<16} {:>6} {:>10} {:>7}  {}\n", "stage", "steps", "sequences", "lr", "losses");
  for (const tern::stage& each : r.stages)
    fmt::print("  {:<16} {:>6} {:>10} {:>7}  {}\n", each.name, each.steps,
               fmt::format("{}x{}", micro_batches_of_step(each), sequences_of_micro_batch(each)),
               scientific(each.learning_rate), losses_text(each));
  std::string idle;
  for (const tern::stage& each : r.stages)
    if (each.steps > 0 && each.parts < ranks)
      idle += fmt::format("{}{} ({})", idle.empty() ? "" : ", ", each.name, each.parts);
  if (!idle.empty())
    fmt::print(
        "  note: stages whose steps have fewer parts than there are ranks leave ranks idle: "
        "{}; set stages.parts={}\n",
        idle, ranks);
  std::fflush(stdout);
}

}  // namespace bitdistill
