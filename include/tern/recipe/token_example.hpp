// An example as tokens: a prompt, then the answer that should follow it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/data/text_task.hpp"
#include "tern/data/text_template.hpp"
#include "tern/recipe/data_source.hpp"
#include "tern/text/bpe_tokenizer.hpp"

namespace tern::inline TERN_ABI {

/// A prompt and its answer as one sequence of tokens.
struct token_example {
  /// Separator, prompt and answer. An answer in free text ends with the separator.
  std::vector<std::int32_t> tokens;
  std::size_t answer = 0;   ///< index of the first token of the answer
  std::int32_t label = -1;  ///< class; -1: the answer is free text

  /// The tokens that a model reads before it answers.
  [[nodiscard]] std::span<const std::int32_t> prompt() const { return {tokens.data(), answer}; }
};

/// Throws config_error naming example `index` unless it has a prompt, and all ids of the prompt are
/// in [0, vocabulary).
inline void require_prompt(const token_example& e, std::size_t index, std::size_t vocabulary) {
  const std::string name = "example " + std::to_string(index);
  if (e.answer == 0 || e.answer > e.tokens.size())
    throw config_error(
        name + ": expected at least one token before the answer, got the answer at " +
        std::to_string(e.answer) + " of " + std::to_string(e.tokens.size()) + " tokens");
  for (const std::int32_t id : e.prompt())
    if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
      throw config_error(name + ": token " + std::to_string(id) + " is outside [0, " +
                         std::to_string(vocabulary) + ")");
}

/// Makes token_examples with one tokenizer. An object must not be used by several threads at once.
class example_encoder {
 public:
  /// `separator` stands before every prompt and after every answer in free text. The prompt of an
  /// example has at most `data.prompt_tokens` tokens, the separator among them. `task.prompt` is
  /// the template of the prompts. `words`: tokens of the label words, by class. Throws config_error
  /// where the limit is below 2.
  example_encoder(const bpe_tokenizer& tokenizer, const text_task& task, const data_source& data,
                  std::int32_t separator, std::vector<std::vector<std::int32_t>> words)
      : encoder_(tokenizer.encoder()),
        tail_(text_template(task.prompt).tail()),
        limit_(data.prompt_tokens),
        cut_(data.cut),
        separator_(separator),
        words_(std::move(words)) {
    if (limit_ < 2)
      throw config_error("data.prompt_tokens: expected at least 2, got " + std::to_string(limit_));
  }

  /// The example as tokens. Throws config_error where its label has no word.
  [[nodiscard]] token_example operator()(const text_example& text) {
    token_example e{{separator_}, 0, text.label};
    encoder_.encode(text.prompt, e.tokens, added_text::plain);
    if (e.tokens.size() > limit_) cut(text.prompt, e.tokens);
    e.answer = e.tokens.size();
    if (text.label >= 0) {
      if (static_cast<std::size_t>(text.label) >= words_.size())
        throw config_error("example '" + text.prompt.substr(0, 60) + "': label " +
                           std::to_string(text.label) + ", but there are " +
                           std::to_string(words_.size()) + " label words");
      const auto& word = words_[static_cast<std::size_t>(text.label)];
      e.tokens.insert(e.tokens.end(), word.begin(), word.end());
    } else {
      encoder_.encode(" " + text.answer, e.tokens, added_text::plain);
      e.tokens.push_back(separator_);
    }
    return e;
  }

 private:
  /// Shortens the tokens of a prompt to the limit.
  void cut(std::string_view prompt, std::vector<std::int32_t>& tokens) {
    std::vector<std::int32_t> tail;
    if (cut_ == prompt_cut::back && prompt.ends_with(tail_)) {
      encoder_.encode(tail_, tail, added_text::plain);
      tokens.resize(1);
      encoder_.encode(prompt.substr(0, prompt.size() - tail_.size()), tokens, added_text::plain);
      tokens.resize(std::min(tokens.size(), limit_ - std::min(limit_ - 1, tail.size())));
      tokens.insert(tokens.end(), tail.begin(), tail.end());
    }
    if (tokens.size() > limit_)
      tokens.erase(tokens.begin() + 1,
                   tokens.begin() + 1 + static_cast<std::ptrdiff_t>(tokens.size() - limit_));
  }

  bpe_encoder encoder_;
  std::string tail_;
  std::size_t limit_;
  prompt_cut cut_;
  std::int32_t separator_;
  std::vector<std::vector<std::int32_t>> words_;
};

/// The tokens of each label word as it follows a prompt, with a space before it. Throws
/// config_error where a word has no tokens, or where a word begins with all tokens of another one:
/// a model could not say the shorter one alone.
inline std::vector<std::vector<std::int32_t>> label_word_tokens(
    const bpe_tokenizer& tokenizer, const std::vector<std::string>& words) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (const std::string& word : words) {
    const auto& ids = tokens.emplace_back(tokenizer.encode(" " + word, added_text::plain));
    if (ids.empty()) throw config_error("label word '" + word + "' has no tokens");
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      const std::size_t common = std::min(ids.size(), tokens[i].size());
      if (std::equal(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(common),
                     tokens[i].begin()))
        throw config_error("label words '" + words[i] + "' and '" + word +
                           "': the tokens of one begin with those of the other");
    }
  }
  return tokens;
}

}  // namespace tern::inline TERN_ABI
