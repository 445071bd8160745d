// Every test includes this: Catch2 (v2 or v3), and the place of the optional real data.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#  include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#  include <catch2/catch.hpp>
#endif

#include <unistd.h>  // macOS declares mkdtemp() there

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

namespace tern_test {

/// TERN_DATA_DIR, or `shared/data` beside the checkout if that is not set. It may not exist.
inline std::filesystem::path data_dir() {
  if (const char* dir = std::getenv("TERN_DATA_DIR")) return dir;
  return std::filesystem::path(__FILE__)
             .lexically_normal()
             .parent_path()
             .parent_path()
             .parent_path() /
         "shared" / "data";
}

/// Path of a real data file. If it is missing, this warns and returns an empty path, so that the
/// calling test can `return`.
inline std::filesystem::path data_file(const std::string& relative) {
  auto path = data_dir() / relative;
  if (std::filesystem::exists(path)) return path;
  WARN("skipped: " << path.string() << " is missing (set TERN_DATA_DIR)");
  return {};
}

/// Sets a variable of this process's environment.
inline void set_environment(const std::string& name, const std::string& value) {
#if defined(_WIN32)
  _putenv_s(name.c_str(), value.c_str());
#else
  ::setenv(name.c_str(), value.c_str(), 1);
#endif
}

/// A fresh directory below the system's temporary directory. It is removed with the object.
class scratch_dir {
 public:
  scratch_dir() {
    do {
      path_ = std::filesystem::temp_directory_path() /
              ("tern-test-" + std::to_string(std::random_device()()));
    } while (!std::filesystem::create_directory(path_));
  }
  scratch_dir(const scratch_dir&) = delete;
  scratch_dir& operator=(const scratch_dir&) = delete;
  ~scratch_dir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tern_test
