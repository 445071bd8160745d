// Packed weights whose format is known only when the program runs, for instance those of a model
// file. Copies share the memory, which the weights own or which is a mapped file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/packed_bytes.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/pack/two_bit.hpp"

namespace tern::inline TERN_ABI {

/// Weights of any format with scales of type T.
template <class T = float>
class shared_weights {
 public:
  /// Takes over the memory of `weights`.
  template <class Format>
  explicit shared_weights(ternary_weights<Format, T> weights) {
    const auto owner = std::make_shared<ternary_weights<Format, T>>(std::move(weights));
    view_ = owner->view();
    owner_ = owner;
  }

  /// Views what serialize() wrote; `owner` keeps the bytes alive. Throws what view_bytes() throws.
  shared_weights(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : owner_(std::move(owner)) {
    const std::uint8_t id = read_packed_header(bytes).format;
    if (!(view_as<two_bit>(id, bytes) || view_as<base3>(id, bytes) ||
          view_as<four_bit>(id, bytes) || view_as<eight_bit>(id, bytes)))
      throw format_error("packed weights: unknown format " + std::to_string(id));
  }

  /// Shape of the matrix: (out, in).
  [[nodiscard]] std::size_t rows() const {
    return visit([](const auto& w) { return w.rows(); });
  }
  [[nodiscard]] std::size_t cols() const {
    return visit([](const auto& w) { return w.cols(); });
  }
  /// Bytes of codes and scales.
  [[nodiscard]] std::size_t size_bytes() const {
    return visit([](const auto& w) { return w.size_bytes(); });
  }

  /// Calls f with the ternary_weights_view<Format, T> and returns its result.
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit(std::forward<F>(f), view_);
  }

  /// The view; null where the weights have another format.
  template <class Format>
  [[nodiscard]] const ternary_weights_view<Format, T>* view_if() const {
    return std::get_if<ternary_weights_view<Format, T>>(&view_);
  }

 private:
  template <class Format>
  bool view_as(std::uint8_t id, std::span<const std::byte> bytes) {
    if (id == Format::id) view_ = view_bytes<Format, T>(bytes);
    return id == Format::id;
  }

  std::shared_ptr<const void> owner_;
  std::variant<ternary_weights_view<two_bit, T>, ternary_weights_view<base3, T>,
               ternary_weights_view<four_bit, T>, ternary_weights_view<eight_bit, T>>
      view_;
};

}  // namespace tern::inline TERN_ABI
