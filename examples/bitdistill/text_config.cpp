// Real text: a model of 1.4 million parameters, under an hour of one core from nothing to table.
#include "presets.hpp"

namespace bitdistill {

settings text_settings(const std::string& task) {
  settings s;
  tern::run_config& c = s.run;
  c.task = task;
  c.vocab_size = 4096;
  c.model.hidden_size = 128;
  c.model.intermediate_size = 384;
  c.model.num_hidden_layers = 4;
  c.model.num_attention_heads = 4;
  c.model.num_key_value_heads = 4;
  c.model.head_dim = 32;
  c.model.max_position_embeddings = 256;
  c.model.rope_theta = 10000;
  c.model.initializer_range = 0.05;

  c.base = {.steps = 3200, .sequences = 32, .length = 128, .learning_rate = 3e-3};
  c.continual = {.steps = 800, .sequences = 32, .length = 128, .learning_rate = 2e-3};
  c.teacher = {.steps = 2100, .sequences = 64, .learning_rate = 1e-3};
  c.naive = c.student = c.teacher;

  c.objective.lambda = 10;
  c.objective.gamma = 30;
  c.objective.logits = {.tau = 5, .tau_squared = true};
  c.objective.relation.split_heads = 4;
  c.log_every = 20;
  c.save_every = 200;
  s.data.prompt_tokens = 64;
  if (task == "mnli" || task == "qnli") {
    c.teacher.steps = 1000;
    c.teacher.sequences = 32;
    c.naive = c.student = c.teacher;
    s.data.prompt_tokens = 96;
  }
  return s;
}

}  // namespace bitdistill
