// The tokenizer inside a GGUF file, in the keys "tokenizer.ggml...". Two models are read:
// byte-level BPE
// ("gpt2") and the BPE of SentencePiece ("llama": Llama 2, Mistral, Gemma).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/utf8.hpp"
#include "tern/gguf/metadata.hpp"
#include "tern/text/bpe_symbols.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/sentencepiece.hpp"
#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The steps that a value of `tokenizer.ggml.pre` stands for: some splits, one after another. The
/// file does not say whether text is normalized and whether whole words are kept; the values here
/// are those of the tokenizer.json that such models come with. So is `add_bos`, for files that do
/// not say it.
struct gguf_pretokenizer {
  std::string_view name;
  std::array<std::string_view, 4> splits;  // unused ones are empty
  bool nfc = false, whole_words = false, add_bos = false;

  [[nodiscard]] std::vector<pretokenizer_step> steps() const {
    std::vector<pretokenizer_step> all;
    for (const std::string_view split : splits)
      if (!split.empty()) all.emplace_back(split_step{std::string(split)});
    all.emplace_back(byte_level_step{});
    return all;
  }
};

/// "default" is how llama.cpp cuts text where a file names nothing.
inline constexpr std::array gguf_pretokenizers = {
    gguf_pretokenizer{"gpt-2", {gpt2_pattern}},
    gguf_pretokenizer{"smollm", {R"(\p{N})", gpt2_pattern}},
    gguf_pretokenizer{"qwen2", {qwen2_pattern}, true},
    gguf_pretokenizer{"deepseek-r1-qwen", {qwen2_pattern}, true},
    gguf_pretokenizer{"llama-bpe", {llama3_pattern}, false, true, true},
    gguf_pretokenizer{"llama3", {llama3_pattern}, false, true, true},
    gguf_pretokenizer{"falcon3", {llama3_pattern}, false, true, true},
    gguf_pretokenizer{"default",
                      {R"([\p{P}\$\+<=>\^~\|]+)",
                       R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))",
                       R"(\p{N}+)", "[0-9][0-9][0-9]"}},
};

/// What a file that has no `tokenizer.ggml.pre` most probably means: Qwen's split for Qwen's
/// architectures, Llama 3's for its vocabulary, which BitNet b1.58 2B4T has, too, and else
/// llama.cpp's default.
inline std::string_view guessed_pretokenizer(const gguf_metadata& from,
                                             const std::vector<std::string_view>& tokens) {
  const auto architecture = from.get_or<std::string_view>("general.architecture", "");
  if (architecture.starts_with("qwen")) return "qwen2";
  return std::ranges::count(tokens, "<|begin_of_text|>") != 0 ? "llama-bpe" : "default";
}

enum class gguf_token : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

class gguf_tokenizer_reader {
 public:
  gguf_tokenizer_reader(const gguf_metadata& from, std::vector<std::string>& notes)
      : from_(&from), notes_(&notes) {}

  bpe_definition read() {
    const auto model = from_->get<std::string>("tokenizer.ggml.model");
    if (model == "llama") {
      byte_level_ = false;
      set_sentencepiece();
      read_tokens();
      read_scores();
    } else if (model == "gpt2") {
      read_pre();
      read_tokens();
      read_merges();
    } else {
      from_->fail("tokenizer.ggml.model",
                  "expected gpt2 (byte-level BPE) or llama (SentencePiece), got " + model);
    }
    return std::move(made_);
  }

 private:
  static constexpr std::string_view pre_key = "tokenizer.ggml.pre",
                                    tokens_key = "tokenizer.ggml.tokens",
                                    types_key = "tokenizer.ggml.token_type",
                                    merges_key = "tokenizer.ggml.merges",
                                    scores_key = "tokenizer.ggml.scores";

  void read_pre() {
    const bool given = from_->contains(pre_key);
    const std::string name(
        given ? from_->get<std::string_view>(pre_key)
              : guessed_pretokenizer(*from_, from_->list<std::string_view>(tokens_key)));
    if (!given)
      notes_->push_back(from_->file() + ": key '" + std::string(pre_key) +
                        "' is missing; text is cut as for \"" + name + "\", which is a guess");
    std::string known;
    for (const auto& pre : gguf_pretokenizers) {
      known.append(known.empty() ? "expected one of " : ", ").append(pre.name);
      if (pre.name != name) continue;
      if (!pre.nfc) made_.normalizer.clear();
      made_.pretokenizer = pre.steps();
      made_.whole_words = pre.whole_words;
      add_special("bos", pre.add_bos, made_.prefix);
      add_special("eos", false, made_.suffix);
      return;
    }
    from_->fail(pre_key, known + ", got " + name);
  }

  void set_sentencepiece() {
    const std::string space(metaspace);
    const bool prefix = from_->get_or<bool>("tokenizer.ggml.add_space_prefix", true);
    made_.normalizer.clear();
    if (prefix) made_.normalizer.emplace_back(prepend{space});
    made_.normalizer.emplace_back(replace_all{" ", space});
    made_.pretokenizer.clear();
    made_.decode = {replace_all{space, " "}, true, prefix ? std::size_t{1} : 0};
    made_.unknown.byte_fallback = true;
    add_special("bos", true, made_.prefix);
    add_special("eos", false, made_.suffix);
  }

  void add_special(const std::string& which, bool by_default, std::vector<std::int32_t>& to) const {
    const std::string key = "tokenizer.ggml.";
    if (from_->get_or<bool>(key + "add_" + which + "_token", by_default))
      to.push_back(from_->get<std::int32_t>(key + which + "_token_id"));
  }

  /// The type of each token. Where the file has no types, the tokens that it names as ends, say,
  /// are control tokens.
  [[nodiscard]] std::vector<std::int32_t> token_types(std::size_t count) const {
    if (from_->contains(types_key)) {
      auto types = from_->list<std::int32_t>(types_key);
      if (types.size() != count)
        from_->fail(types_key, "expected as many as there are tokens, " + std::to_string(count) +
                                   ", got " + std::to_string(types.size()));
      return types;
    }
    std::vector<std::int32_t> types(count, static_cast<std::int32_t>(gguf_token::normal));
    for (const gguf_value& value : from_->values())
      if (value.key.starts_with("tokenizer.ggml.") && value.key.ends_with("_token_id"))
        if (const auto id = from_->get<std::uint32_t>(value.key); id < count)
          types[id] = static_cast<std::int32_t>(gguf_token::control);
    return types;
  }

  /// Reads the tokens. As in llama.cpp, the last of several with the same text is the one that a
  /// text gets. Byte-level entries that no byte spells are never reached.
  void read_tokens() {
    const auto texts = from_->list<std::string_view>(tokens_key);
    const auto types = token_types(texts.size());
    made_.tokens.resize(texts.size());
    ids_.reserve(texts.size());
    string_map<std::size_t> added;  // places in made_.added by content
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto id = static_cast<std::int32_t>(i);
      const auto fail = [&](const std::string& what) {
        from_->fail(tokens_key, "token " + std::to_string(i) + " " + what);
      };
      if (find_invalid_utf8(texts[i]) != texts[i].size()) fail("is not UTF-8");
      if (texts[i].empty()) continue;
      switch (static_cast<gguf_token>(types[i])) {
        case gguf_token::unused:
          continue;
        case gguf_token::unknown:
        case gguf_token::control:
        case gguf_token::user_defined: {
          const auto [before, fresh] = added.emplace(texts[i], made_.added.size());
          if (fresh) {
            made_.added.push_back({std::string(texts[i]), id,
                                   types[i] != static_cast<int>(gguf_token::user_defined)});
          } else {
            std::int32_t& used = made_.added[before->second].id;
            made_.decode_only.emplace_back(std::exchange(used, id), texts[i]);
          }
          continue;
        }
        case gguf_token::normal:
          break;
        case gguf_token::byte:
          if (!byte_level_ && fallback_byte(texts[i])) break;
          [[fallthrough]];
        default:
          fail("'" + std::string(texts[i]) + "' has type " + std::to_string(types[i]) +
               ", which this kind of tokenizer does not have");
      }
      auto bytes = byte_level_ ? from_byte_level(texts[i]) : std::string(texts[i]);
      const auto [before, fresh] = ids_.emplace(texts[i], id);
      if (!bytes) {
        made_.decode_only.emplace_back(id, texts[i]);
        continue;
      }
      if (!fresh) {
        const std::int32_t used = std::exchange(before->second, id);
        made_.tokens[static_cast<std::size_t>(used)].clear();
        made_.decode_only.emplace_back(used, texts[i]);
      }
      made_.tokens[i] = std::move(*bytes);
    }
    if (!byte_level_)
      for (std::size_t i = 0; i < types.size() && !made_.unknown.token; ++i)
        if (static_cast<gguf_token>(types[i]) == gguf_token::unknown)
          made_.unknown.token = static_cast<std::int32_t>(i);
  }

  void read_scores() {
    const auto scores = from_->list<float>(scores_key);
    if (scores.size() != made_.tokens.size())
      from_->fail(scores_key, "expected as many as there are tokens, " +
                                  std::to_string(made_.tokens.size()) + ", got " +
                                  std::to_string(scores.size()));
    for (const float score : scores)
      if (!is_finite(score)) from_->fail(scores_key, "expected finite numbers");
    auto pieces =
        made_.tokens;  // tokens that take part in merges; those that stand for a byte do not
    for (std::string& piece : pieces)
      if (fallback_byte(piece)) piece.clear();
    made_.merges = merges_of_scores(pieces, scores);
  }

  void read_merges() {
    const auto merges = from_->list<std::string_view>(merges_key);
    made_.merges.reserve(merges.size());
    std::size_t number = 0;
    for (const auto merge : merges) {
      const std::size_t space = merge.find(' ');
      const auto left = ids_.find(merge.substr(0, space));
      const auto right = ids_.find(space == merge.npos ? "" : merge.substr(space + 1));
      if (left == ids_.end() || right == ids_.end())
        from_->fail(merges_key, "merge " + std::to_string(number) +
                                    " is not two tokens with a space between them");
      const auto spelled = [&](std::int32_t id) {
        return !made_.tokens[static_cast<std::size_t>(id)].empty();
      };
      ++number;
      if (spelled(left->second) && spelled(right->second))
        made_.merges.emplace_back(left->second, right->second);
    }
  }

  const gguf_metadata* from_;
  std::vector<std::string>* notes_;
  bpe_definition made_;
  bool byte_level_ = true;
  string_map<std::int32_t> ids_;  // ids of tokens by their spelling in the file
};

}  // namespace detail

/// The tokenizer of a GGUF file, with the BOS and EOS that special_tokens::add puts around a text.
/// `notes` gets a sentence where the file does not say how text is cut, and that is guessed. Throws
/// format_error naming file and key where the tokenizer is of another kind or contradicts itself.
inline bpe_tokenizer read_gguf_tokenizer(const gguf_metadata& metadata,
                                         std::vector<std::string>* notes = nullptr) {
  std::vector<std::string> unread;
  auto definition =
      detail::gguf_tokenizer_reader(metadata, notes == nullptr ? unread : *notes).read();
  try {
    return bpe_tokenizer(std::move(definition));
  } catch (const config_error& e) {
    metadata.fail("tokenizer.ggml", e.what());
  }
}

}  // namespace tern::inline TERN_ABI
