// Reads model files of two C programs: llama2.c's first format, in floats, and the ternary format
// of bitllama2.c. Both rotate adjacent pairs of elements of q and k. Hugging Face rotates pairs
// that are half a head apart, so the rows of q_proj and k_proj are reordered.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/core/byte_order.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/model/decoder.hpp"

namespace llama2c {

/// Reads values one after another, as the C programs do.
class input {
 public:
  explicit input(const std::filesystem::path& path) : file_(path) {
    tern::require_little_endian(path.string(), "the llama2.c format");
  }

  template <class T>
  T value() {
    T x;
    std::memcpy(&x, take(sizeof(T)), sizeof(T));
    return x;
  }
  void row(tern::row_view<float> to) { std::memcpy(to.data, take(4 * to.size), 4 * to.size); }
  void matrix(tern::matrix_view<float> to) {
    for (std::size_t r = 0; r < to.rows; ++r) row(to.row(r));
  }
  const std::byte* take(std::size_t bytes) {
    if (bytes > file_.bytes().size() - at_)
      throw tern::format_error(file_.path().string() + ": cut off");
    at_ += bytes;
    return file_.bytes().data() + at_ - bytes;
  }

 private:
  tern::mapped_file file_;
  std::size_t at_ = 0;
};

constexpr std::uint32_t ternary_magic = 0x616b3432;

inline bool is_ternary(const std::filesystem::path& path) {
  return input(path).value<std::uint32_t>() == ternary_magic;
}

/// Reads the seven numbers of the header. A negative vocabulary size means that the model has its
/// own output head.
inline tern::model_config read_config(input& in) {
  std::array<std::int32_t, 7> n{};
  for (auto& each : n) each = in.value<std::int32_t>();
  const auto size = [&](std::size_t i) {
    if (n[i] == 0 || (n[i] < 0 && i != 5)) throw tern::format_error("not a model of llama2.c");
    return static_cast<std::size_t>(n[i] < 0 ? -n[i] : n[i]);
  };
  return {.model_type = "llama",
          .vocab_size = size(5),
          .hidden_size = size(0),
          .intermediate_size = size(1),
          .num_hidden_layers = size(2),
          .num_attention_heads = size(3),
          .num_key_value_heads = size(4),
          .head_dim = size(0) / size(3),
          .max_position_embeddings = size(6),
          .rms_norm_eps = 1e-5,
          .rope_theta = 1e4,
          .qk_norm = false,
          .tie_word_embeddings = n[5] > 0};
}

/// The row in the decoder of row `r` of a projection in the file. Element 2i of a head becomes i,
/// and 2i + 1 becomes i + head_dim / 2.
inline std::size_t place(std::size_t r, const tern::parameter<tern::matrix<float>>& p,
                         std::size_t head_dim) {
  if (p.name.find("q_proj") == p.name.npos && p.name.find("k_proj") == p.name.npos) return r;
  const std::size_t j = r % head_dim;
  return r - j + j / 2 + j % 2 * (head_dim / 2);
}

/// The parameter with this name. Throws format_error if the model has none.
inline tern::parameter<tern::matrix<float>>& parameter_of(tern::decoder<>& model,
                                                          const std::string& name) {
  tern::parameter<tern::matrix<float>>* found = nullptr;
  model.for_each_parameter([&](auto& p) { found = p.name == name ? &p : found; });
  if (found == nullptr) throw tern::format_error("no parameter '" + name + "'");
  return *found;
}

/// Reads a model in floats. The file has one tensor for all layers, then the next tensor.
inline tern::decoder<> read_floats(const std::filesystem::path& path) {
  input in(path);
  tern::decoder<> model(read_config(in));
  const tern::model_config& c = model.config();
  in.matrix(parameter_of(model, "model.embed_tokens.weight").view());
  for (const std::string name : {"input_layernorm", "self_attn.q_proj", "self_attn.k_proj",
                                 "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm",
                                 "mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"})
    for (std::size_t i = 0; i < c.num_hidden_layers; ++i) {
      auto& p = parameter_of(model, "model.layers." + std::to_string(i) + "." + name + ".weight");
      for (std::size_t r = 0; r < p.view().rows; ++r) in.row(p.view().row(place(r, p, c.head_dim)));
    }
  in.matrix(parameter_of(model, "model.norm.weight").view());
  in.take(4 * c.max_position_embeddings * c.head_dim);  // skips the cosines and sines
  if (!c.tie_word_embeddings) in.matrix(model.head().view());
  return model;
}

/// Reads a ternary model. A tensor is a scale and codes of two bits, the lowest bits first: 0 = 0,
/// 1 = +1, 3 = -1. Before every linear there is a norm without weights that also divides by its
/// width.
inline tern::decoder<> read_ternary(const std::filesystem::path& path) {
  input in(path);
  if (in.value<std::uint32_t>() != ternary_magic || in.value<std::int32_t>() != 1)
    throw tern::format_error(path.string() + ": not a model of bitllama2.c");
  tern::model_config config = read_config(in);
  in.take(256 - 9 * 4);
  config.ternary = true;
  config.sub_ln = tern::norm_placement::all;
  config.sub_ln_eps = 0;
  config.quantizer_eps = 1e-30;
  tern::decoder<> model(config);
  in.matrix(parameter_of(model, "model.norm.weight").view());
  in.matrix(parameter_of(model, "model.embed_tokens.weight").view());
  using layer = tern::decoder<>::layer;
  for (auto member :
       {&layer::q, &layer::k, &layer::v, &layer::o, &layer::gate, &layer::down, &layer::up})
    for (layer& l : model.layers()) {
      tern::projection<tern::matrix<float>>& p = l.*member;
      const std::size_t rows = p.weight.view().rows, cols = p.weight.view().cols;
      const float scale = in.value<float>();
      const auto* bytes = in.take(rows * cols / 4);
      std::vector<std::int8_t> codes(rows * cols);
      for (std::size_t i = 0; i < codes.size(); ++i) {
        const auto digit = std::to_integer<int>(bytes[i / 4] >> (2 * (i % 4))) & 3;
        codes[place(i / cols, p.weight, config.head_dim) * cols + i % cols] =
            static_cast<std::int8_t>(digit == 3 ? -1 : digit);
      }
      p.pack(tern::shared_weights<float>(tern::ternary_weights<tern::two_bit>(
          {codes.data(), rows, cols}, {&scale, 1, 1}, {rows, cols})));
      p.norm->fill(1 / static_cast<float>(cols));
    }
  return model;
}

}  // namespace llama2c
