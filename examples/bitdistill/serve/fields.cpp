#include "serve/fields.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "serve/refusal.hpp"
#include "tern/core/error.hpp"
#include "tern/json/read_json.hpp"

namespace bitdistill::serving {

fields::fields(std::string_view body) {
  try {
    object_ = tern::parse_json(body, "body");
  } catch (const tern::format_error& e) {
    throw refusal(400, e.what());
  }
  if (!object_.is_object()) throw refusal(400, "body: expected a JSON object");
}

fields::fields(const nlohmann::json& object, std::string name)
    : object_(object), prefix_(std::move(name)) {
  if (!object_.is_object()) throw refusal(400, prefix_ + ": expected an object");
}

const nlohmann::json* fields::find(const char* name) {
  known_.insert(name);
  const auto at = object_.find(name);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

const nlohmann::json& fields::required(const char* name) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr) throw refusal(400, full_name(name) + " is missing");
  return *value;
}

std::optional<std::string> fields::text(const char* name) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(name, "a text");
  return value->get<std::string>();
}

std::optional<bool> fields::flag(const char* name) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_boolean()) refuse(name, "true or false");
  return value->get<bool>();
}

std::optional<std::uint64_t> fields::whole(const char* name, std::uint64_t least,
                                           std::uint64_t most) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() < least ||
      value->get<std::uint64_t>() > most)
    refuse(name, fmt::format("a whole number from {} to {}", least, most));
  return value->get<std::uint64_t>();
}

std::optional<double> fields::real(const char* name, double least, double most) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr) return {};
  if (!value->is_number() || !(value->get<double>() >= least && value->get<double>() <= most))
    refuse(name, fmt::format("a number from {} to {}", least, most));
  return value->get<double>();
}

std::vector<std::int32_t> fields::tokens(const char* name) {
  const nlohmann::json& value = required(name);
  if (!is_token_list(value)) refuse(name, "a list of tokens, which are whole numbers from 0 on");
  return value.get<std::vector<std::int32_t>>();
}

void fields::only(const char* name, std::initializer_list<nlohmann::json> values) {
  const nlohmann::json* const value = find(name);
  if (value == nullptr || std::ranges::count(values, *value) != 0) return;
  std::string list;
  for (const auto& v : values) list += (list.empty() ? "" : " or ") + v.dump();
  throw refusal(400, full_name(name) + " is not supported; the only value is " + list,
                "unsupported_value");
}

void fields::ignore(std::initializer_list<const char*> names) {
  known_.insert(names.begin(), names.end());
}

void fields::finish() const {
  for (const auto& [name, value] : object_.items())
    if (!value.is_null() && !known_.contains(name))
      throw refusal(400, full_name(name) + " is not supported", "unsupported_parameter");
}

void fields::refuse(const std::string& name, const std::string& expected) const {
  throw refusal(400, full_name(name) + ": expected " + expected, "invalid_value");
}

std::string fields::full_name(const std::string& name) const {
  constexpr std::size_t most_shown = 80;
  std::string shown = name.substr(0, most_shown);
  while (!shown.empty() && shown.size() < name.size() &&
         (static_cast<unsigned char>(name[shown.size()]) & 0xC0) == 0x80)
    shown.pop_back();  // no part of a character
  return prefix_.empty() ? shown : prefix_ + "." + shown;
}

bool is_token_list(const nlohmann::json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const nlohmann::json& v) {
           return v.is_number_unsigned() && v.get<std::uint64_t>() <= 0x7FFFFFFF;
         });
}

}  // namespace bitdistill::serving
