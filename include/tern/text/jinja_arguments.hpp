// The arguments of calls in Jinja templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "tern/text/jinja_tokens.hpp"
#include "tern/text/jinja_value.hpp"

namespace tern::inline TERN_ABI::detail {

/// Arguments of a call, with checks.
class jinja_arguments {
 public:
  jinja_arguments(std::string what, std::size_t line, std::span<const jinja_value> values)
      : what_(std::move(what)), line_(line), values_(values) {}

  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] std::size_t line() const { return line_; }
  [[nodiscard]] const jinja_value* at(std::size_t i) const {
    return i < values_.size() ? &values_[i] : nullptr;
  }
  [[nodiscard]] const std::string& text(std::size_t i) const {
    if (at(i) == nullptr || !at(i)->is_string()) fail("needs a string");
    return at(i)->get_ref<const std::string&>();
  }
  [[nodiscard]] std::int64_t integer(std::size_t i) const {
    if (at(i) == nullptr) fail("needs an integer");
    return jinja_integer(*at(i), line_);
  }
  void most(std::size_t n) const {
    if (values_.size() > n) fail("has more arguments than are supported");
  }
  [[noreturn]] void fail(const std::string& why) const { jinja_fail(line_, what_ + " " + why); }
  [[noreturn]] void refuse() const { fail("is not supported"); }

 private:
  std::string what_;
  std::size_t line_;
  std::span<const jinja_value> values_;
};

}  // namespace tern::inline TERN_ABI::detail
