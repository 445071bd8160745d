// Settings that contradict one another are refused before anything is written.
#include <filesystem>

#include "settings.hpp"
#include "tern/checkpoint/load_config.hpp"

namespace bitdistill {
namespace {

using tern::config_error;
using tern::stage;
using tern::stage_loss;

void require(bool good, const std::string& what) {
  if (!good) throw config_error("settings: " + what);
}

bool has_masters(const std::filesystem::path& model) {
  if (tern::is_gguf(model)) return !tern::load_config(model).ternary;
  const auto config = model / "config.json";
  const auto json = tern::read_json(config);
  return tern::read_bitnet_weights({json, config.string()})
             .value_or(tern::bitnet_weights::masters) == tern::bitnet_weights::masters;
}

/// Packed weights have no masters to train; `run` does stage 1 itself.
void require_trainable(const settings& s) {
  if (s.data.model.empty()) return;
  require(has_masters(s.data.model),
          "'" + s.data.model + "' is deployed, its weights are packed: train from stages/ instead");
  require(s.command != "run" ||
              (!s.run.model.ternary && s.run.model.sub_ln == tern::norm_placement::none),
          "run starts from a full-precision model without SubLN");
}

void require_paths(const settings& s) {
  const bool fits = s.command == "finetune" || s.command == "distill";
  require(!fits || !s.data.model.empty(), s.command + " needs --model");
  require(s.command != "distill" || !s.data.teacher.empty(), "distill needs --teacher");
  require(s.command != "pretrain" || !s.data.ternary || !s.data.model.empty(),
          "pretrain --ternary needs --model, the base to go on with");
  const bool reads_task = s.command != "pretrain" && s.run.task != "microworld";
  require(!reads_task || !s.data.directory.empty(), "task " + s.run.task + " needs --data");
  const bool reads_text =
      s.command == "pretrain" || (s.command == "run" && s.run.task != "microworld");
  require(!reads_text || s.run.task == "microworld" || !s.data.corpus.empty(),
          s.command + " needs --corpus");
}

void require_stage(const settings& s, const stage& each) {
  const auto& o = each.options;
  const std::string at = "stage " + each.name + ": ";
  require(o.warmup >= 0 && o.warmup <= 1, at + "warmup must lie between 0 and 1");
  require(o.sequences > 0 && o.length > 0, at + "sequences and length must be positive");
  require(o.weight_decay >= 0, at + "weight_decay must not be negative");
  try {
    tern::trainer_options_of(o, s.run.log_every).validate();
  } catch (const config_error& e) {
    throw config_error(at + e.what());
  }
  if (each.loss == stage_loss::language_model)
    require(o.length <= s.run.model.max_position_embeddings,
            at + "length " + std::to_string(o.length) + " exceeds max_position_embeddings " +
                std::to_string(s.run.model.max_position_embeddings));
  else
    require(
        s.data.prompt_tokens >= 2 && s.data.prompt_tokens <= s.run.model.max_position_embeddings,
        at + "data.prompt_tokens must lie between 2 and max_position_embeddings " +
            std::to_string(s.run.model.max_position_embeddings));
}

void require_widths(const tern::model_config& m, std::size_t groups, const char* whose) {
  require(m.q_width() % groups == 0 && m.kv_width() % groups == 0,
          "objective.split_heads " + std::to_string(groups) + " does not divide the " + whose +
              "'s widths of Q (" + std::to_string(m.q_width()) + ") and K, V (" +
              std::to_string(m.kv_width()) + ")");
}

void require_objective(const settings& s) {
  const auto& o = s.run.objective;
  require(o.lambda >= 0 && o.gamma >= 0, "objective.lambda and gamma must not be negative");
  require(o.logits.tau > 0 && o.relation.temperature > 0,
          "objective.tau and temperature must be positive");
  require(o.relation.split_heads > 0, "objective.split_heads must be positive");
  require(s.run.distil_layer < s.run.model.num_hidden_layers,
          "distil_layer " + std::to_string(s.run.distil_layer) + " is not one of the " +
              std::to_string(s.run.model.num_hidden_layers) + " layers, counted from 0");
  require_widths(s.run.model, o.relation.split_heads, "student");
  if (s.data.teacher.empty()) return;
  const auto teacher = tern::load_config(s.data.teacher);
  require_widths(teacher, o.relation.split_heads, "teacher");
  require(teacher.vocab_size == s.run.model.vocab_size,
          "teacher and student have vocabularies of " + std::to_string(teacher.vocab_size) +
              " and " + std::to_string(s.run.model.vocab_size));
}

}  // namespace

void require_consistent(const settings& s) {
  require_paths(s);
  require_trainable(s);
  s.run.model.validate();
  require(s.run.save_every > 0 && s.run.log_every > 0, "save_every and log_every must be positive");
  require(s.run.task != "microworld" || s.run.train_examples > 0,
          "train_examples must be positive where examples are generated");
  require(s.data.model.empty() || s.data.tokenizer.empty(),
          "--model has a tokenizer of its own: leave out --tokenizer");
  require(s.run.base.steps > 0 || !s.data.model.empty(),
          "base.steps must be positive where no --model is given");
  bool distils = false;
  for (const stage& each : stages_of(s)) {
    require_stage(s, each);
    distils |= each.loss == stage_loss::distil;
  }
  if (distils) require_objective(s);
}

}  // namespace bitdistill
