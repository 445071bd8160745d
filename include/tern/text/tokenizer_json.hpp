// Hugging Face tokenizer.json of byte-level BPE tokenizers, in and out: the only text header that
// pays for a JSON library. Layout: https://huggingface.co/docs/tokenizers
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/text/atomic_write.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Turns the parsed file into a bpe_definition; throws format_error without the file's name.
class tokenizer_json_reader {
 public:
  bpe_definition read(const nlohmann::json& file) {
    if (!file.is_object()) fail("expected an object");
    read_normalizer(member(file, "normalizer"));
    read_pre_tokenizer(member(file, "pre_tokenizer"));
    read_added(member(file, "added_tokens"));
    const auto& model = member(file, "model");
    read_model_options(model);
    read_vocabulary(member(model, "vocab"));
    read_merges(member(model, "merges"));
    return std::move(made_);
  }

 private:
  using json = nlohmann::json;

  [[noreturn]] static void fail(const std::string& what) { throw format_error(what); }

  /// A member that may be absent: then null.
  static const json& member(const json& object, const char* key) {
    static const json null;
    const auto at = object.find(key);
    return at == object.end() ? null : *at;
  }

  static std::string type_of(const json& part) {
    const auto& type = member(part, "type");
    return type.is_string() ? type.get<std::string>() : part.is_null() ? "null" : "(none)";
  }

  static bool is_set(const json& flag) {
    return !flag.is_null() && flag != json(false) && flag != json("");
  }

  void read_normalizer(const json& part) {
    made_.nfc = !part.is_null();
    const auto& steps = member(part, "normalizers");
    if (type_of(part) == "Sequence" && steps.size() == 1) return read_normalizer(steps[0]);
    if (made_.nfc && type_of(part) != "NFC")
      fail("normalizer: expected NFC or null, got " + type_of(part));
  }

  void read_pre_tokenizer(const json& part) {
    const auto& steps = member(part, "pretokenizers");
    const bool split_first = type_of(part) == "Sequence" && steps.size() == 2;
    const json& last = split_first ? steps[1] : part;
    if (type_of(last) != "ByteLevel")
      fail("pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, got " +
           type_of(part));
    const bool own_regex = last.value("use_regex", true);
    if (last.value("add_prefix_space", true))
      fail("pre_tokenizer: add_prefix_space must be false, true is not supported");
    made_.pattern = own_regex ? gpt2_pattern : "";
    if (!split_first) return;
    const auto& regex = member(member(steps[0], "pattern"), "Regex");
    if (type_of(steps[0]) != "Split" || !regex.is_string() ||
        member(steps[0], "behavior") != json("Isolated") || own_regex)
      fail(
          "pre_tokenizer: expected Split by a Regex with behavior Isolated, then ByteLevel with "
          "use_regex false");
    made_.pattern = regex.get<std::string>();
  }

  void read_added(const json& list) {
    for (const auto& entry : list) {
      for (const char* flag : {"lstrip", "rstrip", "single_word"})
        if (is_set(member(entry, flag)))
          fail("added token " + entry.at("content").dump() + ": " + flag + " is not supported");
      made_.added.push_back({entry.at("content").get<std::string>(), id(entry.at("id")),
                             entry.value("special", false), entry.value("normalized", true)});
    }
  }

  void read_model_options(const json& model) {
    if (type_of(model) != "BPE") fail("model: expected type BPE, got " + type_of(model));
    for (const char* flag : {"byte_fallback", "continuing_subword_prefix", "end_of_word_suffix"})
      if (is_set(member(model, flag))) fail(std::string("model: ") + flag + " is not supported");
    made_.whole_words = model.value("ignore_merges", false);
  }

  static std::int32_t id(const json& value) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= max_id)
      fail("expected a token id, got " + value.dump());
    return value.get<std::int32_t>();
  }

  void read_vocabulary(const json& vocabulary) {
    if (!vocabulary.is_object() || vocabulary.empty()) fail("model.vocab: expected an object");
    string_map<const added_token*> added;
    for (const auto& token : made_.added) added.emplace(token.content, &token);
    ids_.reserve(vocabulary.size());
    std::vector<bool> taken;
    for (const auto& [text, value] : vocabulary.items()) {
      const auto at = static_cast<std::size_t>(id(value));
      if (at >= made_.tokens.size()) {
        made_.tokens.resize(at + 1);
        taken.resize(at + 1);
      }
      const auto entry = added.find(text);
      if (taken[at] || (entry != added.end() && entry->second->id != id(value)))
        fail("model.vocab: \"" + text +
             "\" and another token share an id or have one each: " + std::to_string(at));
      taken[at] = true;
      ids_.emplace(text, id(value));
      if (entry != added.end() && entry->second->special) continue;  // no merge makes it
      if (auto bytes = from_byte_level(text))
        made_.tokens[at] = std::move(*bytes);
      else if (entry == added.end())
        fail("model.vocab: \"" + text + "\" is not spelled in byte-level characters");
    }
  }

  void read_merges(const json& merges) {
    if (!merges.is_array()) fail("model.merges: expected an array");
    made_.merges.reserve(merges.size());
    for (const auto& merge : merges) {
      const auto where = [&] {
        return "model.merges[" + std::to_string(made_.merges.size()) + "]: ";
      };
      std::string_view left, right;
      if (merge.is_string()) {
        const std::string_view both = merge.get_ref<const std::string&>();
        const std::size_t space = both.find(' ');
        left = both.substr(0, space);
        right = space == both.npos ? "" : both.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
                 merge[1].is_string()) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      } else {
        fail(where() + "expected \"a b\" or [\"a\", \"b\"], got " + merge.dump());
      }
      const auto side = [&](std::string_view text) {
        const auto found = ids_.find(text);
        if (found == ids_.end()) fail(where() + "unknown token \"" + std::string(text) + "\"");
        return found->second;
      };
      made_.merges.emplace_back(side(left), side(right));
    }
  }

  static constexpr std::uint64_t max_id = 1u << 28;  // a wrong id must not claim all memory
  bpe_definition made_;
  string_map<std::int32_t> ids_;  // by byte-level spelling
};

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
/// nothing. Throws io_error if the file cannot be read, format_error naming it if it is not JSON,
/// contradicts itself or asks for what is not supported.
inline bpe_tokenizer bpe_tokenizer::load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw io_error(path.string() + ": cannot open the tokenizer file");
  try {
    const auto json = nlohmann::json::parse(file);
    return bpe_tokenizer(detail::tokenizer_json_reader().read(json));
  } catch (const std::ios_base::failure&) {  // thrown for a directory
    throw io_error(path.string() + ": cannot read the tokenizer file");
  } catch (const nlohmann::json::parse_error& e) {
    throw format_error(path.string() + ": expected JSON: " + e.what());
  } catch (const nlohmann::json::exception& e) {
    throw format_error(path.string() + ": expected a tokenizer.json: " + e.what());
  } catch (const error& e) {
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
  detail::write_atomically(path, file.dump(1) + '\n');
}

}  // namespace tern::inline TERN_ABI
