// Reading safetensors files. A file is the size of its header (u64, little-endian), the header in
// JSON, and the data. Nothing is trusted: where a file opens, its tensors fill the data exactly,
// without overlap or hole.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/byte_order.hpp"
#include "tern/core/error.hpp"
#include "tern/core/file_kind.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/io/safetensors_checksum.hpp"
#include "tern/io/safetensors_header.hpp"
#include "tern/io/safetensors_tensor.hpp"

namespace tern::inline TERN_ABI {

/// An open file. The bytes of its tensors stay in the mapped file and live as long as this object.
class safetensors_file {
 public:
  /// Throws io_error where the file cannot be read and format_error where it is not sound,
  /// and on big-endian machines.
  explicit safetensors_file(const std::filesystem::path& path) : file_(path) {
    require_little_endian(path.string(), "safetensors");
    const auto bytes = file_.bytes();
    if (file_kind_of(file_.text()) != file_kind::safetensors)
      refuse_known_kind(file_.text(), path.string(), "a safetensors file");
    if (bytes.size() < 8) fail("not a safetensors file: shorter than 8 bytes");
    std::uint64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    if (size > max_safetensors_header)
      fail("not a safetensors file: header of " + std::to_string(size) + " bytes");
    if (size > bytes.size() - 8) fail("cut off: the header ends beyond the end of the file");
    header_ = file_.text().substr(8, static_cast<std::size_t>(size));
    if (header_.empty() || header_.front() != '{')
      fail("not a safetensors file: the header does not begin with '{'");
    auto parsed = parse_safetensors_header(header_, path.string());
    metadata_ = std::move(parsed.metadata);
    place(std::move(parsed.entries), bytes.subspan(8 + header_.size()));
  }

  [[nodiscard]] const std::filesystem::path& path() const {
    return file_.path();
  }  ///< path of the file
  /// The keys and values under "__metadata__".
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// All tensors, in the order of their data.
  [[nodiscard]] std::span<const safetensors_tensor> tensors() const { return tensors_; }
  /// The names of the tensors, in the same order.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> result;
    result.reserve(tensors_.size());
    for (const auto& t : tensors_) result.push_back(t.name);
    return result;
  }
  /// Whether the file has a tensor of the name.
  [[nodiscard]] bool contains(std::string_view name) const { return index_.contains(name); }
  /// The tensor of a name. Throws format_error where there is none.
  [[nodiscard]] const safetensors_tensor& at(std::string_view name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail("no tensor '" + std::string(name) + "'");
    return tensors_[found->second];
  }

  /// Reads the whole file and compares its checksum, which the library's writer puts into the
  /// metadata. Throws format_error where it is wrong, returns false where the file has none.
  bool verify() const {
    const std::size_t at = detail::find_crc_digits(header_);
    if (!metadata_.contains(std::string(safetensors_crc_key)) || at == header_.npos) return false;
    const auto bytes = file_.bytes();
    const std::size_t digits = 8 + at, behind = digits + safetensors_crc_zero.size();
    checksum sum;
    sum.update(bytes.first(digits));
    sum.update(std::as_bytes(std::span(safetensors_crc_zero)));
    sum.update(bytes.subspan(behind));
    if (header_.substr(at, safetensors_crc_zero.size()) != detail::crc_digits(sum.value()))
      fail("damaged: the checksum does not fit the content");
    return true;
  }

 private:
  void place(std::vector<safetensors_entry> entries, std::span<const std::byte> data) {
    std::ranges::stable_sort(entries, [](const auto& a, const auto& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::size_t end = 0;
    for (auto& e : entries) {
      const auto place_error = [&](const std::string& what) {
        fail("tensor '" + e.name + "': " + what);
      };
      if (e.begin < end) place_error("overlaps another tensor");
      if (e.begin > end) place_error("a hole lies before it in the data");
      if (e.end > data.size()) place_error("cut off: ends beyond the end of the file");
      end = e.end;
      index_.emplace(e.name, tensors_.size());
      tensors_.push_back({std::move(e.name), path().string(), e.type, std::move(e.shape),
                          data.subspan(e.begin, e.end - e.begin)});
    }
    if (end != data.size())
      fail(std::to_string(data.size() - end) + " bytes after the last tensor");
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw format_error(path().string() + ": " + what);
  }

  mapped_file file_;
  std::string_view header_;
  std::map<std::string, std::string> metadata_;
  std::vector<safetensors_tensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> index_;
};

static_assert(tensor_source<safetensors_file>);

}  // namespace tern::inline TERN_ABI
