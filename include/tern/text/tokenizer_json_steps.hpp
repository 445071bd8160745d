// Reads and writes the `normalizer` and the `pre_tokenizer` of a Hugging Face tokenizer.json. An
// unknown component is refused by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/text/normalizer.hpp"
#include "tern/text/pretokenizer.hpp"

namespace tern::inline TERN_ABI::detail {

using json_object = nlohmann::ordered_json;

using scheme = metaspace_step::prepend_scheme;
inline constexpr enum_names<scheme> scheme_names = {
    {"always", scheme::always}, {"first", scheme::first}, {"never", scheme::never}};
inline constexpr enum_names<split_behavior> behavior_names = {
    {"Isolated", split_behavior::isolated},
    {"Removed", split_behavior::removed},
    {"MergedWithPrevious", split_behavior::merged_with_previous},
    {"MergedWithNext", split_behavior::merged_with_next},
    {"Contiguous", split_behavior::contiguous}};

/// The members of a Sequence in order, or the component itself if it is not a Sequence. There are
/// none for null.
inline std::vector<json_fields> components(const nlohmann::json& part, const std::string& file,
                                           const std::string& name, const char* list) {
  if (part.is_null()) return {};
  const json_fields alone(part, file, name + ".");
  if (alone.get<std::string>("type") != "Sequence") return {alone};
  return alone.objects(list);
}

[[noreturn]] inline void refuse_type(const json_fields& fields, const std::string& expected) {
  fields.fail("type", expected, '"' + fields.get<std::string>("type") + '"');
}

/// Writes the components that components() reads.
inline json_object sequence_json(const char* list, const json_object::array_t& members) {
  if (members.empty()) return {};
  if (members.size() == 1) return members[0];
  return {{"type", "Sequence"}, {list, members}};
}

inline replace_all read_replace(const json_fields& fields) {
  replace_all step{fields.object("pattern").get<std::string>("String"),
                   fields.get<std::string>("content")};
  if (step.from.empty()) fields.fail("pattern", "a string that is not empty", "\"\"");
  return step;
}

// Normalizers.

inline std::vector<normalizer_step> read_normalizer(const nlohmann::json& part,
                                                    const std::string& file) {
  std::vector<normalizer_step> steps;
  for (const json_fields& f : components(part, file, "normalizer", "normalizers")) {
    const auto type = f.get<std::string>("type");
    if (type == "NFC")
      steps.emplace_back(nfc_form{});
    else if (type == "Replace")
      steps.emplace_back(read_replace(f));
    else if (type == "Prepend")
      steps.emplace_back(prepend{f.get<std::string>("prepend")});
    else
      refuse_type(f, "NFC, Replace or Prepend");
  }
  return steps;
}

inline json_object step_json(const nfc_form&) { return {{"type", "NFC"}}; }
inline json_object step_json(const replace_all& s) {
  return {{"type", "Replace"}, {"pattern", {{"String", s.from}}}, {"content", s.to}};
}
inline json_object step_json(const prepend& s) {
  return {{"type", "Prepend"}, {"prepend", s.text}};
}

// Pre-tokenizers.

inline split_step read_split(const json_fields& f) {
  const json_fields pattern = f.object("pattern");
  const bool literal = pattern.has("String");
  return {literal ? escape_regex(pattern.get<std::string>("String"))
                  : pattern.get<std::string>("Regex"),
          f.choice("behavior", behavior_names), f.get_or<bool>("invert", false)};
}

inline metaspace_step read_metaspace(const json_fields& f) {
  if (const auto sign = f.get_or<std::string>("replacement", std::string(metaspace));
      sign != metaspace)
    f.fail("replacement", "U+2581", '"' + sign + '"');
  const bool always = f.get_or<bool>("add_prefix_space", true);
  return {f.has("prepend_scheme") ? f.choice("prepend_scheme", scheme_names)
          : always                ? scheme::always
                                  : scheme::never,
          f.get_or<bool>("split", true)};
}

inline std::vector<pretokenizer_step> read_pre_tokenizer(const nlohmann::json& part,
                                                         const std::string& file) {
  std::vector<pretokenizer_step> steps;
  for (const json_fields& f : components(part, file, "pre_tokenizer", "pretokenizers")) {
    const auto type = f.get<std::string>("type");
    if (type == "Split")
      steps.emplace_back(read_split(f));
    else if (type == "Digits")
      steps.emplace_back(split_step{"\\p{N}", f.get_or<bool>("individual_digits", false)
                                                  ? split_behavior::isolated
                                                  : split_behavior::contiguous});
    else if (type == "ByteLevel")
      steps.emplace_back(byte_level_step{f.get_or<bool>("add_prefix_space", true),
                                         f.get_or<bool>("use_regex", true)});
    else if (type == "Metaspace")
      steps.emplace_back(read_metaspace(f));
    else
      refuse_type(f, "Split, Digits, Metaspace or ByteLevel");
  }
  return steps;
}

inline json_object step_json(const split_step& s) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", s.pattern}}},
          {"behavior", name_of(s.behavior, behavior_names)},
          {"invert", s.invert}};
}
inline json_object step_json(const byte_level_step& s) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", s.add_prefix_space},
          {"trim_offsets", false},
          {"use_regex", s.use_regex}};
}
inline json_object step_json(const metaspace_step& s) {
  return {{"type", "Metaspace"},
          {"replacement", metaspace},
          {"prepend_scheme", name_of(s.prepend, scheme_names)},
          {"split", s.split}};
}

template <class Step>
json_object steps_json(const char* list, const std::vector<Step>& steps) {
  json_object::array_t members;
  for (const Step& step : steps)
    members.push_back(std::visit([](const auto& s) { return step_json(s); }, step));
  return sequence_json(list, members);
}

}  // namespace tern::inline TERN_ABI::detail
