// run_config from and to JSON: one list of fields serves both directions. Keys that are missing
// keep their defaults, unknown ones are refused.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "tern/json/read_fields.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/recipe/stage.hpp"

namespace tern::inline TERN_ABI {

template <class V>
void describe(V& v, stage_options& s) {
  v.value("steps", s.steps);
  v.value("sequences", s.sequences);
  v.value("length", s.length);
  v.value("accumulate", s.accumulate);
  v.value("learning_rate", s.learning_rate);
  v.choice("schedule", s.plan,
           enum_names<schedule_kind>{{"constant", schedule_kind::constant},
                                     {"linear", schedule_kind::linear},
                                     {"cosine", schedule_kind::cosine},
                                     {"two_stage", schedule_kind::two_stage}});
  v.value("warmup", s.warmup);
  v.value("weight_decay", s.weight_decay);
  v.value("clip", s.clip);
}

template <class V>
void describe(V& v, objective_options& o) {
  v.value("lambda", o.lambda);
  v.value("gamma", o.gamma);
  v.value("balance", o.balance);
  v.value("tau", o.logits.tau);
  v.value("tau_squared", o.logits.tau_squared);
  v.choice("tokens", o.tokens,
           enum_names<distilled_tokens>{{"all", distilled_tokens::all},
                                        {"answer", distilled_tokens::answer}});
  v.value("split_heads", o.relation.split_heads);
  v.value("temperature", o.relation.temperature);
  v.choice("form", o.relation.form,
           enum_names<relation_form>{{"cosine", relation_form::cosine},
                                     {"scaled_dot", relation_form::scaled_dot}});
  v.choice("mask", o.relation.mask,
           enum_names<relation_mask>{{"all", relation_mask::all},
                                     {"nonpad", relation_mask::nonpad},
                                     {"causal", relation_mask::causal}});
  v.choice("normaliser", o.relation.normaliser,
           enum_names<relation_normaliser>{{"paper", relation_normaliser::paper},
                                           {"official", relation_normaliser::official}});
  v.value("alpha_q", o.alpha[0]);
  v.value("alpha_k", o.alpha[1]);
  v.value("alpha_v", o.alpha[2]);
}

template <class V>
void describe(V& v, run_config& c) {
  v.value("task", c.task);
  v.object("model", [&](auto& inner) { describe_architecture(inner, c.model); });
  v.value("vocab_size", c.vocab_size);
  v.value("seed", c.seed);
  for (const auto& [key, options] :
       std::initializer_list<std::pair<const char*, stage_options*>>{{"base", &c.base},
                                                                     {"teacher", &c.teacher},
                                                                     {"naive", &c.naive},
                                                                     {"continual", &c.continual},
                                                                     {"student", &c.student}})
    v.object(key, *options);
  v.choice("sub_ln", c.placement, norm_placement_names);
  v.value("sub_ln_eps", c.sub_ln_eps);
  v.object("objective", c.objective);
  v.value("distil_layer", c.distil_layer);
  v.value("train_examples", c.train_examples);
  v.value("ablations", c.ablations);
  v.value("log_every", c.log_every);
  v.value("save_every", c.save_every);
}

/// Changes the fields of `config` that the object has; throws config_error.
inline void update_from_json(run_config& config, const nlohmann::json& json,
                             const std::string& file) {
  read_fields(config, json_fields(json, file));
}

/// Everything, in the order of the structs.
inline nlohmann::json to_json(const run_config& config) { return write_fields(config); }

}  // namespace tern::inline TERN_ABI
