// What the files of an embedding model say about pooling: modules.json and 1_Pooling/config.json in
// folders, as the package sentence-transformers writes them, and a key in GGUF files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "tern/checkpoint/model_config_from_gguf.hpp"
#include "tern/core/os_error.hpp"
#include "tern/gguf/file.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_json.hpp"
#include "tern/model/pooling.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A kind of pooling under the names of sentence-transformers, and its number in GGUF files.
struct stored_pooling {
  pooling kind;
  const char* key;     ///< key of 1_Pooling/config.json that is true
  const char* mode;    ///< value of "pooling_mode", which newer files have instead
  std::uint32_t gguf;  ///< value of "<architecture>.pooling_type"
};

inline constexpr std::array stored_poolings{
    stored_pooling{pooling::mean, "pooling_mode_mean_tokens", "mean", 1},
    stored_pooling{pooling::first, "pooling_mode_cls_token", "cls", 2},
    stored_pooling{pooling::last, "pooling_mode_lasttoken", "lasttoken", 3},
};

/// The only kind of pooling that a 1_Pooling/config.json asks for.
inline pooling pooling_of(const json_fields& f) {
  if (f.has("pooling_mode"))
    return f.choice<pooling>(
        "pooling_mode",
        {{"mean", pooling::mean}, {"cls", pooling::first}, {"lasttoken", pooling::last}});
  std::optional<pooling> found;
  for (const char* other : {"pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                            "pooling_mode_weightedmean_tokens"})
    if (f.get_or<bool>(other, false)) f.fail(other, "false", "true");
  for (const stored_pooling& each : stored_poolings) {
    if (!f.get_or<bool>(each.key, false)) continue;
    if (found) f.fail(each.key, "one kind of pooling", "two");
    found = each.kind;
  }
  if (!found) f.fail("pooling_mode_lasttoken", "one kind of pooling", "none");
  return *found;
}

inline std::optional<pooling_rule> pooling_of_folder(const std::filesystem::path& folder) {
  std::filesystem::path beside = "1_Pooling";
  bool pools = path_exists(folder / beside / "config.json"), normalizes = true;
  if (const auto list = folder / "modules.json"; path_exists(list)) {
    const nlohmann::json wrapped{{"modules", read_json(list)}};
    pools = normalizes = false;
    for (const json_fields& module : json_fields(wrapped, list.string()).objects("modules")) {
      const auto type = module.get<std::string>("type");
      const auto name = type.substr(type.rfind('.') + 1);
      if (name == "Pooling") {
        pools = true;
        beside = module.get_or<std::string>("path", "1_Pooling");
      } else if (name == "Normalize") {
        normalizes = true;
      } else if (name != "Transformer") {
        module.fail("type", "Transformer, Pooling or Normalize", name);
      }
    }
  }
  if (!pools) return {};
  const auto file = folder / beside / "config.json";
  const auto json = read_json(file);
  return pooling_rule{pooling_of({json, file.string()}), normalizes};
}

inline std::optional<pooling_rule> pooling_of_gguf(const gguf_file& file) {
  const std::string key = std::string(architecture_of(file).name) + ".pooling_type";
  const auto type = file.metadata().get_or<std::uint32_t>(key, 0);
  if (type == 0) return {};
  for (const stored_pooling& each : stored_poolings)
    if (each.gguf == type) return pooling_rule{each.kind, true};
  file.metadata().fail(key, "expected 0 (none), 1 (mean), 2 (first token) or 3 (last token), got " +
                                std::to_string(type));
}

}  // namespace detail

/// The number by which GGUF files name a kind of pooling.
inline std::uint32_t gguf_pooling_type(pooling kind) {
  for (const auto& each : detail::stored_poolings)
    if (each.kind == kind) return each.gguf;
  return 0;
}

/// How a model makes embeddings, where its files say it. `model`: a folder or a GGUF file. A GGUF
/// file does not say whether embeddings are normalized; they are, as in llama.cpp. Throws
/// io_error, format_error or config_error naming file and key, also for modules and kinds of
/// pooling that are not supported.
inline std::optional<pooling_rule> read_pooling(const std::filesystem::path& model) {
  return is_gguf(model) ? detail::pooling_of_gguf(gguf_file(model))
                        : detail::pooling_of_folder(model);
}

/// The files that say a rule to sentence-transformers, as name and content. `width`: elements of an
/// embedding.
inline std::map<std::string, std::string> pooling_files(const pooling_rule& rule,
                                                        std::size_t width) {
  nlohmann::ordered_json modules = nlohmann::ordered_json::array();
  const auto add = [&](const char* path, const char* name) {
    modules.push_back({{"idx", modules.size()},
                       {"name", std::to_string(modules.size())},
                       {"path", path},
                       {"type", std::string("sentence_transformers.models.") + name}});
  };
  add("", "Transformer");
  add("1_Pooling", "Pooling");
  if (rule.normalize) add("2_Normalize", "Normalize");
  nlohmann::ordered_json modes{{"word_embedding_dimension", width}};
  for (const auto& each : detail::stored_poolings) modes[each.key] = each.kind == rule.kind;
  return {{"modules.json", json_text(modules, "modules.json", 2) + "\n"},
          {"1_Pooling/config.json", json_text(modes, "1_Pooling/config.json", 2) + "\n"}};
}

}  // namespace tern::inline TERN_ABI
