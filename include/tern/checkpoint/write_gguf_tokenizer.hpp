// Writing the tokenizer of a model into its GGUF file, where byte-level BPE is called "gpt2" and
// the BPE of SentencePiece "llama".
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/core/error.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/end_tokens.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/regex.hpp"
#include "tern/text/sentencepiece.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The steps in the form of gguf_pretokenizers: a ByteLevel step that splits with GPT-2's pattern
/// is that split, then a ByteLevel step that does not split.
inline std::vector<pretokenizer_step> with_plain_byte_level(std::vector<pretokenizer_step> steps) {
  if (steps.empty()) return steps;
  auto* last = std::get_if<byte_level_step>(&steps.back());
  if (last == nullptr || !last->use_regex || last->add_prefix_space) return steps;
  last->use_regex = false;
  steps.insert(steps.end() - 1, split_step{std::string(gpt2_pattern)});
  return steps;
}

inline const gguf_pretokenizer& gguf_pretokenizer_of(const bpe_definition& from) {
  const auto steps = with_plain_byte_level(from.pretokenizer);
  for (const auto& pre : gguf_pretokenizers)
    if (pre.steps() == steps && pre.nfc == !from.normalizer.empty() &&
        pre.whole_words == from.whole_words)
      return pre;
  throw config_error("no tokenizer.ggml.pre of GGUF stands for how this tokenizer cuts text");
}

/// Writes the tokens that end a text. GGUF has one key for the end of a text, one for the end of a
/// turn and one for the end of a message. llama.cpp ends a text at each of them, so further ends
/// use the other two keys.
inline void write_gguf_ends(gguf_writer& file, const bpe_tokenizer& tokenizer,
                            std::size_t vocab_size, const text_conventions& conventions) {
  const bpe_definition& from = tokenizer.definition();
  const auto known = [&](std::int32_t token) {
    return static_cast<std::size_t>(token) < vocab_size;
  };
  const auto id = [&](const char* key, std::optional<std::int32_t> token) {
    if (token && known(*token)) file.metadata(key, static_cast<std::uint32_t>(*token));
  };
  auto ends = conventions.ends.empty() ? named_ends(tokenizer) : conventions.ends;
  std::erase_if(ends, [&](std::int32_t token) { return !known(token); });
  std::optional<std::int32_t> end;
  if (!from.suffix.empty())
    end = from.suffix.front();
  else if (conventions.tokenizer_end && std::ranges::count(ends, *conventions.tokenizer_end) != 0)
    end = conventions.tokenizer_end;
  else if (!ends.empty())
    end = ends.front();
  if (end) std::erase(ends, *end);
  id("tokenizer.ggml.eos_token_id", end);
  if (!conventions.ends.empty()) {
    if (!ends.empty()) id("tokenizer.ggml.eot_token_id", ends[0]);
    if (ends.size() > 1) id("tokenizer.ggml.eom_token_id", ends[1]);
  }
  id("tokenizer.ggml.bos_token_id", !from.prefix.empty() ? std::optional(from.prefix.front())
                                    : conventions.bos    ? conventions.bos
                                                         : end);
  id("tokenizer.ggml.padding_token_id", conventions.pad);
}

/// Whether the text is changed and cut as SentencePiece does it, which GGUF calls "llama": spaces
/// become visible, nothing is cut, and unknown characters are spelled in bytes.
inline bool is_sentencepiece(const bpe_definition& from) {
  const std::string space(metaspace);
  const bool begins = from.normalizer.size() == 2;
  std::vector<normalizer_step> expected;
  if (begins) expected.emplace_back(prepend{space});
  expected.emplace_back(replace_all{" ", space});
  // Gemma's tokenizer.json cuts behind spaces, of which the normalizer leaves none.
  const std::vector<pretokenizer_step> no_effect{
      split_step{escape_regex(" "), split_behavior::merged_with_previous}};
  return from.normalizer == expected &&
         (from.pretokenizer.empty() || from.pretokenizer == no_effect) && !from.whole_words &&
         from.unknown.byte_fallback &&
         from.decode == decode_rules{replace_all{space, " "}, true, begins ? std::size_t{1} : 0};
}

/// Scores that have the effect of the merges: they fall in the order of the merges. Pieces whose
/// merges are interleaved had the same score, as in Gemma's files. Throws config_error where scores
/// cannot have this effect: SentencePiece joins every two pieces that are a piece together.
inline std::vector<float> scores_of_merges(const bpe_definition& from, std::size_t vocab_size) {
  std::vector<std::string> pieces = from.tokens;
  for (std::string& piece : pieces)
    if (fallback_byte(piece)) piece.clear();
  std::unordered_map<std::string_view, std::size_t> ids;
  for (std::size_t i = 0; i < pieces.size(); ++i) ids.emplace(pieces[i], i);
  std::vector<std::size_t> wholes;               // the piece that each merge gives
  std::vector<std::size_t> last(pieces.size());  // the last merge of each piece
  for (const auto& [left, right] : from.merges) {
    const auto whole =
        ids.find(pieces[static_cast<std::size_t>(left)] + pieces[static_cast<std::size_t>(right)]);
    if (whole == ids.end()) throw config_error("a merge of this tokenizer gives no piece");
    last[whole->second] = wholes.size();
    wholes.push_back(whole->second);
  }
  std::vector<float> scores(vocab_size, -1e6f);
  float score = 0;
  std::size_t end = 0;  // the last merge with the score
  for (std::size_t i = 0; i < wholes.size(); ++i) {
    if (i > end) score -= 1;
    end = std::max(end, last[wholes[i]]);
    scores[wholes[i]] = score;
  }
  auto expected = from.merges;
  auto made = merges_of_scores(pieces, std::span(scores).first(pieces.size()));
  std::ranges::sort(expected);
  std::ranges::sort(made);
  if (made != expected)
    throw config_error("no scores of SentencePiece have the effect of this tokenizer's merges");
  return scores;
}

}  // namespace detail

/// Writes `vocab_size` tokens: those of the tokenizer, then unused ones. Byte-level BPE is written
/// as "gpt2", the BPE of SentencePiece as "llama". Added tokens for which the model has no row are
/// left out. Where `conventions` have no ends, these are recognized by their names. Throws
/// config_error where GGUF cannot say what the tokenizer does.
inline void write_gguf_tokenizer(gguf_writer& file, const bpe_tokenizer& tokenizer,
                                 std::size_t vocab_size, const text_conventions& conventions = {}) {
  const bpe_definition& from = tokenizer.definition();
  const bool of_pieces = detail::is_sentencepiece(from);
  const auto* pre = of_pieces ? nullptr : &detail::gguf_pretokenizer_of(from);
  if (from.tokens.size() > vocab_size)
    throw config_error("the tokenizer has a vocabulary of " + std::to_string(from.tokens.size()) +
                       " tokens, the model " + std::to_string(vocab_size));
  if (from.prefix.size() > 1 || from.suffix.size() > 1)
    throw config_error("GGUF puts one token before a text and one behind it, no more");
  using detail::gguf_token;
  std::vector<std::string> tokens(vocab_size);
  std::vector<std::int32_t> types(vocab_size, static_cast<std::int32_t>(gguf_token::unused));
  const auto put = [&](std::size_t id, std::string text, gguf_token type) {
    if (id >= vocab_size) return;
    tokens[id] = std::move(text);
    types[id] = static_cast<std::int32_t>(type);
  };
  for (std::size_t id = 0; id < vocab_size; ++id)
    if (id >= from.tokens.size() || from.tokens[id].empty())
      tokens[id] = "[PAD" + std::to_string(id) + "]";
    else if (of_pieces)
      put(id, from.tokens[id],
          fallback_byte(from.tokens[id]) ? gguf_token::byte : gguf_token::normal);
    else
      put(id, to_byte_level(from.tokens[id]), gguf_token::normal);
  const auto spelled = [&](std::int32_t id) { return tokens[static_cast<std::size_t>(id)]; };
  std::vector<std::string> merges;
  merges.reserve(from.merges.size());
  for (const auto& [left, right] : from.merges)
    merges.push_back(spelled(left) + " " + spelled(right));
  for (const auto& [id, text] : from.decode_only)
    put(static_cast<std::size_t>(id), text, gguf_token::normal);
  for (const auto& token : from.added) {
    std::string content;  // user-defined tokens are looked for before spaces become visible
    if (of_pieces && !token.special)
      append_replaced(content, token.content, {std::string(metaspace), " "});
    else
      content = token.content;
    put(static_cast<std::size_t>(token.id), std::move(content),
        token.special ? gguf_token::control : gguf_token::user_defined);
  }
  if (const auto unknown = from.unknown.token;
      unknown && static_cast<std::size_t>(*unknown) < vocab_size)
    types[static_cast<std::size_t>(*unknown)] = static_cast<std::int32_t>(gguf_token::unknown);

  file.metadata("tokenizer.ggml.model", of_pieces ? "llama" : "gpt2");
  file.metadata("tokenizer.ggml.pre", of_pieces ? std::string_view("default") : pre->name);
  file.metadata_list("tokenizer.ggml.tokens", tokens);
  file.metadata_list("tokenizer.ggml.token_type", types);
  if (of_pieces) {
    file.metadata_list("tokenizer.ggml.scores", detail::scores_of_merges(from, vocab_size));
    file.metadata("tokenizer.ggml.add_space_prefix", from.normalizer.size() == 2);
    if (from.unknown.token)
      file.metadata("tokenizer.ggml.unknown_token_id",
                    static_cast<std::uint32_t>(*from.unknown.token));
  } else {
    file.metadata_list("tokenizer.ggml.merges", merges);
  }
  file.metadata("tokenizer.ggml.add_bos_token", !from.prefix.empty());
  file.metadata("tokenizer.ggml.add_eos_token", !from.suffix.empty());
  detail::write_gguf_ends(file, tokenizer, vocab_size, conventions);
  if (!conventions.chat_template.empty())
    file.metadata("tokenizer.chat_template", conventions.chat_template);
}

}  // namespace tern::inline TERN_ABI
