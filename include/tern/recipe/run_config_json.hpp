// run_config from and to JSON: one list of fields serves both directions. Keys that are missing
// keep their defaults, unknown ones are refused.
#pragma once

#include <array>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/config_json.hpp"
#include "tern/json/json.hpp"
#include "tern/recipe/stage.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Reads the fields it is shown from an object; refuses keys it was not shown.
class field_reader {
 public:
  explicit field_reader(json_fields fields) : fields_(std::move(fields)) {}

  template <class T>
  void value(const char* key, T& x) {
    known_.emplace_back(key);
    if (fields_.has(key)) x = fields_.get<T>(key);
  }
  template <class T>
  void value(const char* key, std::vector<T>& x) {
    known_.emplace_back(key);
    if (fields_.has(key)) x = fields_.list<T>(key);
  }
  template <class E>
  void choice(const char* key, E& x, enum_names<E> names) {
    known_.emplace_back(key);
    if (fields_.has(key)) x = fields_.choice(key, names);
  }
  template <class F>
  void object(const char* key, F&& describe) {
    known_.emplace_back(key);
    if (!fields_.has(key)) return;
    field_reader inner(fields_.object(key));
    describe(inner);
    inner.finish();
  }
  void finish() const { fields_.require_known(known_); }

 private:
  json_fields fields_;
  std::vector<std::string> known_;
};

class field_writer {
 public:
  template <class T>
  void value(const char* key, T& x) {
    json[key] = x;
  }
  template <class E>
  void choice(const char* key, E& x, enum_names<E> names) {
    json[key] = name_of(x, names);
  }
  template <class F>
  void object(const char* key, F&& describe) {
    field_writer inner;
    describe(inner);
    json[key] = std::move(inner.json);
  }
  nlohmann::json json = nlohmann::json::object();
};

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
void describe(V& v, rope_scaling& s) {
  v.choice("rope_type", s.kind, rope_scaling_names);
  v.value("factor", s.factor);
  v.value("low_freq_factor", s.low_freq_factor);
  v.value("high_freq_factor", s.high_freq_factor);
  v.value("original_max_position_embeddings", s.original_positions);
}

template <class V>
void describe(V& v, model_config& c) {
  v.value("model_type", c.model_type);
  v.value("hidden_size", c.hidden_size);
  v.value("intermediate_size", c.intermediate_size);
  v.value("num_hidden_layers", c.num_hidden_layers);
  v.value("num_attention_heads", c.num_attention_heads);
  v.value("num_key_value_heads", c.num_key_value_heads);
  v.value("head_dim", c.head_dim);
  v.value("max_position_embeddings", c.max_position_embeddings);
  v.value("rope_theta", c.rope_theta);
  v.value("initializer_range", c.initializer_range);
  v.value("rms_norm_eps", c.rms_norm_eps);
  v.value("attention_bias", c.attention_bias);
  v.value("qk_norm", c.qk_norm);
  v.value("tie_word_embeddings", c.tie_word_embeddings);
  v.choice("hidden_act", c.hidden_act, activation_names);
  v.value("output_bias", c.output_bias);
  v.value("unit_offset", c.unit_offset);
  v.value("output_norms", c.output_norms);
  v.value("scaled_embedding", c.scaled_embedding);
  v.object("rope_scaling", [&](auto& inner) { describe(inner, c.rope_scaling); });
  v.value("rope_local_theta", c.rope_local_theta);
  v.value("sliding_layers", c.sliding_layers);
  v.value("sliding_window", c.sliding_window);
  v.value("query_pre_attn_scalar", c.query_pre_attn_scalar);
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
  v.object("model", [&](auto& inner) { describe(inner, c.model); });
  v.value("vocab_size", c.vocab_size);
  v.value("seed", c.seed);
  for (const auto& [key, options] :
       std::initializer_list<std::pair<const char*, stage_options*>>{{"base", &c.base},
                                                                     {"teacher", &c.teacher},
                                                                     {"naive", &c.naive},
                                                                     {"continual", &c.continual},
                                                                     {"student", &c.student}})
    v.object(key, [o = options](auto& inner) { describe(inner, *o); });
  v.choice("sub_ln", c.placement, norm_placement_names);
  v.value("sub_ln_eps", c.sub_ln_eps);
  v.object("objective", [&](auto& inner) { describe(inner, c.objective); });
  v.value("distil_layer", c.distil_layer);
  v.value("train_examples", c.train_examples);
  v.value("ablations", c.ablations);
  v.value("log_every", c.log_every);
  v.value("save_every", c.save_every);
}

}  // namespace detail

/// Changes the fields of `config` that the object has; throws config_error.
inline void update_from_json(run_config& config, const nlohmann::json& json,
                             const std::string& file) {
  detail::field_reader reader(json_fields(json, file));
  detail::describe(reader, config);
  reader.finish();
}

/// Everything, in the order of the structs.
inline nlohmann::json to_json(const run_config& config) {
  detail::field_writer writer;
  run_config copy = config;
  detail::describe(writer, copy);
  return writer.json;
}

}  // namespace tern::inline TERN_ABI
