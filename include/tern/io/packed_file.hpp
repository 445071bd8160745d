// Packed weights as a file. It is written atomically, and its weights are used where it is mapped.
#pragma once

#include <filesystem>
#include <span>

#include "tern/core/atomic_file.hpp"
#include "tern/core/error.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/pack/packed_bytes.hpp"

namespace tern::inline TERN_ABI {

/// Writes the weights atomically. Throws io_error.
template <stored_format Format, class T>
void write_packed_file(const std::filesystem::path& path,
                       const ternary_weights_view<Format, T>& w) {
  atomic_file file(path);
  for_each_part(w, [&](std::span<const std::byte> part) { file.write(part); });
  file.commit();
}

/// A mapped file of packed weights. It can be moved but not copied, and converts to
/// ternary_weights_view. Pages are read from the disk when a product first needs them.
template <stored_format Format, class T = float>
class packed_file {
 public:
  /// Throws io_error where the file cannot be read, format_error naming it where it does not hold
  /// such weights.
  explicit packed_file(const std::filesystem::path& path) try
      : file_(path), view_(view_bytes<Format, T>(file_.bytes())) {
  } catch (const format_error& e) {
    throw format_error(path.string() + ": " + e.what());
  }

  /// The weights, which refer into the mapped file.
  [[nodiscard]] const ternary_weights_view<Format, T>& view() const { return view_; }
  /// The same as view().
  operator const ternary_weights_view<Format, T>&() const {  // NOLINT: an owner converts
    return view_;
  }

 private:
  mapped_file file_;
  ternary_weights_view<Format, T> view_;
};

}  // namespace tern::inline TERN_ABI
