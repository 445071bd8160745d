// The row of a table for a stage: metrics, size and speed of the model that it deploys.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/save_deployed.hpp"
#include "tern/core/os_error.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/recipe/evaluate.hpp"
#include "tern/recipe/fingerprint.hpp"
#include "tern/recipe/result_row.hpp"
#include "tern/recipe/run_context.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

/// A text of all that the row of a stage depends on.
inline std::string row_checksum(const task_data& data, const std::string& fingerprint) {
  const task_examples& part = data.reported();
  content_checksum weights;
  weights.add<char>(fingerprint);
  std::string text = weights.text() + " " + checksum_of(part.examples) + " ";
  text += checksum_of(part.references);
  for (const std::string& metric : data.task.metrics) text += " " + metric;
  for (const std::int32_t end : data.ends) text += " end " + std::to_string(end);
  return text + " " + std::to_string(data.answer_tokens);
}

/// The size of a file. Throws io_error.
inline std::uintmax_t file_bytes(const std::filesystem::path& file) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(file, error);
  if (error) throw io_error("cannot read '" + file.string() + "': " + error.message());
  return bytes;
}

}  // namespace detail

/// Measures metrics, size and speed of the model that stage `s` deploys, which is read back from
/// disk. A row in the directory that was measured with the same data is returned instead. Throws
/// `interrupted` if the observer asks to stop.
template <class Model>
result_row measured_row(const run_context& run, const stage& s, const std::string& fingerprint,
                        const bpe_tokenizer& tokenizer) {
  const std::string checksum = detail::row_checksum(run.data, fingerprint);
  if (auto before = run.directory->measured(s.name, checksum)) {
    before->method = s.row;
    before->marks = s.marks;
    return *std::move(before);
  }
  const auto folder = run.directory->model(s.name);
  if (!path_exists(folder / "config.json")) {
    Model master = load_model<Model>(run.directory->stage(s.name));
    save_deployed(master, folder, run.ex);
  }
  Model model = load_model<Model>(folder);
  const auto evaluated = [&] {
    return evaluate(
        model, run.data, run.data.reported(), tokenizer,
        [&](std::size_t n, std::size_t all) {
          run.observer.on_evaluation(s, n, all);
          if (run.observer.stop_requested())
            throw interrupted("stopped while stage " + s.name + " was measured");
        },
        run.ex);
  };
  const stopwatch watch;
  evaluation best = evaluated();
  // A small model classifies all examples in a moment, in which another program may have the
  // processor. The speed is that of the fastest of eight passes, as far as two seconds allow.
  for (int i = 1; i < 8 && run.data.task.classifies() && watch.seconds() < 2; ++i)
    best.tokens_per_second = std::max(best.tokens_per_second, evaluated().tokens_per_second);
  result_row row{s.row, s.marks, best.metrics,
                 static_cast<double>(detail::file_bytes(folder / "model.safetensors")) / 1e6,
                 best.tokens_per_second};
  run.directory->write_row(s.name, checksum, row);
  return row;
}

}  // namespace tern::inline TERN_ABI
