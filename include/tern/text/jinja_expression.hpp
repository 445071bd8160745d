// The syntax tree of a Jinja template.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tern/text/jinja_value.hpp"

namespace tern::inline TERN_ABI::detail {

/// An expression. What its parts mean depends on its kind:
struct jinja_expression {
  enum class kind {
    literal,      ///< `value`
    name,         ///< variable `text`
    list,         ///< elements
    dictionary,   ///< key, value, key, value ...
    member,       ///< object, key
    slice,        ///< object, first, end, step; those that are missing are literals of null
    call,         ///< arguments; function `text`
    method,       ///< object, arguments; method `text`
    filter,       ///< input, arguments; filter `text`
    test,         ///< input, arguments; test `text`
    unary,        ///< operand; operator `text`
    binary,       ///< left, right; operator `text`
    conditional,  ///< condition, value if true, value if false
  };
  kind what = kind::literal;
  std::size_t line = 1;
  std::string text;
  jinja_value value;
  std::vector<jinja_expression> parts;
  std::vector<std::string> names;       ///< names of arguments that have one
  std::vector<jinja_expression> named;  ///< their values
};

/// A statement, with the statements inside it.
struct jinja_statement {
  enum class kind { text, output, branch, loop, assign, capture, macro, leave, next };
  kind what = kind::text;
  std::size_t line = 1;
  std::string text;                           ///< plain text, or the name of a macro
  std::vector<std::string> names;             ///< variables of a loop or an assignment, parameters
  std::vector<jinja_expression> expressions;  ///< conditions, sequence and filter, value, defaults
  std::vector<std::vector<jinja_statement>>
      bodies;  ///< one for each branch; the last may be `else`
};

}  // namespace tern::inline TERN_ABI::detail
