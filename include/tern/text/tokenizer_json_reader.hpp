// The parsed form of a Hugging Face tokenizer.json to a bpe_definition: NFC or no normalizer, the
// ByteLevel pre-tokenizer alone or after one Split, a BPE model; all else is refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/json.hpp"
#include "tern/text/string_map.hpp"

namespace tern::inline TERN_ABI::detail {

/// Turns the parsed file into a bpe_definition; throws format_error or config_error.
class tokenizer_json_reader {
 public:
  explicit tokenizer_json_reader(std::string file) : file_(std::move(file)) {}

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

  [[noreturn]] void fail(const std::string& what) const { throw format_error(file_ + ": " + what); }

  /// A member that may be absent: then null.
  static const json& member(const json& object, const char* key) {
    static const json null;
    const auto at = object.find(key);
    return at == object.end() ? null : *at;
  }

  static bool is_list(const json& value, std::size_t size) {
    return value.is_array() && value.size() == size;
  }

  static std::string type_of(const json& part) {
    const auto& type = member(part, "type");
    return type.is_string() ? type.get<std::string>() : part.is_null() ? "null" : "(none)";
  }

  static bool is_set(const json& flag) {
    return !flag.is_null() && flag != json(false) && flag != json("");
  }

  void read_normalizer(const json& part) {
    const auto& steps = member(part, "normalizers");
    const json& only = type_of(part) == "Sequence" && is_list(steps, 1) ? steps[0] : part;
    made_.nfc = !only.is_null();
    if (made_.nfc && type_of(only) != "NFC")
      fail("normalizer: expected NFC or null, got " + type_of(only));
  }

  void read_pre_tokenizer(const json& part) {
    const auto& steps = member(part, "pretokenizers");
    const bool split_first = type_of(part) == "Sequence" && is_list(steps, 2);
    const json& last = split_first ? steps[1] : part;
    if (type_of(last) != "ByteLevel")
      fail("pre_tokenizer: expected ByteLevel or a Sequence of Split and ByteLevel, got " +
           type_of(part));
    const json_fields fields(last, file_, "pre_tokenizer.");
    const bool own_regex = fields.get_or<bool>("use_regex", true);
    if (fields.get_or<bool>("add_prefix_space", true))
      fields.fail("add_prefix_space", "false", "true");
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
    if (!list.is_array() && !list.is_null()) fail("added_tokens: expected a list of objects");
    for (const auto& entry : list) {
      if (!entry.is_object()) fail("added_tokens: expected a list of objects");
      const json_fields fields(entry, file_,
                               "added_tokens[" + std::to_string(made_.added.size()) + "].");
      for (const char* flag : {"lstrip", "rstrip", "single_word"})
        if (fields.get_or<bool>(flag, false)) fields.fail(flag, "false", "true");
      made_.added.push_back({fields.get<std::string>("content"), id(member(entry, "id")),
                             fields.get_or<bool>("special", false),
                             fields.get_or<bool>("normalized", true)});
    }
  }

  void read_model_options(const json& model) {
    if (type_of(model) != "BPE") fail("model: expected type BPE, got " + type_of(model));
    for (const char* flag : {"byte_fallback", "continuing_subword_prefix", "end_of_word_suffix"})
      if (is_set(member(model, flag))) fail(std::string("model: ") + flag + " is not supported");
    made_.whole_words = json_fields(model, file_, "model.").get_or<bool>("ignore_merges", false);
  }

  std::int32_t id(const json& value) const {
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

  static constexpr std::uint64_t max_id = 1u << 22;  // a wrong id must not claim all memory
  std::string file_;
  bpe_definition made_;
  string_map<std::int32_t> ids_;  // by byte-level spelling
};

}  // namespace tern::inline TERN_ABI::detail
