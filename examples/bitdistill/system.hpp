// What the program asks the operating system for, and what differs between POSIX and Windows.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace bitdistill {

/// The arguments behind the program's name, as the user wrote them. On Windows they are UTF-8,
/// whatever the code page is.
std::vector<std::string> command_line_arguments(int argc, char** argv);

/// Makes Windows do as other systems: what is written ends its lines with LF, and a
/// console expects UTF-8 and knows escape sequences.
void prepare_process();

/// Whether the stream is a terminal.
bool is_terminal(std::FILE* stream);

/// Megabytes of the process that are in memory, mapped files included; 0 where the system does not
/// say.
double resident_megabytes();

}  // namespace bitdistill
