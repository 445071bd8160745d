// A described struct to a JSON object that has all of its fields.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "tern/core/describe.hpp"

namespace tern::inline TERN_ABI {

/// The visitor that collects the fields it is shown; see core/describe.hpp.
class field_writer {
 public:
  /// Adds a field under its key.
  template <class T>
  void value(const char* key, const T& x) {
    json[key] = x;
  }
  /// Throws config_error for a value without a name.
  template <class E>
  void choice(const char* key, const E& x, enum_names<E> names) {
    json[key] = name_of(x, names);
  }
  template <class Inner>
  void object(const char* key, Inner&& inner) {
    json[key] = written(inner);
  }
  template <class S>
  void objects(const char* key, std::vector<S>& list) {
    json[key] = nlohmann::json::array();
    for (S& item : list) json[key].push_back(written(item));
  }
  /// Writes no key where there is no value.
  template <class T>
  void optional(const char* key, std::optional<T>& x) {
    if (!x) return;
    if constexpr (described_for<T, field_writer>)
      json[key] = written(*x);
    else
      json[key] = *x;
  }
  /// Writes `word` where there is no value.
  template <class T>
  void optional(const char* key, const std::optional<T>& x, const char* word) {
    json[key] = x ? nlohmann::json(*x) : nlohmann::json(word);
  }

  nlohmann::json json = nlohmann::json::object();  ///< the fields so far

 private:
  template <class Inner>
  static nlohmann::json written(Inner& inner) {
    field_writer writer;
    show_fields(writer, inner);
    return std::move(writer.json);
  }
};

/// All fields of a struct. Throws config_error for an enum's value without a name.
template <described_for<field_writer> S>
nlohmann::json write_fields(S object) {
  field_writer writer;
  describe(writer, object);
  return std::move(writer.json);
}

}  // namespace tern::inline TERN_ABI
