// The names of the fields in which two structs differ, by the struct's one list of fields.
#pragma once

#include <algorithm>
#include <any>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/describe.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A visitor that copies every field beside its path. "a.b" is field b of object a, "l[2].b" is
/// field b of the third object of list l, and "l[]" stands for the length of l,
/// and "a?" for whether the optional a is there.
class field_collector {
 public:
  /// The value of one field, of whatever type; comparable with another of the same type.
  struct field {
    std::string path;
    std::any value;
    bool (*equal)(const std::any&, const std::any&);
  };
  std::vector<field> fields;

  template <class T>
  void value(const char* key, T& x) {
    fields.push_back({prefix_ + key, x, [](const std::any& a, const std::any& b) {
                        const T* other = std::any_cast<T>(&b);
                        return other != nullptr && *std::any_cast<T>(&a) == *other;
                      }});
  }
  template <class E>
  void choice(const char* key, E& x, enum_names<E>) {
    value(key, x);
  }
  template <class Inner>
  void object(std::string_view key, Inner&& inner) {
    const std::string outer = prefix_;
    prefix_.append(key).append(".");
    show_fields(*this, inner);
    prefix_ = outer;
  }
  template <class S>
  void objects(const std::string& key, std::vector<S>& list) {
    std::size_t size = list.size();
    value((key + "[]").c_str(), size);
    for (std::size_t i = 0; i < size; ++i) object(key + "[" + std::to_string(i) + "]", list[i]);
  }
  template <class T>
  void optional(const char* key, std::optional<T>& x) {
    bool present = x.has_value();
    value((std::string(key) + "?").c_str(), present);
    if (!present) return;
    if constexpr (described_for<T, field_collector>)
      object(key, *x);
    else
      value(key, *x);
  }
  template <class T>
  void optional(const char* key, std::optional<T>& x, const char* /*word*/) {
    value(key, x);
  }

 private:
  std::string prefix_;
};

template <class S>
std::vector<field_collector::field> collect_fields(S object) {
  field_collector collector;
  describe(collector, object);
  return std::move(collector.fields);
}

}  // namespace detail

/// Paths such as "rope_scaling.factor", in the order of the list: those of `a` that differ in `b`
/// or are missing there, then those that only `b` has, which happens where lists differ in length.
template <class S>
std::vector<std::string> differing_fields(const S& a, const S& b) {
  const auto left = detail::collect_fields(a), right = detail::collect_fields(b);
  const auto find = [](const auto& fields, const std::string& path) {
    return std::ranges::find(fields, path, &detail::field_collector::field::path);
  };
  std::vector<std::string> paths;
  for (const auto& field : left) {
    const auto other = find(right, field.path);
    if (other == right.end() || !field.equal(field.value, other->value))
      paths.push_back(field.path);
  }
  for (const auto& field : right)
    if (find(left, field.path) == left.end()) paths.push_back(field.path);
  return paths;
}

}  // namespace tern::inline TERN_ABI
