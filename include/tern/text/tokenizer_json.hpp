// load() and save() of bpe_tokenizer, which read and write Hugging Face's tokenizer.json. They are
// apart from the tokenizer itself because they need a JSON library.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/tokenizer_json_ends.hpp"
#include "tern/text/tokenizer_json_reader.hpp"
#include "tern/text/tokenizer_json_steps.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline json_object added_tokens_json(const bpe_definition& from) {
  auto list = json_object::array();
  for (const auto& token : from.added)
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

/// The spelling of each id's token in the file.
inline std::vector<std::string> spelled_tokens(const bpe_definition& from, bool of_bytes) {
  std::vector<std::string> spelled = from.tokens;
  if (of_bytes)
    for (std::string& token : spelled) token = to_byte_level(token);
  for (const auto& token : from.added) {
    const auto id = static_cast<std::size_t>(token.id);
    if (id >= spelled.size()) spelled.resize(id + 1);
    if (spelled[id].empty()) spelled[id] = token.content;
  }
  for (const auto& [id, text] : from.decode_only) {
    const auto at = static_cast<std::size_t>(id);
    if (at >= spelled.size()) spelled.resize(at + 1);
    spelled[at] = text;
  }
  return spelled;
}

/// Merges are written as `"a b"`, which every version of the format has, unless a token may contain
/// a space.
inline json_object merges_json(const bpe_definition& from, const std::vector<std::string>& spelled,
                               bool of_bytes) {
  json_object::array_t merges;
  for (const auto& [left, right] : from.merges) {
    const std::string& a = spelled[static_cast<std::size_t>(left)];
    const std::string& b = spelled[static_cast<std::size_t>(right)];
    merges.push_back(of_bytes ? json_object(a + ' ' + b) : json_object::array({a, b}));
  }
  return merges;
}

inline json_object model_json(const bpe_definition& from, const std::vector<std::string>& spelled,
                              bool of_bytes) {
  using json = json_object;
  json::object_t vocabulary;
  // This base class does not search for equal keys, which takes linear time.
  json::object_t::Container& in_order = vocabulary;
  std::unordered_set<std::string_view> written;
  for (std::size_t id = 0; id < from.tokens.size(); ++id)
    if (!spelled[id].empty() && written.insert(spelled[id]).second)
      in_order.emplace_back(spelled[id], id);
  for (const auto& [id, text] : from.decode_only)  // a key cannot stand twice
    if (written.insert(text).second) in_order.emplace_back(text, id);
  const json unk =
      from.unknown.token ? json(spelled[static_cast<std::size_t>(*from.unknown.token)]) : json();
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unk},
          {"continuing_subword_prefix", ""},
          {"end_of_word_suffix", ""},
          {"fuse_unk", from.unknown.fuse},
          {"byte_fallback", from.unknown.byte_fallback},
          {"ignore_merges", from.whole_words},
          {"vocab", std::move(vocabulary)},
          {"merges", merges_json(from, spelled, of_bytes)}};
}

}  // namespace detail

/// Reads a BPE model of bytes or of characters, with the components that docs/formats.md lists.
/// Merges may be written as `"a b"` or `["a", "b"]`. Truncation and padding are not read. Throws
/// io_error if the file cannot be read, and format_error or config_error naming the file if it is
/// not JSON, contradicts itself or needs a component that is not supported.
inline bpe_tokenizer bpe_tokenizer::load(const std::filesystem::path& path,
                                         std::vector<std::string>* notes,
                                         std::span<const added_token> more) {
  std::vector<std::string> unread;
  auto definition = detail::tokenizer_json_reader(path.string(), notes == nullptr ? unread : *notes)
                        .read(read_json(path), more);
  try {
    return bpe_tokenizer(std::move(definition));
  } catch (const config_error& e) {
    throw format_error(path.string() + ": " + e.what());
  }
}

/// Writes the file atomically. Throws io_error.
inline void bpe_tokenizer::save(const std::filesystem::path& path) const {
  const auto& from = definition();
  const bool of_bytes = model_->split().byte_level();
  const auto spelled = detail::spelled_tokens(from, of_bytes);
  const detail::json_object file = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", detail::added_tokens_json(from)},
      {"normalizer", detail::steps_json("normalizers", from.normalizer)},
      {"pre_tokenizer", detail::steps_json("pretokenizers", from.pretokenizer)},
      {"post_processor", detail::post_processor_json(from, spelled)},
      {"decoder", detail::decoder_json(from.decode, of_bytes)},
      {"model", detail::model_json(from, spelled, of_bytes)}};
  write_file(path, json_text(file, path.string(), 1) + '\n');
}

}  // namespace tern::inline TERN_ABI
