#include "resources.hpp"

#include <fmt/core.h>

#include <fstream>
#include <sstream>

#include "tern/core/error.hpp"

namespace bitdistill {
namespace {

namespace fs = std::filesystem;

void require(std::size_t free, std::size_t bytes, const std::string& where,
             const std::string& what) {
  if (free < bytes)
    throw tern::io_error(fmt::format("{} has {:.1f} GB free, but {} takes {:.1f} GB", where,
                                     static_cast<double>(free) / 1e9, what,
                                     static_cast<double>(bytes) / 1e9));
}

}  // namespace

void require_disk(const fs::path& path, std::size_t bytes, const std::string& what) {
  fs::path at = fs::absolute(path);
  std::error_code error;
  while (!fs::exists(at, error) && at != at.parent_path()) at = at.parent_path();
  const auto space = fs::space(at, error);
  if (!error) require(space.available, bytes, "the disk of '" + path.string() + "'", what);
}

std::size_t available_memory() {
  std::ifstream file("/proc/meminfo");  // where there is no such file, nothing is known
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::size_t kilobytes = 0;
    if (words >> key >> kilobytes && key == "MemAvailable:") return 1024 * kilobytes;
  }
  return 0;
}

void require_memory(std::size_t bytes, const std::string& what) {
  if (const std::size_t free = available_memory(); free > 0)
    require(free, bytes, "this machine", what);
}

}  // namespace bitdistill
