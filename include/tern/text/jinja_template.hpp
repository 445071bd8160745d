// Templates in a part of the language Jinja: what the chat templates of language models use. A
// template with anything else is refused by name, so a text is never wrong silently.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/utf8.hpp"
#include "tern/text/jinja_expression.hpp"
#include "tern/text/jinja_parser.hpp"
#include "tern/text/jinja_runner.hpp"
#include "tern/text/jinja_tokens.hpp"

namespace tern::inline TERN_ABI {

/// A template. docs/formats.md lists what is supported. An object is immutable.
class jinja_template {
 public:
  /// Parses a template. Throws config_error naming the line and the construct that is not
  /// supported, and format_error where the template is not UTF-8.
  explicit jinja_template(std::string_view source) {
    require_utf8(source);
    statements_ = detail::jinja_parser(detail::jinja_splitter(source).split()).parse();
  }

  /// The text for these variables, each of which is a JSON value. Throws config_error where the
  /// template calls raise_exception or uses a function, filter or test that is not supported.
  [[nodiscard]] std::string render(std::map<std::string, nlohmann::ordered_json> variables) const {
    return detail::jinja_runner(std::move(variables)).run(statements_);
  }

 private:
  std::vector<detail::jinja_statement> statements_;
};

}  // namespace tern::inline TERN_ABI
