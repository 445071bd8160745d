// Sequences that go forward together in one session: each joins with a prompt and leaves again
// between any two steps. What a sequence gets has the same bits whatever goes beside it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/infer/session.hpp"

namespace tern::inline TERN_ABI {

/// Uses all sequences of a session, here called places. The session must outlive it, and nobody
/// else may append to it meanwhile.
template <class Model = decoder<>>
class continuous_batch {
 public:
  /// All places are free.
  explicit continuous_batch(session<Model>& s)
      : session_(s), places_(s.cache().shape().sequences) {}

  /// Number of places that are taken.
  [[nodiscard]] std::size_t size() const { return order_.size(); }
  /// Whether every place is taken.
  [[nodiscard]] bool full() const { return size() == places_.size(); }

  /// Takes a free place, whose number it returns. The prompt is read by the next steps. Throws
  /// config_error if no place is free, and if the prompt is empty, longer than the capacity of a
  /// sequence, or has a token that is not in the vocabulary.
  std::size_t join(std::vector<std::int32_t> prompt) {
    require(prompt);
    const auto free = std::ranges::find(places_, false, &place::taken);
    if (free == places_.end()) throw config_error("continuous_batch: every place is taken");
    const auto index = static_cast<std::size_t>(free - places_.begin());
    session_.truncate(index, 0);
    *free = {std::move(prompt), 0, true};
    order_.push_back(index);
    return index;
  }

  /// Frees a place, at any time except while step() runs. A free place stays free.
  void leave(std::size_t index) {
    if (std::erase(order_, index) != 0) places_[index] = {};
  }

  /// Frees all places.
  void clear() {
    parts_.clear();
    order_.clear();
    for (place& p : places_) p = {};
  }

  /// Whether the place can take in another token.
  [[nodiscard]] bool has_room(std::size_t index) const {
    return session_.length(index) < session_.cache().shape().capacity;
  }

  /// Makes one step. Every place takes in its token; places that read a prompt take in the next
  /// chunk of it as far as the step has room for them. For each place that has taken in everything,
  /// choose(place, logits) is called with the vocab_size logits of the token that follows. It
  /// returns a std::optional<std::int32_t>: the token that the place takes in next, or nothing
  /// where the place leaves. A place that has no room leaves, too. Throws as session::append() does
  /// and what `choose` throws; after that only clear() makes the batch usable again.
  template <class F>
  void step(F&& choose) {
    std::size_t rows = 0;
    std::optional<std::size_t> apart;
    for (const bool prompts : {false, true})
      for (const std::size_t index : order_) {
        const std::size_t n = next(index).size();
        if (n == 0 || (n > 1) != prompts) continue;
        if (rows + n > most_shared_rows && prompts) {
          if (!apart) apart = index;
          continue;
        }
        if (rows + n > most_shared_rows) {
          pass(choose);
          rows = 0;
        }
        parts_.push_back({index, next(index)});
        rows += n;
      }
    pass(choose);
    if (apart) {
      parts_.push_back({*apart, next(*apart)});
      pass(choose);
    }
    std::erase_if(order_, [&](std::size_t index) { return !places_[index].taken; });
  }

 private:
  /// A pass that several sequences share has at most so many rows: larger products of floats may be
  /// summed in another order (linalg/amx.hpp), so that a sequence would notice the others.
  static constexpr std::size_t most_shared_rows = 127;

  /// What one sequence of the session is doing.
  struct place {
    std::vector<std::int32_t> tokens{};  ///< what it takes in: a prompt, or one token
    std::size_t taken_in = 0;            ///< number of them that the sequence has
    bool taken = false;
  };

  void require(std::span<const std::int32_t> prompt) const {
    const std::size_t vocabulary = session_.model().config().vocab_size,
                      capacity = session_.cache().shape().capacity;
    if (prompt.empty()) throw config_error("continuous_batch: the prompt is empty");
    if (prompt.size() > capacity)
      throw config_error("continuous_batch: the prompt has " + std::to_string(prompt.size()) +
                         " tokens, but a sequence holds " + std::to_string(capacity));
    for (const std::int32_t token : prompt)
      if (token < 0 || static_cast<std::size_t>(token) >= vocabulary)
        throw config_error("continuous_batch: token " + std::to_string(token) +
                           " is not in the vocabulary");
  }

  /// What a place takes in next. A prompt is cut at the same tokens as in session::append().
  [[nodiscard]] std::span<const std::int32_t> next(std::size_t index) const {
    const place& p = places_[index];
    const auto left = std::span(p.tokens).subspan(p.taken_in);
    return left.first(std::min(left.size(), session_.cache().shape().chunk));
  }

  /// Makes a pass over the model with the parts that were collected.
  template <class F>
  void pass(F& choose) {
    if (parts_.empty()) return;
    const matrix_view<const float> logits = session_.append(parts_);
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const std::size_t index = parts_[i].sequence;
      place& p = places_[index];
      p.taken_in += parts_[i].tokens.size();
      if (p.taken_in < p.tokens.size()) continue;
      const std::optional<std::int32_t> token = choose(index, logits.row(i));
      p.taken = token && has_room(index);
      p.tokens.assign(p.taken ? 1 : 0, token.value_or(0));
      p.taken_in = 0;
    }
    parts_.clear();
  }

  session<Model>& session_;
  std::vector<place> places_;
  std::vector<std::size_t> order_;  ///< places that are taken, in the order of joining
  std::vector<sequence_tokens> parts_;
};

}  // namespace tern::inline TERN_ABI
