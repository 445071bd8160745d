// Classification of an example: the class is the one whose label word is the most probable answer
// to the prompt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tern/core/all_finite.hpp"
#include "tern/core/error.hpp"
#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/nn/softmax.hpp"
#include "tern/recipe/token_example.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Throws numeric_error where a score is NaN or infinite: comparing it would choose the first
/// class.
template <class T>
void require_scores(const std::vector<T>& scores) {
  if (!all_finite(std::span<const T>(scores)))
    throw numeric_error(
        "classify: the score of a label word is not finite, so the model computes "
        "no answer; a weight may be broken or too large for its type");
}

/// Finds the class where every label word is one token. Logits after the prompt are compared, since
/// softmax keeps their order.
template <class Model>
class single_token_scores {
 public:
  using T = typename Model::scalar;
  single_token_scores(Model& model, std::span<const std::vector<std::int32_t>> words)
      : model_(model), width_(model.config().hidden_size), weights_(words.size() * width_) {
    for (std::size_t c = 0; c < words.size(); ++c)
      model.head_row(static_cast<std::size_t>(words[c][0]), {&weights_[c * width_], width_});
  }

  void operator()(tape<T>& t, std::span<const token_example> examples,
                  std::vector<std::int32_t>& classes) {
    token_batch batch;
    std::vector<std::size_t> rows;
    for (const token_example& e : examples) {
      batch.add(e.prompt());
      rows.push_back(batch.tokens.size() - 1);
    }
    const matrix_view<T> h = model_.hidden(t, batch, rows).value;
    const matrix_view<const T> words(weights_.data(), weights_.size() / width_, width_);
    std::vector<T> scores(words.rows);
    for (std::size_t i = 0; i < examples.size(); ++i) {
      for (std::size_t c = 0; c < words.rows; ++c) scores[c] = simd::dot(h.row(i), words.row(c));
      require_scores(scores);
      classes.push_back(
          static_cast<std::int32_t>(std::ranges::max_element(scores) - scores.begin()));
    }
  }

 private:
  Model& model_;
  std::size_t width_;
  std::vector<T> weights_;
};

/// Finds the class where label words have several tokens. Words are compared by the
/// log-probability of all their tokens together.
template <class Model>
class whole_word_scores {
 public:
  using T = typename Model::scalar;
  whole_word_scores(Model& model, std::span<const std::vector<std::int32_t>> words)
      : model_(model), words_(words) {}

  void operator()(tape<T>& t, std::span<const token_example> examples,
                  std::vector<std::int32_t>& classes) {
    for (const token_example& e : examples) {
      t.reset();
      token_batch batch;
      std::vector<std::size_t> rows;
      for (const auto& word : words_) {
        std::vector<std::int32_t> tokens(e.prompt().begin(), e.prompt().end());
        tokens.insert(tokens.end(), word.begin(), word.end() - 1);
        batch.add(tokens);
        for (std::size_t i = word.size(); i > 0; --i) rows.push_back(batch.tokens.size() - i);
      }
      const matrix_view<T> logits = model_.logits(t, model_.hidden(t, batch, rows)).value;
      classes.push_back(best_class(logits));
    }
  }

 private:
  [[nodiscard]] std::int32_t best_class(matrix_view<const T> logits) const {
    std::vector<double> scores(words_.size());
    std::size_t row = 0;
    for (std::size_t c = 0; c < words_.size(); ++c)
      for (const std::int32_t token : words_[c]) {
        const row_view<const T> z = logits.row(row++);
        scores[c] +=
            static_cast<double>(z[static_cast<std::size_t>(token)] - log_sum_exp<T>(z, T(1)));
      }
    require_scores(scores);
    return static_cast<std::int32_t>(std::ranges::max_element(scores) - scores.begin());
  }

  Model& model_;
  std::span<const std::vector<std::int32_t>> words_;
};

}  // namespace detail

/// The class of each example. `words`: tokens of the label words, by class. `sequences`: number of
/// prompts that go through the model at once. `done(n)` is called with the number of examples that
/// are finished. Throws config_error where there are no examples or no words, where an example has
/// no prompt, and where a prompt or a word has a token that the model does not know; numeric_error
/// where the score of a word is NaN or infinite.
template <class Model, class F>
std::vector<std::int32_t> classify(Model& model, std::span<const token_example> examples,
                                   std::span<const std::vector<std::int32_t>> words, F&& done,
                                   std::size_t sequences = 64, executor_ref ex = {}) {
  using T = typename Model::scalar;
  if (examples.empty()) throw config_error("classify: no examples");
  if (words.empty()) throw config_error("classify: no label words");
  if (sequences == 0) throw config_error("classify: sequences must be positive");
  const std::size_t vocabulary = model.config().vocab_size;
  for (std::size_t i = 0; i < examples.size(); ++i) require_prompt(examples[i], i, vocabulary);
  for (std::size_t c = 0; c < words.size(); ++c) {
    if (words[c].empty())
      throw config_error("classify: label word " + std::to_string(c) + " is empty");
    for (const std::int32_t id : words[c])
      if (id < 0 || static_cast<std::size_t>(id) >= vocabulary)
        throw config_error("classify: token " + std::to_string(id) + " of label word " +
                           std::to_string(c) + " is outside [0, " + std::to_string(vocabulary) +
                           ")");
  }
  tape<T> t(ex, false);
  std::vector<std::int32_t> classes;
  const auto score = [&](auto scores) {
    for (std::size_t begin = 0; begin < examples.size(); begin += sequences) {
      t.reset();
      scores(t, examples.subspan(begin, std::min(sequences, examples.size() - begin)), classes);
      done(classes.size());
    }
  };
  if (std::ranges::all_of(words, [](const auto& w) { return w.size() == 1; }))
    score(detail::single_token_scores<Model>(model, words));
  else
    score(detail::whole_word_scores<Model>(model, words));
  return classes;
}

}  // namespace tern::inline TERN_ABI
