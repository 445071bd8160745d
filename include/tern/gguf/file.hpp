// Reading GGUF files, versions 2 and 3, as llama.cpp and its relatives write them. Nothing is
// trusted: where a file opens, its tensors lie inside it and do not overlap.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/gguf/header.hpp"
#include "tern/gguf/tensor.hpp"

namespace tern::inline TERN_ABI {

static_assert(std::endian::native == std::endian::little, "GGUF data is little-endian");

/// An open file. Metadata and tensors refer into the mapped file and live as long as this object.
class gguf_file {
 public:
  /// `layout`: how I2_S tensors are laid out, which the file does not say. Throws io_error where
  /// the file cannot be read and format_error where it is not sound.
  explicit gguf_file(const std::filesystem::path& path, i2_s_layout layout = i2_s_layout::x86)
      : file_(path), layout_(layout) {
    auto header = parse_gguf_header(file_.bytes(), path.string());
    version_ = header.version;
    alignment_ = header.alignment;
    metadata_ = std::move(header.metadata);
    const std::size_t begin = std::min(header.size, file_.bytes().size());
    place(std::move(header.entries), file_.bytes().subspan(begin));
  }

  [[nodiscard]] const std::filesystem::path& path() const {
    return file_.path();
  }  ///< path of the file
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
  void place(std::vector<gguf_entry> entries, std::span<const std::byte> data) {
    tensors_.reserve(entries.size());  // the index refers to the names, so they must not move
    for (auto& e : entries) {
      tensors_.push_back(
          {std::move(e.name), path().string(), e.type, std::move(e.shape), {}, layout_});
      const gguf_tensor& tensor = tensors_.back();
      if (!index_.emplace(tensor.name, tensors_.size() - 1).second) tensor.fail("stands twice");
      if (e.offset > data.size() || e.size > data.size() - e.offset)
        tensor.fail("cut off: ends beyond the end of the file");
      tensors_.back().data = data.subspan(e.offset, e.size);
    }
    require_disjoint();
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

  mapped_file file_;
  i2_s_layout layout_;
  std::uint32_t version_ = 0;
  std::size_t alignment_ = 0;
  gguf_metadata metadata_;
  std::vector<gguf_tensor> tensors_;
  std::unordered_map<std::string_view, std::size_t> index_;
};

static_assert(tensor_source<gguf_file>);

/// Whether a path names a GGUF file, by its extension, and not a model folder.
inline bool is_gguf(const std::filesystem::path& path) { return path.extension() == ".gguf"; }

}  // namespace tern::inline TERN_ABI
