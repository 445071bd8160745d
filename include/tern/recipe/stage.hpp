// A run as data: which stages there are, what each starts from, which surgery and which loss it
// has. The three stages of BitDistill, its baselines and its ablations are rows of one list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tern/distill/objective.hpp"
#include "tern/model/config.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// Sizes and rates of one stage.
struct stage_options {
  std::size_t steps = 0;                       ///< optimizer steps; 0 = the stage is not run
  std::size_t sequences = 16;                  ///< per micro-batch
  std::size_t length = 128;                    ///< tokens of a window (language modelling only)
  std::size_t accumulate = 1;                  ///< micro-batches per step
  double learning_rate = 1e-3;                 ///< peak
  schedule_kind plan = schedule_kind::cosine;  ///< of the learning rate
  double warmup = 0.05;                        ///< fraction of the steps
  double weight_decay = 0.01;                  ///< of matrices
  double clip = 1.0;                           ///< largest global gradient norm; 0 = no clipping
};

/// What happens to the weights a stage starts from.
enum class surgery {
  none,
  ternary,         ///< every linear of the blocks ternary (BitNet-SFT)
  sub_ln_ternary,  ///< SubLN and ternary: stage 1 of BitDistill
};

/// What a stage learns from.
enum class stage_loss {
  language_model,  ///< next token of the corpus
  task,            ///< cross-entropy on the label
  distil,          ///< cross-entropy + logits + attention relations from a teacher
};

/// One row of a run.
struct stage {
  std::string name;                ///< directory of its weights in the run
  std::string from;                ///< name of the stage it starts from; empty = new random weights
  surgery change = surgery::none;  ///< before its first step
  stage_loss loss = stage_loss::task;  ///< of every step
  std::string teacher;                 ///< name of the teacher's stage (distil only)
  std::string method;                  ///< its row in the table; empty = none
  stage_options options;               ///< sizes and rates
};

/// Everything a run of all stages depends on: written to config.json, compared on --resume.
struct run_config {
  std::string task = "microworld";                         ///< microworld, sst2, mnli, qnli, or tsv
  model_config model;                                      ///< of the base, where it is made here
  std::size_t vocab_size = 4096;                           ///< of a tokenizer trained on the corpus
  std::uint64_t seed = 1;                                  ///< of weights, data and their order
  stage_options base, teacher, naive, continual, student;  ///< of the stages in bitdistill_stages()
  double sub_ln_eps = 1e-5;                                ///< of the norms that stage 1 puts in
  norm_placement placement = norm_placement::subln;        ///< of those norms
  objective_options objective;                             ///< of the student
  std::size_t distil_layer = 0;    ///< of the student; the teacher's is as far from its last
  std::size_t train_examples = 0;  ///< at most; 0 = all
  bool ablations = false;          ///< run the table's ablations, too
  std::size_t log_every = 20, save_every = 200;  ///< optimizer steps
};

/// The stages of the paper's table, and its ablations where the configuration asks for them.
inline std::vector<stage> bitdistill_stages(const run_config& c) {
  using enum surgery;
  using enum stage_loss;
  std::vector<stage> list;
  if (c.base.steps > 0) list.push_back({"base", "", none, language_model, "", "", c.base});
  list.push_back({"fp-sft", "base", none, task, "", "FP-SFT", c.teacher});
  list.push_back({"bitnet-sft", "base", ternary, task, "", "BitNet-SFT", c.naive});
  list.push_back({"continual", "base", sub_ln_ternary, language_model, "", "", c.continual});
  list.push_back({"bitdistill", "continual", none, distil, "fp-sft", "BitDistill", c.student});
  if (!c.ablations) return list;
  stage_options longer = c.naive;
  longer.steps = c.continual.steps + c.student.steps;
  list.push_back(
      {"bitnet-sft-long", "base", ternary, task, "", "BitNet-SFT, as many steps", longer});
  stage_options alone = c.student;  // starts where BitNet-SFT does, and learns as fast
  alone.learning_rate = c.naive.learning_rate;
  list.push_back({"no-continual", "base", sub_ln_ternary, distil, "fp-sft",
                  "BitDistill without continual pre-training", alone});
  list.push_back({"no-distillation", "continual", none, task, "", "BitDistill without distillation",
                  c.student});
  return list;
}

/// As the trainer wants them.
inline trainer_options trainer_options_of(const stage_options& s, std::size_t log_every) {
  trainer_options o;
  o.learning_rate = s.learning_rate;
  o.plan.kind = s.plan;
  o.plan.steps = s.steps;
  o.plan.warmup_steps = static_cast<std::size_t>(s.warmup * static_cast<double>(s.steps));
  o.accumulate = s.accumulate;
  o.clip = s.clip;
  o.optimizer.weight_decay = s.weight_decay;
  o.log_every = log_every;
  return o;
}

}  // namespace tern::inline TERN_ABI
