#include "standard_output.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "tern/core/error.hpp"

namespace bitdistill {
namespace {

int first_error = 0;  // the error number of the first failure; stdio only knows that there was one

bool flush() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  if (first_error == 0) first_error = errno != 0 ? errno : EIO;
  return false;
}

}  // namespace

bool put(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) < text.size() && first_error == 0)
    first_error = errno != 0 ? errno : EIO;
  return flush() && first_error == 0;
}

void require_output() {
  if (flush() && first_error == 0) return;
  throw tern::io_error("cannot write standard output: " +
                       std::generic_category().message(first_error));
}

void say(std::string_view line) {
  try {
    fmt::print(stderr, "{}\n", line);   // fmt writes whole lines to a console of Windows
  } catch (const std::system_error&) {  // nobody can be told
  }
}

}  // namespace bitdistill
