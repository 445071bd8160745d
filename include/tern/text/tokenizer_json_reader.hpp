// Turns the parsed form of a Hugging Face tokenizer.json into a bpe_definition: vocabulary, merges
// and added tokens of a BPE model, and its other components. An unknown component is refused by
// name.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/string_map.hpp"
#include "tern/text/tokenizer_json_ends.hpp"
#include "tern/text/tokenizer_json_steps.hpp"

namespace tern::inline TERN_ABI::detail {

/// An added token of this id from an entry such as {"content": "<|endoftext|>", "special": true}.
inline added_token read_added_token(const json_fields& f, std::int32_t id) {
  return {f.get<std::string>("content"),        id,
          f.get_or<bool>("special", false),     f.get_or<bool>("normalized", true),
          f.get_or<bool>("single_word", false), f.get_or<bool>("lstrip", false),
          f.get_or<bool>("rstrip", false)};
}

/// Turns the parsed file into a bpe_definition. Throws format_error or config_error. `notes` gets a
/// sentence for each added token that is listed twice or whose id is another token's.
class tokenizer_json_reader {
 public:
  tokenizer_json_reader(std::string file, std::vector<std::string>& notes)
      : file_(std::move(file)), notes_(notes) {}

  /// `more`: added tokens of other files. Those that the file lists are left out.
  bpe_definition read(const nlohmann::json& file, std::span<const added_token> more = {}) {
    if (!file.is_object()) fail("expected an object");
    const auto& model = member(file, "model");
    // Files of old versions have no type; of the models that there are, only BPE has merges.
    const bool untyped = model.is_object() && !model.contains("type") && model.contains("merges");
    if (!untyped && type_of(model) != "BPE")
      fail("model: expected type BPE, got " + type_of(model));
    made_.normalizer = read_normalizer(member(file, "normalizer"), file_);
    made_.pretokenizer = read_pre_tokenizer(member(file, "pre_tokenizer"), file_);
    byte_level_ = !made_.pretokenizer.empty() &&
                  std::holds_alternative<byte_level_step>(made_.pretokenizer.back());
    made_.decode = read_decoder(member(file, "decoder"), file_, byte_level_);
    read_post_processor(member(file, "post_processor"), file_, made_);
    if (!member(file, "added_tokens").is_null()) read_added(json_fields(file, file_));
    const std::size_t listed = made_.added.size();
    for (const added_token& token : more)
      if (!token.content.empty() && added_ids_.emplace(token.content, token.id).second)
        made_.added.push_back(token);
    read_vocabulary(member(model, "vocab"), listed);
    settle_added(listed);
    read_model_options(json_fields(model, file_, "model."));
    read_merges(member(model, "merges"));
    return std::move(made_);
  }

 private:
  using json = nlohmann::json;

  [[noreturn]] void fail(const std::string& what) const { throw format_error(file_ + ": " + what); }

  /// A member of the object, or null if it is absent.
  static const json& member(const json& object, const char* key) {
    static const json null;
    const auto at = object.find(key);
    return at == object.end() ? null : *at;
  }

  static std::string type_of(const json& part) {
    const auto& type = member(part, "type");
    return type.is_string() ? type.get<std::string>() : part.is_null() ? "null" : "(none)";
  }

  /// Reads the list of added tokens. As in Hugging Face's library, one without content is left
  /// out, and of several with the same content the first counts.
  void read_added(const json_fields& file) {
    for (const json_fields& f : file.objects("added_tokens")) {
      const auto number = f.get<std::uint32_t>("id");
      if (number >= max_id) f.fail("id", "a token id", std::to_string(number));
      added_token token = read_added_token(f, static_cast<std::int32_t>(number));
      if (token.content.empty()) {
        note("an added token with the id " + std::to_string(token.id) +
             " is empty; it is left out");
        continue;
      }
      const auto [first, fresh] = added_ids_.emplace(token.content, token.id);
      if (fresh)
        made_.added.push_back(std::move(token));
      else if (first->second != token.id)
        note("added token \"" + token.content + "\" stands twice; its first id, " +
             std::to_string(first->second) + ", counts");
    }
  }

  /// Gives each added token an id of its own. As in Hugging Face's library, the vocabulary's id
  /// counts for a token that also stands there, and a token whose id is taken gets the next free
  /// one. Tokens behind the first `own` ones come from other files; they always get the next one.
  void settle_added(std::size_t own) {
    std::unordered_set<std::int32_t> taken;
    auto end = static_cast<std::int32_t>(taken_.size());
    for (std::size_t i = 0; i < made_.added.size(); ++i) {
      added_token& token = made_.added[i];
      const std::int32_t listed = token.id;
      const auto at = static_cast<std::size_t>(listed);
      if (const auto known = ids_.find(token.content); known != ids_.end())
        token.id = known->second;
      else if (i >= own || (at < taken_.size() && taken_[at]) || taken.contains(listed))
        token.id = end;
      taken.insert(token.id);
      end = std::max(end, token.id + 1);
      if (token.id != listed)
        note("added token \"" + token.content + "\" has the id " + std::to_string(listed) +
             ", which is not its own; it is read as " + std::to_string(token.id));
    }
  }

  void read_model_options(const json_fields& model) {
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (const auto text = model.get_or<std::string>(affix, ""); !text.empty())
        model.fail(affix, "null or \"\"", '"' + text + '"');
    if (model.get_or<double>("dropout", 0) != 0) model.fail("dropout", "null or 0", "more");
    made_.whole_words = model.get_or<bool>("ignore_merges", false);
    made_.unknown.fuse = model.get_or<bool>("fuse_unk", false);
    made_.unknown.byte_fallback = model.get_or<bool>("byte_fallback", false);
    if (made_.unknown.byte_fallback && byte_level_)
      model.fail("byte_fallback", "false behind a ByteLevel pre_tokenizer", "true");
    if (const auto text = model.get_or<std::string>("unk_token", ""); !text.empty()) {
      const auto found = ids_.find(text);
      if (found == ids_.end()) model.fail("unk_token", "a token of the vocabulary", text);
      made_.unknown.token = found->second;
    }
  }

  std::int32_t id(const json& value) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= max_id)
      fail("expected a token id, got " + value.dump());
    return value.get<std::int32_t>();
  }

  /// Merges may give an entry that only other files add, behind the first `own` added tokens.
  void read_vocabulary(const json& vocabulary, std::size_t own) {
    if (!vocabulary.is_object() || vocabulary.empty()) fail("model.vocab: expected an object");
    string_map<bool> added;  // whether the token is special
    for (const auto& token : std::span(made_.added).first(own))
      added.emplace(token.content, token.special);
    ids_.reserve(vocabulary.size());
    for (const auto& [text, value] : vocabulary.items()) {
      const auto at = static_cast<std::size_t>(id(value));
      if (at >= made_.tokens.size()) {
        made_.tokens.resize(at + 1);
        taken_.resize(at + 1);
      }
      if (taken_[at])
        fail("model.vocab: \"" + text + "\" and another token share an id: " + std::to_string(at));
      taken_[at] = true;
      ids_.emplace(text, id(value));
      const auto entry = added.find(text);
      if (entry != added.end() && entry->second) continue;  // no merge gives it
      if (auto bytes = byte_level_ ? from_byte_level(text) : std::optional(text))
        made_.tokens[at] = std::move(*bytes);
      else if (entry == added.end() && unspelled_.insert(id(value)).second)
        made_.decode_only.emplace_back(id(value), text);
    }
  }

  void read_merges(const json& merges) {
    if (!merges.is_array()) fail("model.merges: expected an array");
    made_.merges.reserve(merges.size());
    std::size_t number = 0;
    for (const auto& merge : merges) {
      const auto where = [at = number++] { return "model.merges[" + std::to_string(at) + "]: "; };
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
      const std::pair sides(side(left), side(right));
      const auto spelled = [&](std::int32_t id) { return !unspelled_.contains(id); };
      if (spelled(sides.first) && spelled(sides.second)) made_.merges.push_back(sides);
    }
  }

  static constexpr std::uint64_t max_id = 1u << 22;  // a wrong id must not take all memory
  void note(const std::string& what) const { notes_.push_back(file_ + ": " + what); }

  std::string file_;
  std::vector<std::string>& notes_;
  bpe_definition made_;
  bool byte_level_ = false;
  std::unordered_set<std::int32_t>
      unspelled_;                       // entries that no byte spells; no merge reaches them
  std::vector<bool> taken_;             // whether the vocabulary uses an id
  string_map<std::int32_t> added_ids_;  // keys are the contents of added tokens
  string_map<std::int32_t> ids_;        // keys are spelled as in the file
};

}  // namespace tern::inline TERN_ABI::detail
