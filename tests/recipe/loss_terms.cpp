// The loss terms of a stage: what JSON says, and the objective that it makes.
#include "tern/recipe/loss_terms.hpp"

#include <string>
#include <utility>
#include <vector>

#include "tern/json/read_fields.hpp"
#include "tern/json/write_fields.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

constexpr layer_counts three_and_five{3, 5};

loss_options losses(const char* text) {
  loss_options o;
  read_fields(o, json_fields(nlohmann::json::parse(text), "own.json"));
  return o;
}

/// The names and weights of the terms, in the order in which they are added.
std::vector<std::pair<std::string, double>> terms_of(const char* text) {
  std::vector<std::pair<std::string, double>> list;
  const auto made = make_objective<float>(losses(text), three_and_five);
  for (const auto& [term, weight] : made.terms()) list.emplace_back(term->name(), weight);
  return list;
}

}  // namespace

TEST_CASE("an objective has the terms that JSON names, in the order of the list of all terms") {
  CHECK(terms_of(R"({"hidden_states": {"weight": 4}, "logits": {"weight": 2},
                     "cross_entropy": {"weight": 1}, "relations": {"weight": 3}})") ==
        std::vector<std::pair<std::string, double>>{
            {"cross_entropy", 1}, {"logits", 2}, {"relations", 3}, {"hidden_states", 4}});
  CHECK(terms_of(R"({"logits": {"weight": 2}})") ==
        std::vector<std::pair<std::string, double>>{{"logits", 2}});
}

TEST_CASE("logits may be distilled in both directions, as in CAKLD") {
  const auto both = losses(R"({"logits": {}, "reverse_logits": {}})");
  CHECK_FALSE(both.of<logits_term_options>()->form.reverse);
  CHECK(both.of<reverse_logits_term_options>()->form.reverse);
}

TEST_CASE("a term without options has the weight of the paper") {
  CHECK(terms_of(R"({"cross_entropy": {}, "logits": {}, "relations": {}})") ==
        std::vector<std::pair<std::string, double>>{
            {"cross_entropy", 1}, {"logits", 10}, {"relations", 1e5}});
}

TEST_CASE("options of loss terms come back from JSON as they were written") {
  const nlohmann::json text = nlohmann::json::parse(R"({
      "logits": {"weight": 2, "tau": 3, "tau_squared": true, "tokens": "answer",
                 "prompt_weight": 0.5},
      "reverse_logits": {"weight": 0.25, "tau": 2, "tau_squared": false, "tokens": "all",
                         "prompt_weight": 0},
      "relations": {"weight": 4, "layer": 0, "teacher_layer": 2, "every": 2, "split_heads": 8,
                    "temperature": 0.5, "form": "scaled_dot", "mask": "causal",
                    "normaliser": "official", "n_layers": 2, "clamp": 0.25, "alpha_q": 1, "alpha_k": 2, "alpha_v": 3},
      "balance": true})");
  const nlohmann::json written = write_fields(losses(text.dump().c_str()));
  CHECK(written.at("logits") == text.at("logits"));
  CHECK(written.at("reverse_logits") == text.at("reverse_logits"));
  CHECK(written.at("relations") == text.at("relations"));
  CHECK(written.at("balance") == true);
}

TEST_CASE("an objective that cannot be made is refused") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"{}", "objective: expected 1 to 8 loss terms, got 0"},
      {R"({"relations": {"layer": 3}})",
       "relations: layer 3 is not one of the 3 layers of the student"},
      {R"({"hidden_states": {"teacher_layer": -6}})",
       "hidden_states: layer -6 is not one of the 5 layers of the teacher"},
  }));
  INFO(text);
  CHECK(tern_test::message_of<config_error>([&, t = text] {
          make_objective<float>(losses(t.c_str()), three_and_five);
        }) == message);
}
