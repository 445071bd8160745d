// The words of a command line as options and values, before the option parser sees them. A value is
// text: whatever it holds reaches the program unchanged.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace bitdistill {

/// Rewrites the words so that CLI11 cannot take a value for anything else: each value stands behind
/// its option as "--option==VALUE", and an argument without an option as "=VALUE". CLI11 alone
/// would split "[a,b]" and take "-1" for an option. take_values_literally() removes the mark.
///
/// A word behind an option is its value, also where it begins with a dash; only the name of another
/// option of the command is not, since there the value was forgotten. An option that takes several
/// values takes the words up to the next one that begins with a dash. Throws CLI::ParseError for an
/// unknown command or option, naming the nearest known one, before it complains of anything else.
std::vector<std::string> mark_values(const CLI::App& app, const std::vector<std::string>& words);

/// Makes all options of the app and its commands remove the mark from their values.
void take_values_literally(CLI::App& app);

}  // namespace bitdistill
