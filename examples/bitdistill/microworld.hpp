// The embedded language: English sentences about a small world of animals, people and machines,
// which are true or false by construction. The pre-training texts say everything that the task
// needs: which words are kinds of others, and which statements follow from others. The task has few
// examples.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "inference.hpp"
#include "taxonomy.hpp"
#include "tern/core/error.hpp"
#include "tern/core/random.hpp"

namespace bitdistill {

/// One pair of sentences; `label` is the value of an `inference`.
struct nli_example {
  std::string premise, hypothesis;  ///< sentences
  int label;                        ///< 0: entailment, 1: neutral, 2: contradiction
};

/// The parts of the language. A hash of a pair of sentences decides to which part the pair belongs,
/// so no pair is in two parts, whatever the seeds are.
enum class microworld_part { corpus, train, dev, test };

/// The words of the small world, and the form of its documents.
struct microworld_options {
  /// Nouns as an indented list (see `taxonomy`); siblings exclude one another.
  std::string nouns =
      "animals\n birds\n  robins\n  crows\n dogs\n  poodles\n  beagles\n"
      "people\n artists\n  painters\n  poets\n doctors\n  dentists\n  surgeons\n"
      "machines\n robots\n  androids\n  drones\n vehicles\n  trucks\n  trams\n";
  /// Verbs as an indented list.
  std::string verbs =
      "move\n run\n  sprint\n  jog\n turn\n  spin\n  roll\n"
      "speak\n sing\n  hum\n  chant\n talk\n  whisper\n  mumble\n";
  /// At most three pairs of opposite adjectives. Nothing has both, and some things have neither.
  std::vector<std::array<std::string, 2>> adjectives = {{"small", "large"}};
  std::uint32_t questions = 4;  ///< largest number of questions in a dialogue
  /// Share of the documents that state facts about words. The others are dialogues.
  double facts = 0.2;
};

/// Texts and examples of the small world. Results depend on the arguments alone.
class microworld {
 public:
  /// Throws config_error for options out of range.
  explicit microworld(microworld_options options = {})
      : options_(std::move(options)), nouns_(options_.nouns), verbs_(options_.verbs) {
    if (options_.questions == 0 || options_.adjectives.size() > 3)
      throw tern::config_error(
          "microworld: expected at least 1 question and at most 3 pairs of adjectives");
  }

  /// Every word and sign that occurs in documents, prompts and labels, each once.
  [[nodiscard]] std::vector<std::string> words() const {
    std::vector<std::string> all = {".",    "?",   "all", "some",   "no",      "not",  "are",
                                    "none", "who", "so",  "surely", "perhaps", "never"};
    for (const auto& pair : options_.adjectives) all.insert(all.end(), pair.begin(), pair.end());
    for (const auto* tree : {&nouns_, &verbs_})
      all.insert(all.end(), tree->words().begin(), tree->words().end());
    return all;
  }

  /// The words that answer a prompt, in the order of `inference`. The corpus uses the same words,
  /// so that a model can use what pre-training taught it after a few examples.
  [[nodiscard]] static std::array<std::string, 3> label_words() {
    return {"surely", "perhaps", "never"};
  }

  /// The text that the label word follows.
  [[nodiscard]] static std::string prompt(const nli_example& e) {
    return e.premise + " . so " + e.hypothesis + " ?";
  }

  /// Document `number` of the endless pre-training corpus of a seed: a dialogue ("all birds run .
  /// so some robins move ? surely .") or facts ("all robins are birds . none who sprint sing .").
  [[nodiscard]] std::string document(std::uint64_t number, std::uint64_t seed) const {
    tern::philox rng(seed, number);
    return rng.uniform() < options_.facts ? facts(rng) : dialogue(rng);
  }

  /// The first `count` documents.
  [[nodiscard]] std::vector<std::string> corpus(std::size_t count, std::uint64_t seed) const {
    std::vector<std::string> documents(count);
    for (std::size_t i = 0; i < count; ++i) documents[i] = document(i, seed);
    return documents;
  }

  /// Draws `count` different pairs of one part, whose labels take turns. Throws config_error where
  /// the world has too few pairs.
  [[nodiscard]] std::vector<nli_example> pairs(microworld_part part, std::size_t count,
                                               std::uint64_t seed) const {
    tern::philox rng(seed, ~std::uint64_t{0});
    std::vector<nli_example> examples;
    std::unordered_set<std::string> seen;
    for (std::size_t misses = 0; examples.size() < count; ++misses) {
      const statement premise = draw(rng), h = draw_near(rng, premise);
      const auto wanted = static_cast<inference>(examples.size() % 3);
      nli_example e{text(premise), text(h), static_cast<int>(examples.size() % 3)};
      if (label(premise, h) == wanted && part_of(premise, h) == part &&
          seen.insert(prompt(e)).second) {
        examples.push_back(std::move(e));
        misses = 0;
      } else if (misses == 100000) {
        throw tern::config_error("microworld: cannot find " + std::to_string(count) +
                                 " different pairs");
      }
    }
    return examples;
  }

 private:
  static constexpr std::size_t none = taxonomy::none;

  struct statement {
    quantifier q;
    std::size_t adjective, noun, verb;  // the adjective may be `none`
    bool operator==(const statement&) const = default;
  };

  static std::size_t index(tern::philox& rng, std::size_t n) {
    return rng.below(static_cast<std::uint32_t>(n));
  }

  /// Draws one of all, some and no. "not all" stands in facts only.
  static quantifier draw_quantifier(tern::philox& rng) {
    return static_cast<quantifier>(rng.below(3));
  }

  /// Draws an adjective, or `none` about half of the time.
  [[nodiscard]] std::size_t draw_adjective(tern::philox& rng) const {
    const std::size_t n = 2 * options_.adjectives.size(), adjective = index(rng, 2 * n + 1);
    return adjective < n ? adjective : none;
  }

  [[nodiscard]] statement draw(tern::philox& rng) const {
    return {draw_quantifier(rng), draw_adjective(rng), index(rng, nouns_.size()),
            index(rng, verbs_.size())};
  }

  /// Draws a word above `from`, a word below it, or any word.
  static std::size_t draw_near(tern::philox& rng, const taxonomy& words, std::size_t from) {
    const std::uint32_t how = rng.below(3);
    for (;;) {
      const std::size_t i = index(rng, words.size());
      if (how == 0 || (how == 1 ? words.within(i, from) : words.within(from, i))) return i;
    }
  }

  /// Draws another statement about related things: one of the words changes, and half of the time
  /// the quantifier changes, too.
  [[nodiscard]] statement draw_near(tern::philox& rng, const statement& from) const {
    for (;;) {
      statement s = from;
      if (rng.below(2) == 0) s.q = draw_quantifier(rng);
      switch (rng.below(options_.adjectives.empty() ? 2 : 3)) {
        case 0:
          s.noun = draw_near(rng, nouns_, from.noun);
          break;
        case 1:
          s.verb = draw_near(rng, verbs_, from.verb);
          break;
        default:
          s.adjective = draw_adjective(rng);
      }
      if (s != from) return s;
    }
  }

  /// FNV-1a over the text of the pair: of 16 slots 10 are corpus, 2 each train, dev and test.
  [[nodiscard]] microworld_part part_of(const statement& premise, const statement& other) const {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const char c : text(premise) + '\n' + text(other))
      hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    const std::uint64_t slot = (hash ^ hash >> 32) % 16;
    return slot < 10 ? microworld_part::corpus : static_cast<microworld_part>((slot - 8) / 2);
  }

  /// The set of an adjective. There is a cell for each choice of the first, the second or neither
  /// from every pair of opposites.
  [[nodiscard]] std::uint64_t qualities(std::size_t adjective) const {
    std::uint64_t set = 0;
    std::size_t cells = 1, stride = 1;
    for (std::size_t i = 0; i < options_.adjectives.size(); ++i) {
      cells *= 3;
      if (i < adjective / 2) stride *= 3;
    }
    for (std::size_t c = 0; c < cells; ++c)
      if (adjective == none || c / stride % 3 == adjective % 2) set |= std::uint64_t{1} << c;
    return set;
  }

  [[nodiscard]] inference label(const statement& premise, const statement& hypothesis) const {
    return infer_label(sets(premise), sets(hypothesis));
  }

  [[nodiscard]] statement_sets sets(const statement& s) const {
    return {s.q, nouns_.set(s.noun), qualities(s.adjective), verbs_.set(s.verb), verbs_.all()};
  }

  [[nodiscard]] std::string text(const statement& s) const {
    static constexpr std::array<const char*, 4> q = {"all ", "some ", "no ", "not all "};
    std::string line = q[static_cast<std::size_t>(s.q)];
    if (s.adjective != none) line += options_.adjectives[s.adjective / 2][s.adjective % 2] + ' ';
    return line + nouns_.word(s.noun) + ' ' + verbs_.word(s.verb);
  }

  /// A premise with questions and answers. The three answers are equally frequent where the premise
  /// allows it.
  [[nodiscard]] std::string dialogue(tern::philox& rng) const {
    const auto answers = label_words();
    const statement premise = draw(rng);
    std::string document = text(premise) + " .";
    for (std::uint32_t n = 1 + rng.below(options_.questions); n > 0; --n) {
      const auto wanted = static_cast<inference>(rng.below(3));
      statement h = draw_near(rng, premise);
      // Some answers are rare, such as contradictions to a verb at the top, so after 200 trials
      // any answer is taken.
      for (int i = 0; part_of(premise, h) != microworld_part::corpus ||
                      (i < 200 && label(premise, h) != wanted);
           ++i)
        h = draw_near(rng, premise);
      document +=
          " so " + text(h) + " ? " + answers[static_cast<std::size_t>(label(premise, h))] + " .";
    }
    return document;
  }

  [[nodiscard]] std::string facts(tern::philox& rng) const {
    std::string document;
    for (std::uint32_t n = 2 + rng.below(4); n > 0; --n) {
      const bool noun = rng.below(2) == 0;
      const taxonomy& words = noun ? nouns_ : verbs_;
      const std::size_t a = index(rng, words.size());
      std::size_t b = draw_near(rng, words, a);
      while (a == b) b = index(rng, words.size());
      const bool apart = (words.set(a) & words.set(b)) == 0;
      const char* q = words.within(a, b) ? "all " : rng.below(2) == 0 ? "some " : "not all ";
      if (apart) q = noun ? "no " : "none ";
      if (!document.empty()) document += ' ';
      document += q + (noun ? words.word(a) + " are " : "who " + words.word(a) + ' ') +
                  words.word(b) + " .";
    }
    return document;
  }

  microworld_options options_;
  taxonomy nouns_, verbs_;
};

}  // namespace bitdistill
