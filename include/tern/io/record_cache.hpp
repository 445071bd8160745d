// A file of numbered records whose sizes are known before. It is a cache: a record may be missing,
// one that is damaged counts as missing, and where the disk is full nothing more is stored.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tern/core/file_calls.hpp"
#include "tern/core/os_error.hpp"
#include "tern/io/checksum.hpp"

namespace tern::inline TERN_ABI {

/// The file begins with a header of 256 bytes, which holds the identity. A word of 8 bytes for each
/// record follows, 0 or 2^32 + the CRC-32 of the record, and then the records, one after another.
/// Records that would end beyond the limit are never stored.
class record_cache {
 public:
  /// Opens the file, or makes it; one with another identity is emptied. `sizes`: bytes of each
  /// record; `limit`: bytes that the file may have. Throws io_error where the file cannot be made.
  record_cache(const std::filesystem::path& path, const std::string& identity,
               std::span<const std::size_t> sizes, std::uint64_t limit)
      : fd_(detail::open_for_update(path)), sums_(sizes.size()) {
    if (!fd_) throw_os_error("make", path);
    std::uint64_t at = header_size + sizes.size() * sizeof(std::uint64_t);
    for (const std::size_t size : sizes) {
      places_.push_back({at, at + size <= limit ? size : 0});
      at += size;
    }
    std::string header = "tern record cache 1 " + identity;
    header.resize(header_size, '\n');
    std::string found(header_size, '\0');
    if (read(0, found.data(), header_size) && found == header &&
        read(header_size, sums_.data(), sums_.size() * sizeof(std::uint64_t)))
      return;
    sums_.assign(sizes.size(), 0);
    full_ = !detail::resize_file(fd_, 0) ||
            !detail::resize_file(fd_, places_.empty() ? header_size : places_.front().at) ||
            !write(0, header.data(), header_size);
  }

  /// Reads record i into `to`, which has its size. False where it is missing or damaged.
  [[nodiscard]] bool read_record(std::size_t i, std::span<std::byte> to) {
    if (sums_[i] == 0) return false;
    if (read(places_[i].at, to.data(), to.size()) && sum_of(to) == sums_[i]) return true;
    sums_[i] = 0;
    return false;
  }

  /// Stores record i where there is room for it.
  void store_record(std::size_t i, std::span<const std::byte> bytes) {
    if (full_ || bytes.size() != places_[i].size) return;
    const std::uint64_t sum = sum_of(bytes);
    full_ = !write(places_[i].at, bytes.data(), bytes.size()) ||
            !write(header_size + i * sizeof(sum), &sum, sizeof(sum));
    if (!full_) sums_[i] = sum;
  }

 private:
  static constexpr std::size_t header_size = 256;

  struct place {
    std::uint64_t at = 0;
    std::size_t size = 0;  // 0: the record lies beyond the limit
  };

  static std::uint64_t sum_of(std::span<const std::byte> bytes) {
    return (std::uint64_t{1} << 32) | checksum::of(bytes);
  }

  /// Calls read_at or write_at until all bytes are done. False where that fails or the file ends.
  template <class Byte, class Call>
  [[nodiscard]] bool transfer(Call call, std::uint64_t at, Byte* bytes, std::size_t size) const {
    while (size > 0) {
      const std::ptrdiff_t n = call(fd_, at, bytes, size);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes += n;
      at += static_cast<std::uint64_t>(n);
      size -= static_cast<std::size_t>(n);
    }
    return true;
  }
  [[nodiscard]] bool read(std::uint64_t at, void* to, std::size_t size) const {
    return transfer(detail::read_at, at, static_cast<char*>(to), size);
  }
  [[nodiscard]] bool write(std::uint64_t at, const void* from, std::size_t size) const {
    return transfer(detail::write_at, at, static_cast<const char*>(from), size);
  }

  file_descriptor fd_;
  std::vector<std::uint64_t> sums_;
  std::vector<place> places_;
  bool full_ = false;  // a write has failed
};

}  // namespace tern::inline TERN_ABI
