// The members of a JSON object that a request consists of. Each is read by name and checked; a
// member that nobody asked for is refused, so that no setting is ignored in silence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace bitdistill::serving {

/// Every function throws a refusal with status 400 that names the member. A member that is null
/// counts as missing.
class fields {
 public:
  /// Parses the body of a request, which must be an object.
  explicit fields(std::string_view body);
  /// Takes a part of a request; `name` is its place in the body, such as "messages[2]".
  fields(const nlohmann::json& object, std::string name);

  /// The member, or null where it is missing.
  const nlohmann::json* find(const char* name);
  /// The member, which must be there.
  const nlohmann::json& required(const char* name);

  /// The member as text.
  std::optional<std::string> text(const char* name);
  /// The member as true or false.
  std::optional<bool> flag(const char* name);
  /// The member as a whole number in [least, most].
  std::optional<std::uint64_t> whole(
      const char* name, std::uint64_t least = 0,
      std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
  /// The member as a number in [least, most].
  std::optional<double> real(const char* name, double least, double most);
  /// The member, which must be there, as ids of tokens.
  std::vector<std::int32_t> tokens(const char* name);

  /// Refuses every value of the member except these, which change nothing.
  void only(const char* name, std::initializer_list<nlohmann::json> values);
  /// Takes no notice of members that have no influence on an answer.
  void ignore(std::initializer_list<const char*> names);
  /// Refuses the members that were not asked for. Call it last.
  void finish() const;

  /// Refuses the member because it is not what was expected.
  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const;

 private:
  [[nodiscard]] std::string full_name(const std::string& name) const;

  nlohmann::json object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
};

/// Whether the value is an array of ids of tokens, which are whole numbers from 0 to 2^31 - 1.
bool is_token_list(const nlohmann::json& value);

}  // namespace bitdistill::serving
