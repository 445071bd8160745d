// The demo: knowledge in the corpus, few task examples, a model that a CPU trains in minutes.
#include "presets.hpp"

namespace bitdistill {

settings demo_settings(bool quick) {
  settings s;
  tern::run_config& c = s.run;
  c.task = "microworld";
  c.model.hidden_size = 64;
  c.model.intermediate_size = 192;
  c.model.num_hidden_layers = 3;
  c.model.num_attention_heads = 4;
  c.model.num_key_value_heads = 4;
  c.model.head_dim = 16;
  c.model.max_position_embeddings = 128;
  c.model.rope_theta = 10000;
  c.model.initializer_range = 0.12;
  c.train_examples = 400;
  s.data.documents = 100000;
  s.data.dev_examples = 1000;
  s.data.test_examples = 2000;
  s.data.prompt_tokens = 32;

  c.base = {.steps = 8000, .sequences = 32, .length = 64, .learning_rate = 4e-3};
  c.continual = {.steps = 2000, .sequences = 32, .length = 64, .learning_rate = 3e-3};
  c.teacher = {.steps = 300, .sequences = 32, .learning_rate = 1e-4};
  c.naive = {.steps = 300, .sequences = 32, .learning_rate = 1e-3};
  c.student = {.steps = 300, .sequences = 32, .learning_rate = 2e-4};

  c.objective.lambda = 10;
  c.objective.gamma = 30;
  c.objective.logits = {.tau = 5, .tau_squared = true};
  c.objective.relation.split_heads = 4;
  c.log_every = 100;
  c.save_every = 500;
  if (quick) {
    c.base.steps = 40;
    c.continual.steps = 20;
    c.teacher.steps = c.naive.steps = c.student.steps = 10;
    c.log_every = 5;
    s.data.documents = 2000;
    s.data.dev_examples = s.data.test_examples = 300;
  }
  return s;
}

}  // namespace bitdistill
