#include "arguments.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <set>
#include <string_view>

namespace bitdistill {
namespace {

using strings = std::vector<std::string>;

constexpr char mark = '=';

/// The number of letters to insert, remove, replace or swap with a neighbour to make b of a.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i)
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

/// ", did you mean 'NAME'?" with the nearest of the names, or nothing where none is near.
std::string suggestion(const std::string& word, const strings& names) {
  const std::string* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const auto& name : names)
    if (const std::size_t d = distance(word, name); d < least) {
      least = d;
      nearest = &name;
    }
  return nearest == nullptr ? "" : ", did you mean '" + *nearest + "'?";
}

[[noreturn]] void fail(const std::string& what) {
  throw CLI::ValidationError(what, CLI::ExitCodes::ExtrasError);
}

/// Whether a word looks like an option: a single dash often stands for a file.
bool has_dash(const std::string& word) { return word.size() > 1 && word[0] == '-'; }

bool is_list(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

/// Reads the words of one command.
class reader {
 public:
  reader(const CLI::App& command, const strings& words) : command_(command), words_(words) {
    for (const CLI::Option* option : command.get_options()) {
      for (const auto& name : option->get_lnames()) names_.push_back("--" + name);
      for (const auto& name : option->get_snames()) names_.push_back("-" + name);
      if (option->get_positional()) positional_ = option;
    }
  }

  strings read() {
    for (at_ = 1; at_ < words_.size();) {
      const std::string& word = words_[at_++];
      if (word == "--") {
        while (at_ < words_.size()) take_argument(words_[at_++]);
      } else if (has_dash(word)) {
        take_option(word);
      } else {
        take_argument(word);
      }
    }
    if (!surplus_.empty()) fail(surplus_);
    return std::move(out_);
  }

 private:
  void take_argument(const std::string& word) {
    if (positional_ != nullptr)
      out_.push_back(mark + word);
    else if (surplus_.empty())
      surplus_ = "unexpected argument '" + word + "'" + surplus_reason_;
  }

  void take_option(const std::string& word) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (std::ranges::count(names_, name) == 0)
      fail("unknown option '" + name + "'" + suggestion(name, names_));
    const CLI::Option& option = *command_.get_option(name);
    const bool takes_value = option.get_items_expected_max() > 0;
    if (!takes_value) {
      if (equals != word.npos) fail(name + " takes no value, got '" + word + "'");
      out_.push_back(name);
      return;
    }
    const bool once =
        !is_list(option) && option.get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll;
    if (once && !seen_.insert(name).second) fail(name + " is given twice");
    if (equals != word.npos) {
      add(option, name, word.substr(equals + 1));
    } else {
      if (at_ == words_.size()) fail(name + " needs a value");
      const std::string& value = words_[at_];
      if (std::ranges::count(names_, value.substr(0, value.find('='))) != 0)
        fail(name + " needs a value, and '" + value + "' is an option; write " + name + "=" +
             value + " where it is meant as text");
      add(option, name, words_[at_++]);
    }
    surplus_reason_ = is_list(option) ? "" : "; " + name + " takes one value, so put it in quotes";
    while (is_list(option) && at_ < words_.size() && !has_dash(words_[at_]))
      add(option, name, words_[at_++]);
  }

  /// Adds a value, or all parts of one in a list with a delimiter.
  void add(const CLI::Option& option, const std::string& name, const std::string& value) {
    const char delimiter = option.get_delimiter();
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t end = delimiter == '\0' ? value.npos : value.find(delimiter, begin);
      const std::string part = value.substr(begin, end - begin);
      // A path that is empty would mean the working directory.
      if (part.empty() && name != "--prompt" && name != "--system")
        fail(name + " needs a value, got an empty one");
      out_.push_back(name + "=" + mark + part);
      begin = end == value.npos ? value.size() + 1 : end + 1;
    }
  }

  const CLI::App& command_;
  const strings& words_;
  strings names_, out_;
  std::set<std::string> seen_;
  const CLI::Option* positional_ = nullptr;
  std::string surplus_, surplus_reason_;
  std::size_t at_ = 0;
};

strings command_names(const CLI::App& app) {
  strings names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

/// The first word, which is no command.
[[noreturn]] void fail_at_command(const CLI::App& app, const std::string& word) {
  const strings commands = command_names(app);
  if (!has_dash(word)) {
    std::string all;
    for (const auto& name : commands) all.append(all.empty() ? "" : ", ").append(name);
    const std::string near = suggestion(word, commands);
    fail("unknown command '" + word + "'" + (near.empty() ? ", expected one of " + all : near));
  }
  const std::string name = word.substr(0, word.find('='));
  for (const CLI::App* command : app.get_subcommands({}))
    if (command->get_option_no_throw(name) != nullptr)
      fail("option '" + name +
           "' stands before the command: write it behind, such as 'bitdistill " +
           command->get_name() + " " + name + "'");
  fail("unknown option '" + name + "'" + suggestion(name, {"--help", "--version"}));
}

}  // namespace

strings mark_values(const CLI::App& app, const strings& words) {
  if (words.empty()) return words;
  const std::string& first = words.front();
  if (first == "--help" || first == "-h" || first == "--version") return {first};
  if (std::ranges::count(command_names(app), first) == 0) fail_at_command(app, first);
  strings marked = reader(*app.get_subcommand(first), words).read();
  marked.insert(marked.begin(), first);
  return marked;
}

void take_values_literally(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands(std::function<bool(CLI::App*)>()))
    for (CLI::Option* option : command->get_options()) {
      if (option->get_items_expected_max() > 0)
        option->transform([](std::string value) { return value.substr(1); });
    }
}

}  // namespace bitdistill
