// Micro-batches of a stage: windows of a token stream, or examples of a task. What a micro-batch
// holds depends on its number alone, so a stage that is continued sees the same data.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/random.hpp"
#include "tern/data/token_windows.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/nn/cross_entropy.hpp"
#include "tern/recipe/token_example.hpp"

namespace tern::inline TERN_ABI {

/// Tokens that go into the model, the rows at which a loss is taken, and the token that should
/// follow each of these rows.
struct micro_batch {
  token_batch tokens;                 ///< the sequences
  std::vector<std::size_t> rows;      ///< indices of tokens, ascending; empty: every token
  std::vector<std::int32_t> targets;  ///< one for each row; -100: no target
  std::vector<std::size_t> examples;  ///< indices of the task's examples; empty: windows of a text

  /// Removes all sequences and keeps the memory.
  void clear() {
    tokens.clear();
    rows.clear();
    targets.clear();
    examples.clear();
  }
};

/// Throws config_error naming the example unless all tokens and targets of the batch's examples are
/// in [0, vocabulary). Windows of a text have no examples, and ops name their tokens.
inline void require_ids(const micro_batch& batch, std::size_t vocabulary) {
  const auto check = [&](std::int32_t id, std::size_t sequence) {
    if (id >= 0 && static_cast<std::size_t>(id) < vocabulary) return;
    throw config_error("example " + std::to_string(batch.examples[sequence]) + ": token " +
                       std::to_string(id) + " is outside [0, " + std::to_string(vocabulary) + ")");
  };
  const token_batch& all = batch.tokens;
  for (std::size_t s = 0, row = 0; s < batch.examples.size(); ++s) {
    for (std::size_t i = all.offsets[s]; i < all.offsets[s + 1]; ++i) check(all.tokens[i], s);
    for (; row < batch.targets.size(); ++row) {
      const std::size_t token = batch.rows.empty() ? row : batch.rows[row];
      if (token >= all.offsets[s + 1]) break;
      if (batch.targets[row] != cross_entropy<float>::ignore_index) check(batch.targets[row], s);
    }
  }
}

/// A source of micro-batches.
class batch_source {
 public:
  virtual ~batch_source() = default;
  /// Fills micro-batch `number`, counted from 0 over the whole stage. `every_token`: every token
  /// gets a row, and the target of tokens that have none is -100.
  virtual void fill(micro_batch& batch, std::size_t number, bool every_token) = 0;
};

/// Windows of a token stream; the target of each token is the next one.
class corpus_batches final : public batch_source {
 public:
  /// A micro-batch has `sequences` windows of `length` tokens; `seed` gives their order. Throws
  /// config_error if there are no sequences or the stream is shorter than one window and its next
  /// token. The stream must outlive this object.
  corpus_batches(std::span<const std::int32_t> stream, std::size_t sequences, std::size_t length,
                 std::uint64_t seed, std::optional<std::int32_t> separator = {})
      : windows_(stream, length, seed, separator), sequences_(sequences) {
    if (sequences == 0) throw config_error("corpus_batches: expected at least one sequence");
  }

  void fill(micro_batch& batch, std::size_t number, bool /*every_token*/) override {
    batch.clear();
    for (std::size_t s = 0; s < sequences_; ++s) {
      const auto window = windows_[number * sequences_ + s];
      batch.tokens.add(window.first(window.size() - 1));
      batch.targets.insert(batch.targets.end(), window.begin() + 1, window.end());
    }
  }

 private:
  token_windows windows_;
  std::size_t sequences_;
};

/// Examples of a task, which are shuffled anew in each epoch; the targets are the tokens of the
/// answers.
class example_batches final : public batch_source {
 public:
  /// A micro-batch has `sequences` examples. `group`: this many micro-batches in a row are sorted
  /// by length together, for example those of one optimizer step; 1 leaves the shuffled order.
  /// Throws config_error where there are no examples or one lacks a prompt or an answer. The
  /// examples must outlive this object.
  example_batches(std::span<const token_example> examples, std::size_t sequences,
                  std::uint64_t seed, std::size_t group = 1)
      : examples_(examples),
        sequences_(sequences),
        group_(group),
        seed_(seed),
        order_(examples.size()) {
    if (examples.empty()) throw config_error("expected training examples, got none");
    if (sequences == 0 || group == 0)
      throw config_error("example_batches: expected at least one sequence and a group of one");
    for (std::size_t i = 0; i < examples.size(); ++i)
      if (examples[i].answer == 0 || examples[i].answer >= examples[i].tokens.size())
        throw config_error("example " + std::to_string(i) +
                           ": expected tokens of a prompt and of an answer, got the answer at " +
                           std::to_string(examples[i].answer) + " of " +
                           std::to_string(examples[i].tokens.size()) + " tokens");
  }

  void fill(micro_batch& batch, std::size_t number, bool every_token) override {
    batch.clear();
    choose(number);
    for (const std::size_t index : chosen_) add(batch, examples_[index], every_token);
    batch.examples = chosen_;
  }

 private:
  /// Puts the indices of the examples of a micro-batch into `chosen_`.
  void choose(std::size_t number) {
    const std::size_t first = number / group_ * group_;
    chosen_.clear();
    for (std::size_t i = 0; i < sequences_ * group_; ++i) {
      const std::size_t position = first * sequences_ + i;
      shuffle_for(position / examples_.size());
      chosen_.push_back(order_[position % examples_.size()]);
    }
    if (group_ > 1)
      std::ranges::stable_sort(chosen_, {},
                               [&](std::size_t i) { return examples_[i].tokens.size(); });
    const auto begin = chosen_.begin() + static_cast<std::ptrdiff_t>((number - first) * sequences_);
    std::copy_n(begin, sequences_, chosen_.begin());
    chosen_.resize(sequences_);
  }

  static void add(micro_batch& batch, const token_example& e, bool every_token) {
    const std::span<const std::int32_t> all = e.tokens;
    batch.tokens.add(all.first(all.size() - 1));
    const std::size_t end = batch.tokens.tokens.size(), answer = all.size() - e.answer;
    if (every_token)
      batch.targets.resize(end - answer, cross_entropy<float>::ignore_index);
    else
      for (std::size_t row = end - answer; row < end; ++row) batch.rows.push_back(row);
    batch.targets.insert(batch.targets.end(), all.end() - static_cast<std::ptrdiff_t>(answer),
                         all.end());
  }

  void shuffle_for(std::size_t epoch) {
    if (epoch + 1 == shuffled_) return;
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    philox(seed_, epoch).shuffle(order_);
    shuffled_ = epoch + 1;
  }

  std::span<const token_example> examples_;
  std::size_t sequences_, group_;
  std::uint64_t seed_;
  std::vector<std::size_t> order_, chosen_;
  std::size_t shuffled_ = 0;  // one more than the epoch that order_ is for
};

}  // namespace tern::inline TERN_ABI
