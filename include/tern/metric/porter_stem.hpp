// The stemmer of Porter ("An algorithm for suffix stripping", Program 14.3, 1980, pages 130-137)
// with the extensions that NLTK's PorterStemmer has by default. ROUGE compares stems of words.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// One word on its way through the steps of the algorithm, which keep Porter's numbers.
class porter_word {
 public:
  explicit porter_word(std::string_view word) : word_(word) {}

  [[nodiscard]] std::string stem() && {
    step_1a();
    step_1b();
    step_1c();
    step_2();
    step_3();
    step_4();
    step_5();
    return std::move(word_);
  }

 private:
  struct rule {
    std::string_view suffix, replacement;
  };

  /// Plurals: caresses, ponies, cats.
  void step_1a() {
    if (word_.size() == 4 && word_.ends_with("ies")) return word_.pop_back();
    apply({{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}, 0);
  }

  /// Past tense and gerund: plastered, motoring. A removed e comes back: hoping gives hope.
  void step_1b() {
    if (word_.ends_with("ied")) return drop(word_.size() == 4 ? 1 : 2);
    if (word_.ends_with("eed")) {
      if (measure(before("eed")) > 0) word_.pop_back();
      return;
    }
    const std::size_t length = word_.ends_with("ed")    ? before("ed")
                               : word_.ends_with("ing") ? before("ing")
                                                        : word_.size();
    if (length == word_.size() || !has_vowel(length)) return;
    word_.resize(length);
    if (apply({{"at", "ate"}, {"bl", "ble"}, {"iz", "ize"}}, 0)) return;
    const char last = word_.back();
    if (length >= 2 && word_[length - 2] == last && is_consonant(length - 1)) {
      if (last != 'l' && last != 's' && last != 'z') word_.pop_back();
    } else if (measure(length) == 1 && ends_in_short_syllable(length)) {
      word_ += 'e';
    }
  }

  /// A final y behind a consonant: happy gives happi, enjoy stays.
  void step_1c() {
    const std::size_t length = before("y");
    if (word_.ends_with('y') && length > 1 && is_consonant(length - 1)) word_.back() = 'i';
  }

  /// Double suffixes: relational gives relate.
  void step_2() {
    if (word_.ends_with("alli") && measure(before("alli")) > 0) drop(2);
    const bool found =
        apply({{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
               {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
               {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
               {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
               {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
               {"fulli", "ful"}},
              1);
    // The l counts as part of the stem, so that short ones as in geology are long enough.
    if (!found && word_.ends_with("logi") && measure(before("ogi")) > 0) word_.pop_back();
  }

  /// Suffixes such as those of triplicate, electrical and goodness.
  void step_3() {
    apply({{"icate", "ic"},
           {"ative", ""},
           {"alize", "al"},
           {"iciti", "ic"},
           {"ical", "ic"},
           {"ful", ""},
           {"ness", ""}},
          1);
  }

  /// Suffixes that are left behind a long stem.
  void step_4() {
    static constexpr std::array<std::string_view, 19> suffixes{
        "al",  "ance", "ence", "er",  "ic",  "able", "ible", "ant", "ement", "ment",
        "ent", "ion",  "ou",   "ism", "ate", "iti",  "ous",  "ive", "ize"};
    const auto* const suffix = std::ranges::find_if(
        suffixes, [&](std::string_view candidate) { return word_.ends_with(candidate); });
    if (suffix == suffixes.end()) return;
    const std::size_t length = before(*suffix);
    if (measure(length) <= 1) return;
    if (*suffix == "ion" && word_[length - 1] != 's' && word_[length - 1] != 't') return;
    word_.resize(length);
  }

  /// A final e, and one l of two.
  void step_5() {
    if (word_.ends_with('e')) {
      const std::size_t length = before("e"), m = measure(length);
      if (m > 1 || (m == 1 && !ends_in_short_syllable(length))) word_.pop_back();
    }
    if (word_.ends_with("ll") && measure(before("l")) > 1) word_.pop_back();
  }

  /// Looks for the first rule whose suffix the word has, and obeys it if the rest of the word has
  /// at least this measure. Returns whether there was such a rule, even if it was not obeyed.
  bool apply(std::initializer_list<rule> rules, std::size_t least_measure) {
    for (const auto& [suffix, replacement] : rules) {
      if (!word_.ends_with(suffix)) continue;
      const std::size_t length = before(suffix);
      if (measure(length) >= least_measure) word_.replace(length, suffix.size(), replacement);
      return true;
    }
    return false;
  }

  /// Tells of each of the first `length` letters whether it is a consonant. A y is a consonant at
  /// the beginning of the word and after a vowel.
  [[nodiscard]] std::vector<bool> consonants(std::size_t length) const {
    std::vector<bool> flags(length);
    for (std::size_t i = 0; i < length; ++i) {
      const bool vowel = std::string_view("aeiou").find(word_[i]) != std::string_view::npos;
      flags[i] = word_[i] == 'y' ? i == 0 || !flags[i - 1] : !vowel;
    }
    return flags;
  }

  [[nodiscard]] bool is_consonant(std::size_t i) const { return consonants(i + 1).back(); }

  [[nodiscard]] bool has_vowel(std::size_t length) const {
    return std::ranges::count(consonants(length), false) > 0;
  }

  /// Porter's m: how often a consonant follows a vowel in the first `length` letters.
  [[nodiscard]] std::size_t measure(std::size_t length) const {
    const auto consonant = consonants(length);
    std::size_t m = 0;
    for (std::size_t i = 1; i < length; ++i) m += consonant[i] && !consonant[i - 1];
    return m;
  }

  /// Porter's *o: the first `length` letters end in consonant, vowel, and a consonant other than w,
  /// x and y. Two letters, a vowel and a consonant, are one too.
  [[nodiscard]] bool ends_in_short_syllable(std::size_t length) const {
    const auto consonant = consonants(length);
    if (length == 2) return !consonant[0] && consonant[1];
    return length >= 3 && consonant[length - 3] && !consonant[length - 2] &&
           consonant[length - 1] &&
           std::string_view("wxy").find(word_[length - 1]) == std::string_view::npos;
  }

  /// Number of letters before a suffix of this length.
  [[nodiscard]] std::size_t before(std::string_view suffix) const {
    return word_.size() - suffix.size();
  }

  void drop(std::size_t letters) { word_.resize(word_.size() - letters); }

  std::string word_;
};

}  // namespace detail

/// The stem of a word of lower-case ASCII letters and digits, equal to that of NLTK's
/// PorterStemmer().stem(word).
inline std::string porter_stem(std::string_view word) {
  struct irregular {
    std::string_view form, stem;
  };
  static constexpr std::array<irregular, 16> irregular_forms{{{"sky", "sky"},
                                                              {"skies", "sky"},
                                                              {"dying", "die"},
                                                              {"lying", "lie"},
                                                              {"tying", "tie"},
                                                              {"news", "news"},
                                                              {"innings", "inning"},
                                                              {"inning", "inning"},
                                                              {"outings", "outing"},
                                                              {"outing", "outing"},
                                                              {"cannings", "canning"},
                                                              {"canning", "canning"},
                                                              {"howe", "howe"},
                                                              {"proceed", "proceed"},
                                                              {"exceed", "exceed"},
                                                              {"succeed", "succeed"}}};
  for (const auto& [form, stem] : irregular_forms)
    if (word == form) return std::string(stem);
  return word.size() <= 2 ? std::string(word) : detail::porter_word(word).stem();
}

}  // namespace tern::inline TERN_ABI
