// What the weights of a stage depend on. A finished stage keeps its fingerprint, so that a run
// which is continued trains exactly the stages that are missing or changed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tern/core/mapped_file.hpp"
#include "tern/gguf/file.hpp"
#include "tern/io/checksum.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/recipe/recipe.hpp"
#include "tern/recipe/stage_examples.hpp"
#include "tern/recipe/task_data.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// Checksum and length of the bytes that were added.
class content_checksum {
 public:
  template <class T>
  void add(std::span<const T> values) {
    const auto bytes = std::as_bytes(values);
    sum_.update(bytes);
    length_ += bytes.size();
  }
  [[nodiscard]] std::string text() const {
    return std::to_string(sum_.value()) + "/" + std::to_string(length_);
  }

 private:
  checksum sum_;
  std::uint64_t length_ = 0;
};

inline std::string checksum_of(const std::vector<token_example>& examples) {
  content_checksum sum;
  for (const token_example& e : examples) {
    const std::array<std::uint64_t, 2> sizes{e.tokens.size(), e.answer};
    sum.add<std::uint64_t>(sizes);
    sum.add<std::int32_t>(e.tokens);
  }
  return sum.text();
}

inline std::string checksum_of(const std::vector<std::vector<std::string>>& references) {
  content_checksum sum;
  for (const auto& list : references)
    for (const std::string& text : list) sum.add<char>(std::span(text.c_str(), text.size() + 1));
  return sum.text();
}

inline std::string checksum_of(std::span<const std::int32_t> stream, std::int32_t separator) {
  content_checksum sum;
  sum.add(stream);
  sum.add(std::span<const std::int32_t>(&separator, 1));
  return sum.text();
}

/// Checksum of the data that a stage learns from or calibrates on.
inline std::string checksum_of_data(const stage& s, const task_data& data) {
  const auto corpus = [&] { return checksum_of(data.stream, data.separator); };
  const auto examples = [&] {
    return checksum_of(stage_examples(s, data.train.examples, data.unlabelled));
  };
  if (s.edits.calibrate) return examples() + " " + corpus();
  return s.data == stage_data::corpus ? corpus() : examples();
}

/// Checksum of the files of a model: a GGUF file with all of its parts, or the files of a folder
/// that hold weights or the configuration.
inline std::string checksum_of_model(const std::filesystem::path& model) {
  std::vector<std::filesystem::path> files;
  std::error_code not_a_folder;  // opening the file below tells what is wrong with it
  for (const auto& entry : std::filesystem::directory_iterator(model, not_a_folder))
    if (entry.path().extension() == ".safetensors" || entry.path().filename() == "config.json")
      files.push_back(entry.path());
  if (files.empty() && is_gguf(model)) {
    content_checksum sum;
    const gguf_file file(model);
    for (const auto& part : file.files()) sum.add(part.bytes());
    return sum.text();
  }
  if (files.empty()) files.push_back(model);
  std::ranges::sort(files);
  content_checksum sum;
  for (const auto& file : files) sum.add(mapped_file(file).bytes());
  return sum.text();
}

}  // namespace detail

/// The fingerprint of each stage, by the stage's name. It holds the fields of the stage that its
/// weights depend on, the fingerprints of the stage that it starts from and of its teacher (the
/// checksum where one of them is a model on disk), and the checksum of the data that it learns
/// from. Throws io_error where such a model cannot be read.
inline std::map<std::string, nlohmann::json> stage_fingerprints(const recipe& r,
                                                                const task_data& data) {
  std::map<std::string, nlohmann::json> all;
  const auto origin = [&](const std::string& name) -> nlohmann::json {
    if (name == "new")
      return {{"new", write_fields(r).at("model")}, {"vocab_size", r.model.vocab_size}};
    if (is_model_path(name)) return {{"checksum", detail::checksum_of_model(name)}};
    return all.at(name);
  };
  for (const stage& s : r.stages) {
    nlohmann::json text = write_fields(s);
    for (const char* key : {"name", "like", "row", "marks", "log_every", "save_every",
                            "teacher_cache", "from", "teacher"})
      text.erase(key);
    // As in runs from before there were these fields.
    if (s.parts == 1) text.erase("parts");
    if (s.gradients == gradient_format::real) text.erase("gradients");
    for (auto& [name, options] : text.at("optimizer").items())
      if (options.at("moments") == "float") options.erase("moments");
    const nlohmann::json made = {
        {"stage", std::move(text)},
        {"from", origin(s.from)},
        {"teacher", s.teacher.empty() ? nlohmann::json() : origin(s.teacher)},
        {"data", detail::checksum_of_data(s, data)}};
    all[s.name] = nlohmann::json::parse(made.dump());  // types of numbers as a file has them
  }
  return all;
}

/// The dotted path of the first difference between two fingerprints, such as
/// "stage.losses.logits.weight"; empty where they are equal.
inline std::string first_difference(const nlohmann::json& a, const nlohmann::json& b) {
  for (const auto& change : nlohmann::json::diff(a, b)) {
    std::string path = change.at("path").get<std::string>();
    for (char& c : path)
      if (c == '/') c = '.';
    return path.empty() ? "fingerprint" : path.substr(1);
  }
  return {};
}

}  // namespace tern::inline TERN_ABI
