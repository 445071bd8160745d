// The embedded language: plural English sentences about a small world of animals, people and
// machines, true or false by construction. What the task needs to know (what is a kind of what,
// what follows from what) stands in the pre-training texts; the task itself has few examples.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tern/core/random.hpp"
#include "tern/data/statement.hpp"
#include "tern/data/taxonomy.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// One pair of sentences; `label` is the value of an `inference`.
struct nli_example {
  std::string premise, hypothesis;
  int label;
};

/// The parts into which all pairs of sentences are divided, by a hash of the pair: what one part
/// holds no other part holds, whatever the seeds.
enum class microworld_part { corpus, train, dev, test };

struct microworld_options {
  /// Taxonomies as indented lists (see `taxonomy`); siblings exclude one another.
  std::string nouns =
      "animals\n birds\n  robins\n  crows\n dogs\n  poodles\n  beagles\n"
      "people\n artists\n  painters\n  poets\n doctors\n  dentists\n  surgeons\n"
      "machines\n robots\n  androids\n  drones\n vehicles\n  trucks\n  trams\n";
  std::string verbs =
      "move\n run\n  sprint\n  jog\n turn\n  spin\n  roll\n"
      "speak\n sing\n  hum\n  chant\n talk\n  whisper\n  mumble\n";
  /// Pairs of opposites; nothing is both, some things are neither.
  std::vector<std::array<std::string, 2>> adjectives = {{"small", "large"}, {"old", "new"}};
  /// A dialogue has one premise and 1 to this many questions.
  std::uint32_t questions = 4;
  /// Share of documents that state facts about the words; the others are dialogues.
  double facts = 0.2;
};

class microworld {
 public:
  explicit microworld(microworld_options options = {})
      : options_(std::move(options)), nouns_(options_.nouns), verbs_(options_.verbs) {}

  /// Every word and sign that occurs in documents, prompts and labels, each once.
  [[nodiscard]] std::vector<std::string> words() const {
    std::vector<std::string> all = {".",      ",",       "?",     ":",       "all",        "some",
                                    "no",     "not",     "are",   "who",     "none",       "so",
                                    "surely", "perhaps", "never", "premise", "hypothesis", "answer",
                                    "yes",    "maybe",   "wrong"};
    for (const auto& pair : options_.adjectives) all.insert(all.end(), pair.begin(), pair.end());
    all.insert(all.end(), nouns_.words().begin(), nouns_.words().end());
    all.insert(all.end(), verbs_.words().begin(), verbs_.words().end());
    return all;
  }

  /// The words that answer a prompt, in the order of `inference`.
  [[nodiscard]] static std::array<std::string, 3> label_words() {
    return {"yes", "maybe", "wrong"};
  }

  /// The text up to where the label word follows.
  [[nodiscard]] static std::string prompt(const nli_example& e) {
    return e.premise + " . so " + e.hypothesis + " ?";
  }

  /// `count` documents of the pre-training corpus, one string each; a pure function of (count,
  /// seed), and a longer corpus begins with the shorter one.
  [[nodiscard]] std::vector<std::string> corpus(std::size_t count, std::uint64_t seed) const {
    std::vector<std::string> documents;
    documents.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      philox rng(seed, i);
      documents.push_back(rng.uniform() < options_.facts ? facts(rng) : dialogue(rng));
    }
    return documents;
  }

  /// `count` different pairs of one part, the three labels in turn.
  [[nodiscard]] std::vector<nli_example> pairs(microworld_part part, std::size_t count,
                                               std::uint64_t seed) const {
    philox rng(seed, ~std::uint64_t{0});
    std::vector<nli_example> examples;
    std::unordered_set<std::string> seen;
    while (examples.size() < count) {
      const int wanted = static_cast<int>(examples.size() % 3);
      const statement premise = draw(rng);
      const auto [hypothesis, label] = draw_about(rng, premise, part);
      nli_example e{text(premise), text(hypothesis), label};
      if (label == wanted && seen.insert(prompt(e)).second) examples.push_back(std::move(e));
    }
    return examples;
  }

 private:
  static constexpr std::size_t none = taxonomy::none;

  struct statement {
    quantifier q;
    std::size_t adjective, noun, verb;  // adjective may be `none`
  };

  static std::uint32_t index(philox& rng, std::size_t n) {
    return rng.below(static_cast<std::uint32_t>(n));
  }

  [[nodiscard]] statement draw(philox& rng) const {
    const auto q = static_cast<quantifier>(rng.below(4));
    return {q, draw_adjective(rng), index(rng, nouns_.size()), index(rng, verbs_.size())};
  }

  [[nodiscard]] std::size_t draw_adjective(philox& rng) const {
    const std::size_t n = 2 * options_.adjectives.size();
    const std::size_t i = index(rng, 2 * n + 1);  // half of the phrases are bare
    return i < n ? i : none;
  }

  /// A word near `from`: itself, one above, one below or any.
  [[nodiscard]] static std::size_t draw_near(philox& rng, const taxonomy& words, std::size_t from) {
    const std::uint32_t how = rng.below(4);
    if (how == 0) return from;
    for (;;) {
      const std::size_t i = index(rng, words.size());
      if (how == 1 || (how == 2 ? words.within(i, from) : words.within(from, i))) return i;
    }
  }

  struct about {
    statement hypothesis;
    int label;
  };

  /// A hypothesis that shares words with the premise and falls into the given part; the label is
  /// drawn first, so the three are equally frequent.
  [[nodiscard]] about draw_about(philox& rng, const statement& premise,
                                 microworld_part part) const {
    const auto wanted = rng.below(3);
    for (int attempt = 0;; ++attempt) {
      statement h = draw(rng);
      h.noun = draw_near(rng, nouns_, premise.noun);
      h.verb = draw_near(rng, verbs_, premise.verb);
      if (rng.below(2) == 0) h.adjective = premise.adjective;
      const auto label = static_cast<int>(infer_label(sets(premise), sets(h)));
      if ((static_cast<std::uint32_t>(label) == wanted || attempt > 200) &&
          part_of(premise, h) == part)
        return {h, label};
    }
  }

  /// FNV-1a over the text of the pair: 10 sixteenths corpus, 2 each train, dev and test.
  [[nodiscard]] microworld_part part_of(const statement& premise,
                                        const statement& hypothesis) const {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (const unsigned char c : text(premise) + '\n' + text(hypothesis))
      hash = (hash ^ c) * 0x100000001b3u;
    const std::uint64_t slot = (hash ^ hash >> 32) % 16;
    return slot < 10 ? microworld_part::corpus : static_cast<microworld_part>((slot - 8) / 2);
  }

  [[nodiscard]] std::uint64_t qualities(std::size_t adjective) const {
    std::uint64_t set = 0, cell = 1;  // each cell: first, second or neither, of every pair
    std::size_t cells = 1;
    for (std::size_t i = 0; i < options_.adjectives.size(); ++i) cells *= 3;
    for (std::size_t c = 0; c < cells; ++c, cell <<= 1) {
      if (adjective == none) {
        set |= cell;
        continue;
      }
      std::size_t digit = c;
      for (std::size_t i = 0; i < adjective / 2; ++i) digit /= 3;
      if (digit % 3 == adjective % 2) set |= cell;
    }
    return set;
  }

  [[nodiscard]] statement_sets sets(const statement& s) const {
    return {s.q, nouns_.set(s.noun), qualities(s.adjective), verbs_.set(s.verb), verbs_.all()};
  }

  [[nodiscard]] std::string phrase(std::size_t adjective, std::size_t noun) const {
    if (adjective == none) return nouns_.word(noun);
    return options_.adjectives[adjective / 2][adjective % 2] + ' ' + nouns_.word(noun);
  }

  [[nodiscard]] std::string text(const statement& s) const {
    static constexpr std::array<std::string_view, 4> q = {"all ", "some ", "no ", "not all "};
    return std::string(q[static_cast<std::size_t>(s.q)]) + phrase(s.adjective, s.noun) + ' ' +
           verbs_.word(s.verb);
  }

  [[nodiscard]] std::string dialogue(philox& rng) const {
    static constexpr std::array<std::string_view, 3> answers = {" ? surely .", " ? perhaps .",
                                                                " ? never ."};
    const statement premise = draw(rng);
    std::string document = text(premise) + " .";
    for (std::uint32_t n = 1 + rng.below(options_.questions); n > 0; --n) {
      const auto [hypothesis, label] = draw_about(rng, premise, microworld_part::corpus);
      document += " so " + text(hypothesis);
      document += answers[static_cast<std::size_t>(label)];
    }
    return document;
  }

  /// "all robins are birds . none who sprint sing . ...": how words relate.
  [[nodiscard]] std::string facts(philox& rng) const {
    std::string document;
    for (std::uint32_t n = 2 + rng.below(4); n > 0; --n) {
      if (!document.empty()) document += ' ';
      const bool noun = rng.below(2) == 0;
      const taxonomy& words = noun ? nouns_ : verbs_;
      const std::size_t a = index(rng, words.size());
      std::size_t b = draw_near(rng, words, a);
      while (a == b) b = draw_near(rng, words, a);
      const bool apart = (words.set(a) & words.set(b)) == 0;
      if (noun) {
        document += apart                ? "no "
                    : words.within(a, b) ? "all "
                    : rng.below(2) == 0  ? "some "
                                         : "not all ";
        document += words.word(a) + " are " + words.word(b) + " .";
      } else {
        document += apart                ? "none who "
                    : words.within(a, b) ? "all who "
                    : rng.below(2) == 0  ? "some who "
                                         : "not all who ";
        document += words.word(a) + ' ' + words.word(b) + " .";
      }
    }
    return document;
  }

  microworld_options options_;
  taxonomy nouns_, verbs_;
};

}  // namespace tern::inline TERN_ABI
