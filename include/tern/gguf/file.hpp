// Reading GGUF files, versions 2 and 3, as llama.cpp and its relatives write them. Nothing is
// trusted: where a file opens, its tensors lie inside it and do not overlap. A large model may be
// split into several files, the parts, which are read as one.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/file_kind.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/gguf/header.hpp"
#include "tern/gguf/parts.hpp"
#include "tern/gguf/q2_0_groups.hpp"
#include "tern/gguf/tensor.hpp"

namespace tern::inline TERN_ABI {

/// An open file. Metadata and tensors refer into the mapped file and live as long as this object.
class gguf_file {
 public:
  /// `path`: a file, or any part of a split one; then all parts are opened. `layout`: how I2_S
  /// tensors are laid out, which the file does not say. Throws io_error where a file cannot be read
  /// and format_error where it is not sound or is not the part that it should be.
  explicit gguf_file(const std::filesystem::path& path, i2_s_layout layout = i2_s_layout::x86)
      : path_(path), layout_(layout) {
    const mapped_file& named = files_.emplace_back(path);
    auto header = parse_gguf_header(named.bytes(), path.string());
    const auto parts = gguf_parts(header.metadata, path);
    if (parts.size() > 1) {
      files_.clear();
      for (const auto& part : parts) files_.emplace_back(part);
      header = parse_part(0);
    }
    version_ = header.version;
    alignment_ = header.alignment;
    metadata_ = std::move(header.metadata);
    place(std::move(header.entries), 0, header.size);
    for (std::size_t i = 1; i < files_.size(); ++i) {
      auto next = parse_part(i);
      place(std::move(next.entries), i, next.size);
    }
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      if (!index_.emplace(tensors_[i].name, i).second) tensors_[i].fail("stands twice");
    require_disjoint();
    require_complete();
  }

  /// The path that the constructor got.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The file, or all parts of a split one, in order.
  [[nodiscard]] std::span<const mapped_file> files() const { return files_; }
  [[nodiscard]] std::uint32_t version() const {
    return version_;
  }  ///< version of the format, 2 or 3
  /// The tensors begin at multiples of so many bytes.
  [[nodiscard]] std::size_t alignment() const { return alignment_; }
  /// All key-value pairs.
  [[nodiscard]] const gguf_metadata& metadata() const { return metadata_; }

  /// All tensors, in the order of the header.
  [[nodiscard]] std::span<const gguf_tensor> tensors() const { return tensors_; }
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
  [[nodiscard]] const gguf_tensor& at(std::string_view name) const {
    const auto found = index_.find(name);
    if (found == index_.end())
      throw format_error(path().string() + ": no tensor '" + std::string(name) + "'");
    return tensors_[found->second];
  }

 private:
  /// The header of a part of a split file, which must say that it is this part.
  [[nodiscard]] gguf_header parse_part(std::size_t part) const {
    auto header = parse_gguf_header(files_[part].bytes(), files_[part].path().string());
    for (const auto& [key, expected] :
         {std::pair(gguf_split_number, part), {gguf_split_count, files_.size()}})
      if (const auto got = header.metadata.get<std::size_t>(key); got != expected)
        header.metadata.fail(
            key, "expected " + std::to_string(expected) + ", got " + std::to_string(got));
    return header;
  }

  /// Adds the tensors of a part, whose data begin behind its header.
  void place(std::vector<gguf_entry> entries, std::size_t part, std::size_t header_size) {
    const auto bytes = files_[part].bytes();
    const auto data = bytes.subspan(std::min(header_size, bytes.size()));
    detail::tell_q2_0_groups(entries, alignment_, data.size(), files_[part].path().string());
    for (auto& e : entries) {
      tensors_.push_back({std::move(e.name),
                          files_[part].path().string(),
                          e.type,
                          std::move(e.shape),
                          {},
                          layout_});
      const gguf_tensor& tensor = tensors_.back();
      if (e.offset > data.size() || e.size > data.size() - e.offset)
        tensor.fail("cut off: ends beyond the end of the file");
      tensors_.back().data = data.subspan(e.offset, e.size);
    }
  }

  /// The first part says how many tensors all parts hold.
  void require_complete() const {
    if (files_.size() == 1 || !metadata_.contains(gguf_split_tensors)) return;
    const auto expected = metadata_.get<std::size_t>(gguf_split_tensors);
    if (expected != tensors_.size())
      metadata_.fail(gguf_split_tensors, "says " + std::to_string(expected) +
                                             ", but the parts hold " +
                                             std::to_string(tensors_.size()) + " tensors");
  }

  void require_disjoint() const {
    std::vector<const gguf_tensor*> in_order;
    for (const auto& t : tensors_)
      if (!t.data.empty()) in_order.push_back(&t);
    std::ranges::sort(in_order, {}, [](const auto* t) { return t->data.data(); });
    for (std::size_t i = 1; i < in_order.size(); ++i)
      if (in_order[i]->data.data() < in_order[i - 1]->data.data() + in_order[i - 1]->data.size())
        in_order[i]->fail("overlaps tensor '" + in_order[i - 1]->name + "'");
  }

  std::filesystem::path path_;
  std::vector<mapped_file> files_;
  i2_s_layout layout_;
  std::uint32_t version_ = 0;
  std::size_t alignment_ = 0;
  gguf_metadata metadata_;
  std::vector<gguf_tensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

static_assert(tensor_source<gguf_file>);

/// Whether a path is a GGUF file rather than a model folder or another file. The content tells it,
/// whatever the file is called. A file that is called *.gguf is taken for one, too, so that the
/// reader says what is wrong with it.
inline bool is_gguf(const std::filesystem::path& path) {
  std::error_code unknown;
  if (std::filesystem::is_directory(path, unknown)) return false;
  if (path.extension() == ".gguf") return true;
  if (!std::filesystem::is_regular_file(path, unknown)) return false;
  std::array<char, 16> begin{};
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), begin.size());
  return file_kind_of({begin.data(), static_cast<std::size_t>(file.gcount())}) == file_kind::gguf;
}

}  // namespace tern::inline TERN_ABI
