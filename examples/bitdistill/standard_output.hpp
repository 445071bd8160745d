// The standard output and the standard error, which may be closed, a file on a full disk or a pipe
// that nobody reads any more.
#pragma once

#include <string_view>

namespace bitdistill {

/// Writes a text at once. Returns false where it cannot be written; require_output() then throws.
bool put(std::string_view text);

/// Writes what waits in the buffer. Throws io_error "cannot write standard output: ..." where it,
/// or anything before it, could not be written.
void require_output();

/// Writes a line on the standard error. A line that cannot be written there is lost.
void say(std::string_view line);

}  // namespace bitdistill
