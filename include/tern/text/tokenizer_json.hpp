// bpe_tokenizer::load and ::save: Hugging Face tokenizer.json of byte-level BPE tokenizers. Apart
// from the tokenizer itself, because it pays for a JSON library.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/json.hpp"
#include "tern/text/tokenizer_json_reader.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline nlohmann::ordered_json byte_level_json() {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", false}};
}

inline nlohmann::ordered_json pre_tokenizer_json(const std::string& pattern) {
  if (pattern.empty()) return byte_level_json();
  return {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"},
             {"pattern", {{"Regex", pattern}}},
             {"behavior", "Isolated"},
             {"invert", false}},
            byte_level_json()}}};
}

inline nlohmann::ordered_json added_tokens_json(const bpe_definition& from) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& token : from.added)
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  return list;
}

inline nlohmann::ordered_json model_json(const bpe_definition& from) {
  using json = nlohmann::ordered_json;
  std::vector<std::string> spelled(from.tokens.size());
  for (std::size_t id = 0; id < spelled.size(); ++id) spelled[id] = to_byte_level(from.tokens[id]);
  for (const auto& token : from.added) {
    const auto id = static_cast<std::size_t>(token.id);
    if (id < spelled.size() && spelled[id].empty()) spelled[id] = token.content;
  }
  json::object_t vocabulary;
  json::object_t::Container& in_order = vocabulary;  // without its linear search for equal keys
  for (std::size_t id = 0; id < spelled.size(); ++id)
    if (!spelled[id].empty()) in_order.emplace_back(spelled[id], id);
  json::array_t merges;
  for (const auto& [left, right] : from.merges)
    merges.emplace_back(spelled[static_cast<std::size_t>(left)] + ' ' +
                        spelled[static_cast<std::size_t>(right)]);
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", ""},
          {"end_of_word_suffix", ""},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", from.whole_words},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace detail

/// Reads NFC or no normalizer, ByteLevel alone or after one Split, and a BPE model; merges may be
/// `"a b"` or `["a", "b"]`. Post-processor, truncation and padding are not read: encode() adds
/// nothing. Throws io_error if the file cannot be read, format_error or config_error naming it if
/// it is not JSON, contradicts itself or asks for what is not supported.
inline bpe_tokenizer bpe_tokenizer::load(const std::filesystem::path& path) {
  auto definition = detail::tokenizer_json_reader(path.string()).read(read_json(path));
  try {
    return bpe_tokenizer(std::move(definition));
  } catch (const config_error& e) {
    throw format_error(path.string() + ": " + e.what());
  }
}

/// Writes the file atomically. Throws io_error.
inline void bpe_tokenizer::save(const std::filesystem::path& path) const {
  const auto& from = definition();
  const auto normalizer =
      from.nfc ? nlohmann::ordered_json{{"type", "NFC"}} : nlohmann::ordered_json();
  const nlohmann::ordered_json file = {{"version", "1.0"},
                                       {"truncation", nullptr},
                                       {"padding", nullptr},
                                       {"added_tokens", detail::added_tokens_json(from)},
                                       {"normalizer", normalizer},
                                       {"pre_tokenizer", detail::pre_tokenizer_json(from.pattern)},
                                       {"post_processor", nullptr},
                                       {"decoder", detail::byte_level_json()},
                                       {"model", detail::model_json(from)}};
  write_file(path, file.dump(1) + '\n');
}

}  // namespace tern::inline TERN_ABI
