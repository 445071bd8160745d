// What the files of a model folder say about its texts. generation_config.json counts first, then
// config.json, then tokenizer_config.json, as in Hugging Face transformers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/tokens_beside.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/os_error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/text/bpe_tokenizer.hpp"
#include "tern/text/end_tokens.hpp"
#include "tern/text/text_conventions.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// The ids under a key, which is a number or a list of numbers. Negative ones stand for no token.
inline std::vector<std::int32_t> ids_under(const json_fields& f, const std::string& key) {
  std::vector<std::int32_t> ids;
  if (!f.has(key)) return ids;
  if (f.is_list(key))
    ids = f.list<std::int32_t>(key);
  else
    ids.push_back(f.get<std::int32_t>(key));
  std::erase_if(ids, [](std::int32_t id) { return id < 0; });
  return ids;
}

/// The text of a token such as "eos_token", which is a string or an object with "content".
inline std::string token_under(const json_fields& f, const std::string& key) {
  if (!f.has(key)) return {};
  return f.is_object(key) ? f.object(key).get_or<std::string>("content", "")
                          : f.get<std::string>(key);
}

/// The chat template of a tokenizer_config.json: a string, or a list with one that is called
/// "default".
inline std::string template_under(const json_fields& f) {
  const char* key = "chat_template";
  if (!f.has(key)) return {};
  if (!f.is_list(key)) return f.get<std::string>(key);
  for (const json_fields& each : f.objects(key))
    if (each.get<std::string>("name") == "default") return each.get<std::string>("template");
  return {};
}

/// The chat template of a folder: that of chat_template.jinja where there is one.
inline std::string chat_template_of(const std::filesystem::path& folder,
                                    const json_fields& config) {
  if (const auto own = folder / "chat_template.jinja"; path_exists(own))
    return std::string(mapped_file(own).text());
  if (auto text = template_under(config); !text.empty()) return text;
  const auto older = object_beside(folder, "chat_template.json");
  return template_under({older, (folder / "chat_template.json").string()});
}

}  // namespace detail

/// Reads the conventions of a model whose tokenizer is given. `model`: its folder, whose
/// config.json and generation_config.json name ids; `beside`: the folder of the tokenizer, whose
/// tokenizer_config.json names tokens and has the chat template. Missing files say nothing. Where
/// no file names an end, `ends` is empty. Throws format_error or config_error naming file and key.
inline text_conventions read_conventions(const std::filesystem::path& model,
                                         const std::filesystem::path& beside,
                                         const bpe_tokenizer& tokenizer) {
  text_conventions made;
  const auto config = detail::object_beside(beside, "tokenizer_config.json");
  const auto map = detail::object_beside(beside, "special_tokens_map.json");
  const json_fields names(config, (beside / "tokenizer_config.json").string());
  const json_fields older(map, (beside / "special_tokens_map.json").string());
  const auto named = [&](const std::string& key) -> std::optional<std::int32_t> {
    std::string text = detail::token_under(names, key);
    if (text.empty()) text = detail::token_under(older, key);
    if (text.empty()) return {};
    made.names[key] = text;
    return tokenizer.token_id(text);
  };
  made.bos = named("bos_token");
  made.tokenizer_end = named("eos_token");
  made.pad = named("pad_token");
  static_cast<void>(named("unk_token"));
  made.chat_template = detail::chat_template_of(beside, names);

  for (const char* file : {"config.json", "generation_config.json"}) {  // the last one counts
    const auto json = detail::object_beside(model, file);
    const json_fields f(json, (model / file).string());
    if (auto ids = detail::ids_under(f, "eos_token_id"); !ids.empty()) made.ends = std::move(ids);
    if (const auto ids = detail::ids_under(f, "bos_token_id"); !ids.empty()) made.bos = ids[0];
    if (const auto ids = detail::ids_under(f, "pad_token_id"); !ids.empty()) made.pad = ids[0];
  }
  if (made.ends.empty() && made.tokenizer_end) made.ends = {*made.tokenizer_end};
  return made;
}

}  // namespace tern::inline TERN_ABI
