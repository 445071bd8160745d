// Reads and writes the `decoder` and the `post_processor` of a Hugging Face tokenizer.json: how ids
// become text, and which tokens are added around a text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tern/json/json_fields.hpp"
#include "tern/text/bpe_model.hpp"
#include "tern/text/tokenizer_json_steps.hpp"

namespace tern::inline TERN_ABI::detail {

/// Reads the `decoder`. A vocabulary of bytes has ByteLevel or none; one of characters has Replace,
/// ByteFallback, Fuse and Strip.
inline decode_rules read_decoder(const nlohmann::json& part, const std::string& file,
                                 bool of_bytes) {
  decode_rules made;
  bool fused = false;
  for (const json_fields& f : components(part, file, "decoder", "decoders")) {
    const auto type = f.get<std::string>("type");
    if (of_bytes ? type == "ByteLevel" : type == "Fuse") {
      fused = true;
    } else if (of_bytes) {
      refuse_type(f, "ByteLevel behind a ByteLevel pre_tokenizer");
    } else if (type == "Replace" && !made.replace && !made.byte_fallback && !fused) {
      made.replace = read_replace(f);
    } else if (type == "ByteFallback" && !fused) {
      made.byte_fallback = true;
    } else if (type == "Strip" && fused) {
      if (f.get<std::string>("content") != " " || f.get<std::size_t>("stop") != 0)
        f.fail("content", "a space to be cut from the start only", "something else");
      made.strip = f.get<std::size_t>("start");
    } else {
      refuse_type(f, "Replace, ByteFallback, Fuse, Strip, in this order");
    }
  }
  return made;
}

inline json_object decoder_json(const decode_rules& from, bool of_bytes) {
  if (of_bytes) return step_json(byte_level_step{});
  json_object::array_t steps;
  if (from.replace) steps.push_back(step_json(*from.replace));
  if (from.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (from.strip > 0)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", from.strip}, {"stop", 0}});
  return sequence_json("decoders", steps);
}

/// Adds the tokens that a TemplateProcessing puts before and after a single text.
inline void read_template(const json_fields& fields, bpe_definition& into) {
  bool seen = false;
  for (const json_fields& entry : fields.objects("single")) {
    if (entry.has("Sequence")) {
      if (seen || entry.object("Sequence").get<std::string>("id") != "A")
        entry.fail("Sequence", "A, once", "another");
      seen = true;
      continue;
    }
    const auto name = entry.object("SpecialToken").get<std::string>("id");
    const auto ids = fields.object("special_tokens").object(name).list<std::int32_t>("ids");
    auto& side = seen ? into.suffix : into.prefix;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (!seen) fields.fail("single", "a Sequence A", "none");
}

inline void read_post_processor(const nlohmann::json& part, const std::string& file,
                                bpe_definition& into) {
  for (const json_fields& fields : components(part, file, "post_processor", "processors")) {
    const auto type = fields.get<std::string>("type");
    if (type == "TemplateProcessing")
      read_template(fields, into);
    else if (type != "ByteLevel")  // ByteLevel concerns offsets only
      refuse_type(fields, "TemplateProcessing or ByteLevel");
  }
}

/// Makes the `post_processor`. `names`: the token of each id.
inline json_object post_processor_json(const bpe_definition& from,
                                       const std::vector<std::string>& names) {
  if (from.prefix.empty() && from.suffix.empty()) return {};
  json_object special = json_object::object();
  const auto around = [&](const char* sequence, int type) {
    json_object::array_t pieces;
    const auto add = [&](std::int32_t id) {
      const std::string& name = names[static_cast<std::size_t>(id)];
      special[name] = {{"id", name}, {"ids", {id}}, {"tokens", {name}}};
      pieces.push_back({{"SpecialToken", {{"id", name}, {"type_id", type}}}});
    };
    for (const std::int32_t id : from.prefix) add(id);
    pieces.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
    for (const std::int32_t id : from.suffix) add(id);
    return pieces;
  };
  const auto single = around("A", 0);
  auto pair = single;
  for (auto& piece : around("B", 1)) pair.push_back(std::move(piece));
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

}  // namespace tern::inline TERN_ABI::detail
