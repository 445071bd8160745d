// Signals that ask the program to save its state and stop.
#pragma once

namespace bitdistill {

/// Makes SIGINT and SIGTERM, on Windows Ctrl-C and Ctrl-Break, ask for a stop. A second signal ends
/// the program.
void catch_signals();

/// Whether a signal asked for a stop.
bool stop_requested();

}  // namespace bitdistill
