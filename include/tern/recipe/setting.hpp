// A setting of a recipe as text: "stage.key=value".
#pragma once

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// Reads "a.b=1" as {"a": {"b": 1}}. A value that is not valid JSON is taken as a string. Throws
/// config_error, which begins with `origin`, where the text is not key=value or the value is null.
inline nlohmann::json parse_setting(const std::string& text, const std::string& origin = "--set") {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw config_error(origin + ": expected key=value, got '" + text + "'");
  nlohmann::json value = nlohmann::json::parse(text.substr(equals + 1), nullptr, false);
  if (value.is_discarded()) value = text.substr(equals + 1);
  if (value.is_null()) throw config_error(origin + ": expected a value, got '" + text + "'");
  nlohmann::json object = nlohmann::json::object();
  nlohmann::json* at = &object;
  std::istringstream keys(text.substr(0, equals));
  for (std::string key; std::getline(keys, key, '.');) at = &(*at)[key];
  *at = std::move(value);
  return object;
}

}  // namespace tern::inline TERN_ABI
