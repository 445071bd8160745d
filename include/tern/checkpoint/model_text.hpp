// What belongs to a model besides its weights and its architecture: the tokenizer, the tokens that
// begin and end texts, the chat template, and the files that say all this to other programs.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/checkpoint/read_conventions.hpp"
#include "tern/checkpoint/read_gguf_conventions.hpp"
#include "tern/core/error.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/gguf/file.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/text/end_tokens.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

/// A tokenizer with the conventions of its model, and what other folders of the model need.
struct model_text {
  std::optional<bpe_tokenizer> tokenizer;  ///< nothing where a model has none
  text_conventions conventions;            ///< tokens that begin and end texts, chat template
  /// Files that stand beside the weights, as name and content. They are copied as they are.
  std::map<std::string, std::string> files;
  /// Members of config.json whose names end with "_token_id".
  nlohmann::json ids = nlohmann::json::object();
  std::vector<std::string> notes;  ///< a sentence for each guess

  /// The tokenizer. Throws config_error where there is none; `model` is named in the message.
  [[nodiscard]] const bpe_tokenizer& required(const std::filesystem::path& model) const {
    if (!tokenizer)
      throw config_error("there is no '" + (model / "tokenizer.json").string() +
                         "'; --tokenizer names a tokenizer at another place");
    return *tokenizer;
  }
};

namespace detail {

/// Files of a folder that are kept beside the weights of every copy of a model.
inline constexpr std::array carried_files{
    "tokenizer.json",           "tokenizer_config.json",
    "special_tokens_map.json",  "added_tokens.json",
    "chat_template.jinja",      "chat_template.json",
    "generation_config.json",   "modules.json",
    "1_Pooling/config.json",    "config_sentence_transformers.json",
    "sentence_bert_config.json"};

/// Those of them that belong to weights, not to a tokenizer.
inline constexpr std::array files_of_weights{
    "generation_config.json", "modules.json", "1_Pooling/config.json",
    "config_sentence_transformers.json", "sentence_bert_config.json"};

/// Adds the carried files of a folder, without those that are there already.
inline void carry_files(const std::filesystem::path& folder, model_text& into) {
  std::vector<std::filesystem::path> names(carried_files.begin(), carried_files.end());
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder / "additional_chat_templates", none))
    if (entry.path().extension() == ".jinja")
      names.push_back(std::filesystem::path("additional_chat_templates") / entry.path().filename());
  for (const auto& name : names)
    if (std::filesystem::is_regular_file(folder / name, none))
      into.files.emplace(name.generic_string(), mapped_file(folder / name).text());
}

/// Makes the files that say the conventions to transformers, for a model that came without them.
inline void make_files(model_text& text) {
  const text_conventions& c = text.conventions;
  nlohmann::json tokens = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                           {"clean_up_tokenization_spaces", false}};
  for (const auto& [name, token] : c.names) tokens[name] = token;
  if (!c.chat_template.empty()) tokens["chat_template"] = c.chat_template;
  text.files.emplace("tokenizer_config.json", json_text(tokens, "tokenizer_config.json", 2) + "\n");
  if (text.ids.empty()) return;
  nlohmann::json generation = text.ids;
  if (c.ends.size() > 1) generation["eos_token_id"] = c.ends;
  text.files.emplace("generation_config.json",
                     json_text(generation, "generation_config.json", 2) + "\n");
}

/// Fills in the ids that config.json does not have.
inline void complete_ids(model_text& text) {
  const text_conventions& c = text.conventions;
  const auto add = [&](const char* key, const nlohmann::json& value) {
    if (!text.ids.contains(key)) text.ids[key] = value;
  };
  if (c.bos) add("bos_token_id", *c.bos);
  if (c.pad) add("pad_token_id", *c.pad);
  if (c.ends.size() == 1) add("eos_token_id", c.ends[0]);
  if (c.ends.size() > 1) add("eos_token_id", c.ends);
}

/// Takes ends by their names where no file says them.
inline void guess_ends(model_text& text, const std::string& model) {
  if (!text.conventions.ends.empty() || !text.tokenizer) return;
  text.conventions.ends = named_ends(*text.tokenizer);
  if (text.conventions.ends.empty()) return;
  std::string names;
  for (const std::int32_t id : text.conventions.ends)
    names += (names.empty() ? "" : ", ") + text.tokenizer->token_text(id);
  text.notes.push_back(model + ": no file says which token ends a text; by its name it is " +
                       names);
}

}  // namespace detail

/// The text of a model that has no files yet: its tokenizer is new, and one token ends every text.
inline model_text new_model_text(bpe_tokenizer tokenizer, std::int32_t end) {
  model_text made;
  made.conventions.ends = {end};
  made.conventions.tokenizer_end = end;
  made.conventions.names["eos_token"] = tokenizer.token_text(end);
  made.tokenizer = std::move(tokenizer);
  detail::complete_ids(made);
  detail::make_files(made);
  return made;
}

/// Reads what belongs to a model. `model`: a folder or a file *.gguf; `tokenizer`: another place
/// from which the tokenizer comes, which may be a folder, a tokenizer.json or a file *.gguf. Throws
/// io_error, format_error or config_error naming the file.
inline model_text load_model_text(const std::filesystem::path& model,
                                  const std::filesystem::path& tokenizer = {}) {
  namespace fs = std::filesystem;
  model_text made;
  const fs::path from = tokenizer.empty() ? model : tokenizer;
  const bool in_folder = fs::is_directory(from);
  if (in_folder) detail::carry_files(from, made);
  if (!tokenizer.empty())
    for (const char* name : detail::files_of_weights) made.files.erase(name);
  if (fs::is_directory(model)) {
    detail::carry_files(model, made);
    const auto config = detail::object_beside(model, "config.json");
    for (const auto& [key, value] : config.items())
      if (key.ends_with("_token_id")) made.ids[key] = value;
  }
  if (!in_folder) made.files.erase("tokenizer.json");
  if (in_folder && !fs::exists(from / "tokenizer.json")) return made;
  made.tokenizer = load_tokenizer(from, &made.notes);
  if (!in_folder && !is_gguf(from))
    made.files["tokenizer.json"] = std::string(mapped_file(from).text());

  made.conventions = is_gguf(model)
                         ? read_gguf_conventions(gguf_file(model).metadata(), *made.tokenizer)
                         : read_conventions(model, in_folder ? from : model, *made.tokenizer);
  if (is_gguf(model) && in_folder) {  // what the file does not say, the folder may
    auto beside = read_conventions(from, from, *made.tokenizer);
    text_conventions& own = made.conventions;
    if (own.ends.empty()) own.ends = std::move(beside.ends);
    if (own.chat_template.empty()) own.chat_template = std::move(beside.chat_template);
    own.names.merge(beside.names);
  }
  detail::guess_ends(made, model.string());
  detail::complete_ids(made);
  if (is_gguf(model)) detail::make_files(made);
  return made;
}

}  // namespace tern::inline TERN_ABI
