#if !defined(_WIN32)

#  include <unistd.h>

#  include <algorithm>
#  include <fstream>

#  include "system.hpp"

namespace bitdistill {

std::vector<std::string> command_line_arguments(int argc, char** argv) {
  return {argv + std::min(argc, 1), argv + argc};
}

void prepare_process() {}

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) != 0; }

double resident_megabytes() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

}  // namespace bitdistill

#endif
