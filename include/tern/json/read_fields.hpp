// A described struct from a JSON object. Keys that are missing leave their fields as they are, keys
// that no field has are refused.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/core/describe.hpp"
#include "tern/json/json_fields.hpp"

namespace tern::inline TERN_ABI {

/// The visitor that sets the fields it is shown from the keys of an object; see core/describe.hpp.
/// A null counts as missing. Every member throws config_error as json_fields does.
class field_reader {
 public:
  /// `fields`: the object to read from.
  explicit field_reader(json_fields fields) : fields_(std::move(fields)) {}

  /// Sets a field from its key. A missing key leaves the field as it is.
  template <class T>
  void value(const char* key, T& x) {
    if (has(key)) x = fields_.get<T>(key);
  }
  template <class T>
  void value(const char* key, std::vector<T>& x) {
    if (has(key)) x = fields_.list<T>(key);
  }
  template <class E>
  void choice(const char* key, E& x, enum_names<E> names) {
    if (has(key)) x = fields_.choice(key, names);
  }
  template <class Inner>
  void object(const char* key, Inner&& inner) {
    if (has(key)) read(inner, fields_.object(key));
  }
  /// Replaces the list: each element begins as S{}.
  template <class S>
  void objects(const char* key, std::vector<S>& list) {
    if (!has(key)) return;
    list.clear();
    for (const json_fields& item : fields_.objects(key)) read(list.emplace_back(), item);
  }

  /// A missing key leaves the field as it is. A struct that was missing begins as T{}.
  template <class T>
  void optional(const char* key, std::optional<T>& x) {
    if (!has(key)) return;
    if constexpr (described_for<T, field_reader>) {
      if (!x) x.emplace();
      read(*x, fields_.object(key));
    } else {
      x = fields_.get<T>(key);
    }
  }

  /// The same for a value; `word` in its place says that there is none.
  template <class T>
  void optional(const char* key, std::optional<T>& x, const char* word) {
    if (has(key)) x = fields_.get_unless<T>(key, word);
  }

  /// Refuses keys of the object that were not shown. To be called when all fields were shown.
  void finish() const { fields_.require_known(known_); }

 private:
  bool has(const char* key) {
    known_.emplace_back(key);
    return fields_.has(key);
  }

  template <class Inner>
  static void read(Inner& inner, const json_fields& from) {
    field_reader reader(from);
    show_fields(reader, inner);
    reader.finish();
  }

  json_fields fields_;
  std::vector<std::string> known_;
};

/// Changes the fields of `object` that `from` has. Throws config_error naming file and key.
template <described_for<field_reader> S>
void read_fields(S& object, const json_fields& from) {
  field_reader reader(from);
  describe(reader, object);
  reader.finish();
}

}  // namespace tern::inline TERN_ABI
