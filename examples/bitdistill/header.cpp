// The header of a run, and the parameter table of a model.
#include <fmt/core.h>

#include "console.hpp"
#include "format.hpp"
#include "parameter_table.hpp"
#include "tern/isa/level.hpp"

namespace bitdistill {
namespace {

const char* loss_name(tern::stage_loss loss) {
  switch (loss) {
    case tern::stage_loss::language_model:
      return "next token";
    case tern::stage_loss::task:
      return "task";
    case tern::stage_loss::distil:
      return "task + distillation";
  }
  return "";
}

void print_objective(const settings& s) {
  const auto& o = s.run.objective;
  fmt::print("  distillation: lambda {} gamma {}{}, tau {}{}, {} split heads, layer {}\n", o.lambda,
             o.gamma, o.balance ? " (balanced)" : "", o.logits.tau,
             o.logits.tau_squared ? " (times tau^2)" : "", o.relation.split_heads,
             s.run.distil_layer);
}

}  // namespace

void print_header(const settings& s, const std::vector<tern::stage>& stages, std::size_t threads) {
  fmt::print("bitdistill {}.{}.{} | {} | task {} | seed {} | threads {} | kernels {}\n",
             TERN_VERSION_MAJOR, TERN_VERSION_MINOR, TERN_VERSION_PATCH, s.command,
             s.run.task.empty() ? "none" : s.run.task, s.run.seed, threads,
             tern::isa::name(tern::isa::active()));
  print_parameter_table(s.run.model);
  fmt::print("  {:<16} {:<20} {:>6} {:>10} {:>7}\n", "stage", "loss", "steps", "sequences", "lr");
  bool distils = false;
  for (const auto& each : stages) {
    const auto& o = each.options;
    fmt::print("  {:<16} {:<20} {:>6} {:>10} {:>7}\n", each.name, loss_name(each.loss), o.steps,
               fmt::format("{}x{}", o.accumulate, o.sequences), scientific(o.learning_rate));
    distils |= each.loss == tern::stage_loss::distil;
  }
  if (distils) print_objective(s);
  std::fflush(stdout);
}

}  // namespace bitdistill
