// What a micro-batch holds, as a function of its number alone: windows of a token stream, or
// examples of a task.
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

/// Tokens that go in, the rows at which a loss is taken, and the token that should follow each.
struct micro_batch {
  token_batch tokens;                 ///< the sequences
  std::vector<std::size_t> rows;      ///< ascending; empty: every token
  std::vector<std::int32_t> targets;  ///< one a row; -100: no target

  /// No sequences; keeps the memory.
  void clear() {
    tokens.clear();
    rows.clear();
    targets.clear();
  }
};

/// Where micro-batches come from.
class batch_source {
 public:
  virtual ~batch_source() = default;
  /// Fills micro-batch `number`, counted from 0 over the whole stage. `every_token`: all tokens get
  /// a row, those without a target -100.
  virtual void fill(micro_batch& batch, std::size_t number, bool every_token) = 0;
};

/// Windows of a token stream; the target of each token is the next one.
class corpus_batches final : public batch_source {
 public:
  /// Micro-batches of `sequences` windows of `length` tokens, in the order that `seed` gives.
  /// Throws config_error if the stream is shorter than one window and its next token. Keeps the
  /// span.
  corpus_batches(std::span<const std::int32_t> stream, std::size_t sequences, std::size_t length,
                 std::uint64_t seed, std::optional<std::int32_t> separator = {})
      : windows_(stream, length, seed, separator), sequences_(sequences) {}

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

/// Examples of a task, shuffled anew each epoch; the targets are the tokens of the answers.
class example_batches final : public batch_source {
 public:
  /// Micro-batches of `sequences` examples. `group`: that many micro-batches in a row, those of one
  /// optimizer step, say, are sorted by length together; 1 leaves the shuffled order. Throws
  /// config_error where there are no examples. Keeps the span.
  example_batches(std::span<const token_example> examples, std::size_t sequences,
                  std::uint64_t seed, std::size_t group = 1)
      : examples_(examples),
        sequences_(sequences),
        group_(group),
        seed_(seed),
        order_(examples.size()) {
    if (examples.empty()) throw config_error("expected training examples, got none");
  }

  void fill(micro_batch& batch, std::size_t number, bool every_token) override {
    batch.clear();
    choose(number);
    for (const std::size_t index : chosen_) add(batch, examples_[index], every_token);
  }

 private:
  /// The examples of a micro-batch.
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
  std::size_t shuffled_ = 0;  // the epoch that order_ is for, plus one
};

}  // namespace tern::inline TERN_ABI
