// Real text: a model of about 7 million parameters, an hour of a small CPU from nothing to table.
#include "presets.hpp"

namespace bitdistill {

settings text_settings(const std::string& task) {
  settings s;
  tern::run_config& c = s.run;
  c.task = task;
  c.vocab_size = 8192;
  c.model.hidden_size = 256;
  c.model.intermediate_size = 768;
  c.model.num_hidden_layers = 6;
  c.model.num_attention_heads = 4;
  c.model.num_key_value_heads = 4;
  c.model.head_dim = 64;
  c.model.max_position_embeddings = 512;
  c.model.rope_theta = 10000;

  c.base = {.steps = 3000, .sequences = 16, .length = 128, .learning_rate = 1e-3};
  c.continual = {.steps = 800, .sequences = 16, .length = 128, .learning_rate = 5e-4};
  c.teacher = {.steps = 1000, .sequences = 64, .learning_rate = 2e-4};
  c.naive = c.student = c.teacher;

  c.objective.lambda = 1;
  c.objective.gamma = 10;
  c.objective.logits = {.tau = 5, .tau_squared = true};
  c.objective.relation.split_heads = 8;
  c.log_every = 20;
  c.save_every = 200;
  if (task == "mnli" || task == "qnli") {
    c.teacher.sequences = c.naive.sequences = c.student.sequences = 32;
    s.data.prompt_tokens = 96;
  } else {
    s.data.prompt_tokens = 64;
  }
  return s;
}

}  // namespace bitdistill
