// The curves of runs as event files for TensorBoard.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bitdistill {

/// Writes an event file for each stage of each run or point of a grid, into RUN/STAGE below the
/// folder. Throws as read_groups() does, io_error, and config_error where two runs have the same
/// name.
void write_event_files(const std::vector<std::string>& paths, const std::filesystem::path& folder);

}  // namespace bitdistill
