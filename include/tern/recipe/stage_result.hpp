// The row of a table for a stage: metrics, size and speed of the model that it deploys.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
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
#include "tern/recipe/share_model.hpp"

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

/// The answers of a model to this rank's share of the examples, and how fast it gives them.
template <class Model>
evaluation answer_share(const run_context& run, const stage& s, Model& model,
                        const bpe_tokenizer& tokenizer) {
  const auto all = std::span<const token_example>(run.data.reported().examples);
  const std::size_t rank = run.ranks.rank(), ranks = run.ranks.ranks(),
                    first = all.size() * rank / ranks, end = all.size() * (rank + 1) / ranks;
  const auto answered = [&] {
    return answer(
        model, run.data, all.subspan(first, end - first), tokenizer,
        [&](std::size_t n, std::size_t of) {
          if (rank == 0) run.observer.on_evaluation(s, n, of);
          if (run.observer.stop_requested())
            throw interrupted("stopped while stage " + s.name + " was measured");
        },
        run.ex);
  };
  const stopwatch watch;
  evaluation best = answered();
  // A small model classifies all examples in a moment, in which another program may have the
  // processor. The speed is that of the fastest of eight passes, as far as two seconds allow.
  for (int i = 1; i < 8 && run.data.task.classifies() && watch.seconds() < 2; ++i)
    best.tokens_per_second = std::max(best.tokens_per_second, answered().tokens_per_second);
  return best;
}

}  // namespace detail

/// Measures metrics, size and speed of the model that stage `s` deploys. Rank 0 reads it back from
/// the disk. The ranks share the examples. The speed is the one of rank 0. A row in the directory
/// that was measured with the same data is returned instead. Other ranks than rank 0 return
/// nothing. Throws `interrupted` if an observer asks to stop.
template <class Model>
std::optional<result_row> measured_row(const run_context& run, const stage& s,
                                       const std::string& fingerprint,
                                       const bpe_tokenizer& tokenizer) {
  std::string checksum;
  std::optional<result_row> row;
  std::optional<Model> model;
  run.lead([&] {
    checksum = detail::row_checksum(run.data, fingerprint);
    row = run.directory->measured(s.name, checksum);
    if (row) {
      row->method = s.row;
      row->marks = s.marks;
      return;
    }
    const auto folder = run.directory->model(s.name);
    if (!path_exists(folder / "config.json")) {
      Model master = load_model<Model>(run.directory->stage(s.name));
      save_deployed(master, folder, run.ex);
    }
    model.emplace(load_model<Model>(folder));
    require_answerable(*model, run.data, run.data.reported());
  });
  if (any_rank(run.ranks, row.has_value())) return row;
  share_model(run.ranks, model);
  evaluation mine;
  run.everyone([&] { mine = detail::answer_share(run, s, *model, tokenizer); });
  const auto predictions = gather_texts(run.ranks, mine.predictions);
  run.lead([&] {
    const auto file = run.directory->model(s.name) / "model.safetensors";
    row = {s.row, s.marks, score(run.data, run.data.reported(), predictions),
           static_cast<double>(detail::file_bytes(file)) / 1e6, mine.tokens_per_second};
    run.directory->write_row(s.name, checksum, *row);
  });
  return row;
}

}  // namespace tern::inline TERN_ABI
