// Refuses settings that contradict one another before anything is written.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "settings.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/recipe/choose_layers.hpp"

namespace bitdistill {
namespace {

using tern::config_error;
using tern::stage;

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

/// Refuses models that cannot be trained, since packed weights have no masters.
void require_trainable(const std::string& model) {
  require(has_masters(model),
          "'" + model + "' is deployed, so its weights are packed: train from stages/ instead");
}

void require_data(const settings& s) {
  const tern::data_source& d = s.recipe.data;
  const bool embedded = d.task == "microworld";
  for (const auto& [key, examples] :
       {std::pair{"train", d.train_examples}, std::pair{"dev", d.dev_examples},
        std::pair{"test", d.test_examples}})
    require(!embedded || examples > 0,
            "data." + std::string(key) +
                "_examples must be positive, since 0 means all examples, and a task whose examples "
                "are generated has no end");
  require(d.answer_tokens > 0, "data.answer_tokens must be positive");
  if (embedded) return;
  if (learns_from(s.recipe, tern::stage_data::task) || has_rows(s.recipe)) {
    require(!d.task.empty(), s.command + " needs --task");
    require(!d.directory.empty(), "task " + d.task + " needs --data");
  }
  if (learns_from(s.recipe, tern::stage_data::corpus))
    require(!d.corpus.empty(), s.command + " needs --corpus");
  require(!s.model.empty() || !d.corpus.empty() || !d.tokenizer.empty(),
          s.command + " needs --corpus or --tokenizer: a new model has no tokenizer of its own");
}

/// The architecture of `origin`: "new", the path of a model, or the name of a stage.
tern::model_config config_of(const settings& s, const std::string& origin) {
  if (origin == "new") return s.recipe.model;
  if (tern::is_model_path(origin)) return tern::load_config(origin);
  for (const stage& each : s.recipe.stages) {
    if (each.name == origin) return edited(config_of(s, each.from), each.edits);
  }
  throw config_error("settings: there is no stage '" + origin + "'");
}

/// Refuses what a stage cannot start from or do with it. A model that is ternary already can be
/// trained further, but its norms cannot be inserted twice.
void require_start(const settings& s, const stage& each) {
  if (tern::is_model_path(each.from)) require_trainable(each.from);
  require(each.edits.sub_ln == tern::norm_placement::none ||
              config_of(s, each.from).sub_ln == tern::norm_placement::none,
          "stage " + each.name + " inserts SubLN, which '" + each.from + "' has already: --set " +
              each.name + ".edits.sub_ln=none leaves it out");
  const auto config = edited(config_of(s, each.from), each.edits);
  require(
      each.quantization_warmup == 0 ||
          (config.ternary && config.learned_scales == tern::scale_granularity::none),
      "stage " + each.name + ": quantization_warmup needs a ternary model without learned scales");
}

void require_widths(const tern::model_config& m, std::size_t groups, const char* whose) {
  require(groups > 0, "relations.split_heads must be positive");
  require(m.q_width() % groups == 0 && m.kv_width() % groups == 0,
          "relations.split_heads " + std::to_string(groups) + " does not divide the " + whose +
              "'s widths of Q (" + std::to_string(m.q_width()) + ") and K, V (" +
              std::to_string(m.kv_width()) + ")");
}

void require_distillation(const settings& s, const stage& each) {
  if (each.teacher.empty()) return;
  const auto student = config_of(s, each.from), teacher = config_of(s, each.teacher);
  const tern::layer_counts layers{student.num_hidden_layers, teacher.num_hidden_layers};
  const std::vector<std::size_t> any_layer(tern::open_terms(each.losses));
  static_cast<void>(tern::make_objective<float>(tern::with_layers(each.losses, any_layer), layers));
  if (each.losses.of<tern::hidden_state_term_options>())
    require(student.hidden_size == teacher.hidden_size,
            "hidden_states: student and teacher have hidden sizes of " +
                std::to_string(student.hidden_size) + " and " +
                std::to_string(teacher.hidden_size));
  const auto require_tau = [](const auto& term) {
    if (term) require(term->form.tau > 0, std::string(term->name) + ".tau must be positive");
  };
  require_tau(each.losses.of<tern::logits_term_options>());
  require_tau(each.losses.of<tern::reverse_logits_term_options>());
  if (const auto& relations = each.losses.of<tern::relation_term_options>()) {
    require(relations->form.temperature > 0, "relations.temperature must be positive");
    require(relations->form.n_layers > 0, "relations.n_layers must be positive");
    require(relations->form.clamp >= 0, "relations.clamp must not be negative");
    require_widths(student, relations->form.split_heads, "student");
    require_widths(teacher, relations->form.split_heads, "teacher");
  }
}

void require_lengths(const settings& s, const stage& each) {
  const std::size_t most = s.recipe.model.max_position_embeddings;
  const std::string at = "stage " + each.name + ": ";
  if (each.data == tern::stage_data::corpus)
    require(each.length <= most, at + "length " + std::to_string(each.length) +
                                     " exceeds max_position_embeddings " + std::to_string(most));
  else
    require(s.recipe.data.prompt_tokens >= 2 && s.recipe.data.prompt_tokens <= most,
            at + "data.prompt_tokens must lie between 2 and max_position_embeddings " +
                std::to_string(most));
}

}  // namespace

void require_consistent(const settings& s) {
  validate(s.recipe);
  require_data(s);
  tern::model_config model = s.recipe.model;
  if (model.vocab_size == 0) model.vocab_size = s.recipe.data.vocab_size;
  model.validate();
  require(s.recipe.data.vocab_size >= 257 || s.recipe.data.task == "microworld" ||
              !s.model.empty() || !s.recipe.data.tokenizer.empty(),
          "data.vocab_size must be at least 257, got " + std::to_string(s.recipe.data.vocab_size));
  for (const stage& each : s.recipe.stages) {
    require_start(s, each);
    require_lengths(s, each);
    require_distillation(s, each);
  }
}

}  // namespace bitdistill
