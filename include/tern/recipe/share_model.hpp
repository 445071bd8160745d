// Rank 0 alone reads and writes the directory of a run. It sends the other ranks what they need:
// models, and the state of a stage that goes on.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/reducer.hpp"
#include "tern/core/tensor.hpp"
#include "tern/core/together.hpp"
#include "tern/distill/objective.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/model/config_fields.hpp"
#include "tern/model/parameter.hpp"
#include "tern/pack/packed_bytes.hpp"
#include "tern/pack/shared_weights.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// Every rank gets the elements of rank 0. All of them have the shape of `m`.
template <class T>
void share_matrix(reducer& ranks, matrix_view<T> m) {
  constexpr std::size_t most = std::size_t{1} << 22;  // elements that are sent at once
  const std::size_t rows = std::max<std::size_t>(1, most / std::max<std::size_t>(1, m.cols));
  std::vector<T> buffer;
  for (std::size_t first = 0; first < m.rows; first += rows) {
    const matrix_view<T> part = m.row_block(first, std::min(rows, m.rows - first));
    buffer.resize(part.size());
    const matrix_view<T> dense(buffer.data(), part.rows, part.cols);
    const auto copy = [](matrix_view<T> from, matrix_view<T> to) {
      for (std::size_t r = 0; r < from.rows; ++r)
        for (std::size_t c = 0; c < from.cols; ++c) to(r, c) = from(r, c);
    };
    if (ranks.rank() == 0) copy(part, dense);
    ranks.broadcast(std::as_writable_bytes(std::span(buffer)));
    if (ranks.rank() != 0) copy(dense, part);
  }
}

/// Every rank gets the packed weights of rank 0. Does nothing where it has none.
template <class Owner>
void share_packed(reducer& ranks, projection<Owner>& p) {
  using T = scalar_of<Owner>;
  std::uint64_t size = 0;
  if (ranks.rank() == 0 && p.packed)
    size = p.packed->visit([](const auto& w) { return header_of(w).total; });
  ranks.broadcast(std::as_writable_bytes(std::span(&size, 1)));
  if (size == 0) return;
  const auto lines = std::make_shared<std::vector<packed_line>>();
  std::span<std::byte> bytes;
  together(ranks, [&] {
    lines->resize(static_cast<std::size_t>(size) / sizeof(packed_line));
    bytes = std::as_writable_bytes(std::span(*lines));
    if (ranks.rank() == 0) p.packed->visit([&](const auto& w) { serialize(w, bytes); });
  });
  constexpr std::size_t most = std::size_t{1} << 24;  // bytes that are sent at once
  for (std::size_t i = 0; i < bytes.size(); i += most)
    ranks.broadcast(bytes.subspan(i, std::min(most, bytes.size() - i)));
  if (ranks.rank() != 0) p.pack(shared_weights<T>(bytes, lines));
}

/// Every rank gets the model of rank 0; the others give nothing. Throws rank_error where a rank has
/// no memory for it.
template <class Model>
void share_model(reducer& ranks, std::optional<Model>& model) {
  if (ranks.ranks() == 1) return;
  std::string config;
  together(ranks, [&] {
    if (ranks.rank() != 0) return;
    config = write_fields(model->config()).dump();
  });
  broadcast_text(ranks, config);
  together(ranks, [&] {
    if (ranks.rank() == 0) return;
    const nlohmann::json json = parse_json(config, "rank 0");
    model_config c;
    read_fields(c, json_fields(json, "rank 0"));
    model.emplace(c);
  });
  model->for_each_projection([&](auto& p) { share_packed(ranks, p); });
  model->for_each_parameter([&](auto& p) { share_matrix(ranks, p.view()); });
}

/// Every rank gets the state of rank 0 but for moments, which each rank has for its own rows:
/// weights, the step and the running means.
template <class Model>
void share_training_state(reducer& ranks, trainer<Model>& t,
                          objective<typename Model::scalar>& loss) {
  t.model().for_each_parameter([&](auto& p) { share_matrix(ranks, p.view()); });
  std::vector<double> numbers{static_cast<double>(t.step()), t.initial_scale()};
  numbers.insert(numbers.end(), loss.means().begin(), loss.means().end());
  ranks.broadcast(std::as_writable_bytes(std::span(numbers)));
  t.optimizer().restore_steps(static_cast<std::size_t>(numbers[0]));
  t.restore_initial_scale(numbers[1]);
  loss.restore({numbers.begin() + 2, numbers.end()});
}

}  // namespace tern::inline TERN_ABI
