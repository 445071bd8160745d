// The small world: labels are compared with an enumeration of all models, parts do not overlap, and
// documents follow the grammar.
#include "examples/bitdistill/microworld.hpp"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <sstream>

#include "../support.hpp"

using bitdistill::inference;
using bitdistill::microworld;
using bitdistill::microworld_options;
using bitdistill::microworld_part;

namespace {

using words = std::vector<std::string>;

words split(const std::string& text) {
  std::istringstream in(text);
  words out;
  for (std::string w; in >> w;) out.push_back(w);
  return out;
}

/// A world so small that every model can be visited. A model is a set of combinations (kind,
/// quality, action), stored as a bit mask; a word is a predicate on the digits of a combination.
struct tiny_world {
  std::size_t kinds, qualities, actions;
  std::map<std::string, std::set<std::size_t>> kind, quality, action;

  [[nodiscard]] std::size_t types() const { return kinds * qualities * actions; }

  /// The bits of the combinations that "(adjective) noun" covers, and of those that also do `verb`.
  [[nodiscard]] std::pair<std::uint32_t, std::uint32_t> regions(const words& phrase) const {
    std::uint32_t subject = 0, doing = 0, bit = 1;
    const std::string& noun = phrase[phrase.size() - 2];
    for (std::size_t k = 0; k < kinds; ++k)
      for (std::size_t q = 0; q < qualities; ++q)
        for (std::size_t a = 0; a < actions; ++a, bit <<= 1) {
          if (!kind.at(noun).contains(k)) continue;
          if (phrase.size() > 2 && !quality.at(phrase[0]).contains(q)) continue;
          subject |= bit;
          if (action.at(phrase.back()).contains(a)) doing |= bit;
        }
    return {subject, doing};
  }

  [[nodiscard]] static bool holds(const std::string& q, std::uint32_t subject, std::uint32_t doing,
                                  std::uint32_t model) {
    if (q == "all") return (model & subject & ~doing) == 0;
    if (q == "not all") return (model & subject & ~doing) != 0;
    return ((model & doing) != 0) == (q == "some");
  }

  /// Whether every kind exists in every quality.
  [[nodiscard]] bool inhabited(std::uint32_t model) const {
    const std::uint32_t group = (1u << actions) - 1;
    for (std::size_t g = 0; g < kinds * qualities; ++g)
      if ((model >> (g * actions) & group) == 0) return false;
    return true;
  }

  [[nodiscard]] int label(const std::string& premise, const std::string& hypothesis) const {
    auto parse = [&](const std::string& text) {
      words w = split(text);
      const bool not_all = w[0] == "not";
      const std::string q = not_all ? "not all" : w[0];
      w.erase(w.begin(), w.begin() + (not_all ? 2 : 1));
      return std::pair(q, regions(w));
    };
    const auto [pq, p] = parse(premise);
    const auto [hq, h] = parse(hypothesis);
    bool can_hold = false, can_fail = false;
    for (std::uint32_t model = 0; model < 1u << types(); ++model) {
      if (!holds(pq, p.first, p.second, model) || !inhabited(model)) continue;
      (holds(hq, h.first, h.second, model) ? can_hold : can_fail) = true;
      if (can_hold && can_fail) return 1;
    }
    REQUIRE((can_hold || can_fail));
    return can_hold ? 0 : 2;
  }
};

void require_labels(const tiny_world& tiny, const microworld_options& options, std::size_t count) {
  const microworld world(options);
  for (const auto part : {microworld_part::train, microworld_part::test})
    for (const auto& e : world.pairs(part, count, 3)) {
      INFO(e.premise << " / " << e.hypothesis);
      REQUIRE(e.label == tiny.label(e.premise, e.hypothesis));
    }
}

/// The pairs that a dialogue is about, with the answers.
std::vector<std::array<std::string, 3>> dialogue_pairs(const std::string& document) {
  std::vector<std::array<std::string, 3>> pairs;
  const auto first = document.find(" . so ");
  std::size_t at = first;
  while (at != std::string::npos) {
    const auto question = document.find(" ? ", at);
    const auto end = document.find(" .", question);
    pairs.push_back({document.substr(0, first), document.substr(at + 6, question - at - 6),
                     document.substr(question + 3, end - question - 3)});
    at = document.find(" . so ", question);
  }
  return pairs;
}

std::uint64_t fingerprint(const std::string& text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

TEST_CASE("microworld: labels agree with an enumeration of all models") {
  // Cell 0 of each digit is what no word names, or the quality that is neither.
  microworld_options kinds;
  kinds.nouns = "birds\n robins\n crows\n";
  kinds.verbs = "move\n run\n swim\n";
  kinds.adjectives = {};
  const std::map<std::string, std::set<std::size_t>> move = {
      {"move", {1, 2, 3}}, {"run", {2}}, {"swim", {3}}};
  require_labels({4, 1, 4, {{"birds", {1, 2, 3}}, {"robins", {2}}, {"crows", {3}}}, {}, move},
                 kinds, 9);
  microworld_options qualities;
  qualities.nouns = "birds\n";
  qualities.verbs = "run\n";
  qualities.adjectives = {{"small", "large"}, {"old", "new"}};
  const std::map<std::string, std::set<std::size_t>> quality = {
      {"small", {1, 4, 7}}, {"large", {2, 5, 8}}, {"old", {3, 4, 5}}, {"new", {6, 7, 8}}};
  require_labels({1, 9, 2, {{"birds", {0}}}, quality, {{"run", {1}}}}, qualities, 9);
}

TEST_CASE("microworld: parts share no pair and the corpus answers only its own") {
  const microworld world;
  std::map<std::string, std::string> owner;
  auto claim = [&](const std::string& pair, const std::string& part) {
    const auto [it, fresh] = owner.emplace(pair, part);
    REQUIRE(it->second == part);
    return fresh;
  };
  const std::vector<std::pair<microworld_part, std::string>> parts = {
      {microworld_part::train, "train"},
      {microworld_part::dev, "dev"},
      {microworld_part::test, "test"}};
  for (const auto& [part, name] : parts) {
    std::array<int, 3> count{};
    for (const auto& e : world.pairs(part, 1500, 1)) {
      REQUIRE(claim(e.premise + '|' + e.hypothesis, name));
      REQUIRE(e.premise != e.hypothesis);
      ++count[static_cast<std::size_t>(e.label)];
    }
    REQUIRE(count == std::array<int, 3>{500, 500, 500});
  }
  std::map<std::string, int> answers;
  for (const auto& document : world.corpus(20000, 5))
    for (const auto& [premise, hypothesis, answer] : dialogue_pairs(document)) {
      claim(premise + '|' + hypothesis, "corpus");
      ++answers[answer];
    }
  REQUIRE(answers.size() == 3);
  for (const auto& [answer, n] : answers) REQUIRE(n > 10000);
}

TEST_CASE("microworld: a longer corpus begins with the shorter, the same on every machine") {
  const microworld world;
  const auto documents = world.corpus(300, 1);
  const auto fewer = world.corpus(20, 1);
  REQUIRE(std::equal(fewer.begin(), fewer.end(), documents.begin()));
  REQUIRE(world.corpus(20, 2) != fewer);
  std::string text;
  for (const auto& d : documents) text += d + '\n';
  for (const auto& e : world.pairs(microworld_part::dev, 100, 1))
    text += microworld::prompt(e) + std::to_string(e.label) + '\n';
  REQUIRE(fingerprint(text) == 0x47e88761bae03209u);
}

TEST_CASE("microworld: every sentence obeys the grammar and uses listed words") {
  const microworld world;
  const auto list = world.words();
  const std::set<std::string> known(list.begin(), list.end());
  REQUIRE(known.size() == list.size());
  std::set<std::string> used;
  for (const auto& document : world.corpus(5000, 9)) {
    const auto tokens = split(document);
    used.insert(tokens.begin(), tokens.end());
    REQUIRE(tokens.back() == ".");
  }
  for (const auto& w : microworld::label_words()) used.insert(w);
  REQUIRE(used == known);
  const std::set<std::string> quantifiers = {"all", "some", "no", "not"};
  const std::set<std::string> adjectives = {"small", "large"};
  for (const auto& e : world.pairs(microworld_part::test, 300, 2))
    for (const auto& text : {e.premise, e.hypothesis}) {
      auto w = split(text);
      REQUIRE(quantifiers.contains(w[0]));
      if (w[0] == "not") w.erase(w.begin());
      REQUIRE(w.size() == (adjectives.contains(w[1]) ? 4u : 3u));
    }
}

TEST_CASE("microworld: contradicting options and impossible wishes are refused") {
  microworld_options options;
  options.questions = 0;
  REQUIRE_THROWS_AS(microworld(options), tern::config_error);
  options = {};
  options.nouns = "birds\n  robins\n";
  REQUIRE_THROWS_AS(microworld(options), tern::config_error);
  options.nouns = "birds\n";
  options.verbs = "run\n";
  options.adjectives = {};
  REQUIRE_THROWS_AS(microworld(options).pairs(microworld_part::test, 1000, 1), tern::config_error);
}
