// The weights of a model in one safetensors file or in several, the shards, which a folder of
// Hugging Face's names in `model.safetensors.index.json`.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/os_error.hpp"
#include "tern/io/safetensors.hpp"
#include "tern/json/read_json.hpp"

namespace tern::inline TERN_ABI {

/// The tensors of all files under their names. Their bytes live as long as this object.
class safetensors_shards {
 public:
  /// `path` is a .safetensors file, an index (.json), or a folder with model.safetensors or
  /// model.safetensors.index.json. Where a folder has both, the index is out of date or the same
  /// again, and the single file is taken, as transformers does. Throws io_error and format_error
  /// naming the file at fault.
  explicit safetensors_shards(const std::filesystem::path& path) : path_(path) {
    const auto file = find(path);
    if (file.extension() == ".json")
      open_shards(file);
    else
      open_single(file);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }  ///< as it was given
  /// The safetensors files, in the order of their first tensors' names.
  [[nodiscard]] const std::vector<safetensors_file>& files() const { return files_; }
  /// The names of all tensors, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> result;
    result.reserve(where_.size());
    for (const auto& [name, ignored] : where_) result.push_back(name);
    return result;
  }
  /// Whether one of the files has the tensor.
  [[nodiscard]] bool contains(std::string_view name) const { return where_.contains(name); }
  /// The tensor of a name. Throws format_error where there is none.
  [[nodiscard]] const safetensors_tensor& at(std::string_view name) const {
    const auto found = where_.find(name);
    if (found == where_.end())
      throw format_error(path_.string() + ": no tensor '" + std::string(name) + "'");
    return files_[found->second.file].at(found->second.name);
  }

  /// Makes a tensor known as `to` instead of `from`. The tensor itself keeps its name, which
  /// messages show. Throws format_error where there is no `from`, or a `to` already.
  void rename(std::string_view from, const std::string& to) {
    const auto found = where_.find(from);
    if (found == where_.end()) static_cast<void>(at(from));  // throws
    if (where_.contains(to)) at(from).fail("stands for '" + to + "', which is there, too");
    auto node = where_.extract(found);
    node.key() = to;
    where_.insert(std::move(node));
  }

 private:
  static std::filesystem::path find(const std::filesystem::path& path) {
    std::error_code none_there;  // opening the file will say what is wrong
    if (!std::filesystem::is_directory(path, none_there)) return path;
    constexpr auto index = "model.safetensors.index.json", single = "model.safetensors";
    for (const auto* name : {single, index})
      if (path_exists(path / name)) return path / name;
    std::string other;
    for (const auto* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "model.bin",
                             "tf_model.h5", "flax_model.msgpack", "adapter_model.safetensors"})
      if (path_exists(path / name))
        other = std::string(": it has ") + name +
                (name == std::string_view("adapter_model.safetensors")
                     ? ", an adapter, which must be merged into its base model first"
                     : ", which must be converted to safetensors first");
    throw io_error("'" + path.string() + "' holds neither " + index + " nor " + single + other);
  }

  void open_single(const std::filesystem::path& path) {
    files_.emplace_back(path);
    for (const auto& t : files_[0].tensors()) where_.emplace(t.name, place{0, t.name});
  }

  void open_shards(const std::filesystem::path& index) {
    const auto json = read_json(index);
    const auto fail = [&](const std::string& what) {
      throw format_error(index.string() + ": " + what);
    };
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
      fail("expected an object 'weight_map'");
    std::map<std::string, std::size_t> shards;
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      if (!file.is_string()) fail("weight_map '" + tensor + "': expected a file name");
      const auto name = file.get<std::string>();
      if (name.empty() || name == ".." || name.find('/') != name.npos)
        fail("weight_map '" + tensor + "': '" + name + "' is not the name of a file beside it");
      const auto [shard, fresh] = shards.emplace(name, files_.size());
      if (fresh) files_.emplace_back(index.parent_path() / name);
      if (!files_[shard->second].contains(tensor))
        fail("tensor '" + tensor + "' is not in '" + name + "'");
      where_.emplace(tensor, place{shard->second, tensor});
    }
    for (const auto& [name, number] : shards)
      for (const auto& tensor : files_[number].tensors())
        if (const auto at = where_.find(tensor.name);
            at != where_.end() && at->second.file != number)
          fail("tensor '" + tensor.name + "' is in '" +
               files_[at->second.file].path().filename().string() + "' and in '" + name +
               "', expected one of them");
  }

  /// A tensor: the number of its file and its name there.
  struct place {
    std::size_t file;
    std::string name;
  };

  std::filesystem::path path_;
  std::vector<safetensors_file> files_;
  std::map<std::string, place, std::less<>> where_;
};

static_assert(tensor_source<safetensors_shards>);

}  // namespace tern::inline TERN_ABI
