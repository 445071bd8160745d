// What every test includes: Catch2 (v2 or v3) and where the optional real data lies.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#  include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#  include <catch2/catch.hpp>
#endif

#include <cstdlib>
#include <filesystem>
#include <string>

namespace tern_test {

/// TERN_DATA_DIR, else `shared/data` beside the checkout; may not exist.
inline std::filesystem::path data_dir() {
  if (const char* dir = std::getenv("TERN_DATA_DIR")) return dir;
  return std::filesystem::path(__FILE__)
             .lexically_normal()
             .parent_path()
             .parent_path()
             .parent_path() /
         "shared" / "data";
}

/// Path of a real data file; warns and gives an empty path where it is missing, so that the
/// calling test can `return`.
inline std::filesystem::path data_file(const std::string& relative) {
  auto path = data_dir() / relative;
  if (std::filesystem::exists(path)) return path;
  WARN("skipped: " << path.string() << " is missing (set TERN_DATA_DIR)");
  return {};
}

/// A fresh directory below the system's temporary one, removed with the object.
class scratch_dir {
 public:
  scratch_dir() {
    auto pattern = (std::filesystem::temp_directory_path() / "tern-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed: " + pattern);
    path_ = pattern;
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
