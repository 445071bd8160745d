// Writing a model as a GGUF file that llama.cpp reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tern/checkpoint/gguf_architecture_for.hpp"
#include "tern/checkpoint/gguf_names.hpp"
#include "tern/checkpoint/gguf_rope.hpp"
#include "tern/checkpoint/pooling_files.hpp"
#include "tern/checkpoint/write_gguf_config.hpp"
#include "tern/checkpoint/write_gguf_tokenizer.hpp"
#include "tern/gguf/writer.hpp"
#include "tern/model/decoder.hpp"
#include "tern/model/pooling.hpp"

namespace tern::inline TERN_ABI {

/// How matrices are stored. Gains and biases are always F32.
struct gguf_storage {
  ggml_type linears = ggml_type::f16;     ///< type of the linears of all layers
  ggml_type tables = ggml_type::f16;      ///< type of embedding and head
  i2_s_layout layout = i2_s_layout::x86;  ///< layout of linears stored as I2_S
};

namespace detail {

/// The number by which llama.cpp names a file whose linears have the type.
inline std::uint32_t gguf_file_type(ggml_type type) {
  switch (type) {
    case ggml_type::f16:
      return 1;
    case ggml_type::q8_0:
      return 7;
    case ggml_type::bf16:
      return 32;
    case ggml_type::tq1_0:
      return 36;
    case ggml_type::tq2_0:
      return 37;
    case ggml_type::i2_s:
      return 40;
    case ggml_type::q2_0:
      return 41;
    default:
      return 0;
  }
}

/// The codes of a ternary projection and their scales.
struct trits_of_projection {
  std::vector<std::int8_t> codes;  ///< a code for each weight
  std::vector<float> scales;       ///< a scale for each block
  extents shape, block;            ///< sizes of the matrix and of its blocks

  matrix_view<std::int8_t> code_matrix() { return {codes.data(), shape.rows, shape.cols}; }
  matrix_view<float> scale_matrix() {
    const extents n = scale_extents(shape, block);
    return {scales.data(), n.rows, n.cols};
  }

  /// Reads a projection, packed or not.
  template <class Model, class Owner>
  trits_of_projection(const Model& model, const projection<Owner>& p) : shape(p.weight.shape) {
    using T = scalar_of<Owner>;
    codes.resize(shape.rows * shape.cols);
    const auto take = [&](scale_view<const T> from) {
      for (std::size_t r = 0; r < from.rows; ++r)
        for (std::size_t c = 0; c < from.cols; ++c)
          scales.push_back(static_cast<float>(from(r, c)));
    };
    if (p.packed) {
      p.packed->visit([&](const auto& w) {
        unpack(w.packed, code_matrix());
        block = w.block();
        take(w.scales());
      });
    } else {
      model.with_weight_quantizer(p, [&](const auto& quantizer) {
        block = quantizer.scale_block(shape.rows, shape.cols);
        const extents n = scale_extents(shape, block);
        std::vector<T> found(n.rows * n.cols);
        quantizer.template quantize<T>(p.weight.view(), code_matrix(),
                                       {found.data(), n.rows, n.cols}, {});
        take(matrix_view<const T>(found.data(), n.rows, n.cols));
      });
    }
  }

  /// Puts rows into GGUF's order of a rotated head.
  void to_adjacent(std::size_t head) {
    reorder_heads(code_matrix(), head, rope_order::to_adjacent);
    if (block.rows == 1) reorder_heads(scale_matrix(), head, rope_order::to_adjacent);
  }

  /// The real weights.
  std::vector<float> dequantized() {
    std::vector<float> w(codes.size());
    dequantize<float>(code_matrix(), scale_matrix(), block, {w.data(), shape.rows, shape.cols});
    return w;
  }
};

/// Throws config_error, naming types that can, where a type cannot hold a scale for each block.
inline void require_scales_fit(const std::string& name, extents shape, extents block,
                               ggml_type type) {
  const extents unit = ternary_scale_block(type, shape.rows, shape.cols);
  const auto fits = [&](extents u) {
    return (block.rows >= shape.rows || (block.rows == 1 && u.rows == 1)) &&
           (block.cols >= shape.cols || block.cols % u.cols == 0);
  };
  if (fits(unit)) return;
  const extents finest = ternary_scale_block(ggml_type::q2_0, shape.rows, shape.cols);
  const bool q2_0 = fits(finest) && shape.cols % finest.cols == 0;
  throw config_error("'" + name + "' has a scale for every " + std::to_string(block.rows) + " x " +
                     std::to_string(std::min(block.cols, shape.cols)) + " weights, and " +
                     ggml_type_name(type) + " holds one for every " + std::to_string(unit.rows) +
                     " x " + std::to_string(unit.cols) + "; " + (q2_0 ? "Q2_0 holds them, " : "") +
                     "F16 holds the rounded weights, and a packed folder holds the model");
}

/// Adds parameters to a file under GGUF's names and with rows in its order. A tensor is copied only
/// when it is written, so there is one copy at a time.
template <class Model>
class gguf_model_writer {
  using T = typename Model::scalar;
  using owner = typename Model::owner;

 public:
  gguf_model_writer(gguf_writer& file, Model& model, const gguf_architecture& architecture,
                    const gguf_storage& storage)
      : file_(file), model_(model), architecture_(architecture), storage_(storage) {}

  void add_vector(const parameter<owner>& p) {
    add(p.name, ggml_type::f32, {p.shape.cols}, [this, &p](const auto& name, const auto& out) {
      const matrix_view<const T> stored = p.view();
      std::vector<T> copy(stored.cols);
      for (std::size_t i = 0; i < copy.size(); ++i)
        copy[i] = stored(0, i) + (has_unit_offset(p.name) ? gain_offset() : 0);
      if (const std::size_t head = rotated(p.name))
        reorder_heads(matrix_view<T>(copy.data(), copy.size(), 1), head, rope_order::to_adjacent);
      encode_matrix<T>(name, {copy.data(), 1, copy.size()}, ggml_type::f32, out);
    });
  }

  void add_dense(const projection<owner>& p, ggml_type type) {
    const extents n = p.weight.shape;
    if (!can_encode(type))
      throw config_error("'" + p.weight.name + "' is no ternary weight: " + ggml_type_name(type) +
                         " cannot hold it");
    add(p.weight.name, type, {n.rows, n.cols}, [=, this, &p](const auto& name, const auto& out) {
      const std::size_t head = rotated(p.weight.name);
      if (!p.packed && head == 0) return encode_matrix<T>(name, p.weight.view(), type, out);
      std::vector<T> copy(n.rows * n.cols);
      const matrix_view<T> w(copy.data(), n.rows, n.cols);
      if (p.packed)
        p.packed->visit([&](const auto& packed) { dequantize(packed, w); });
      else
        for (std::size_t r = 0; r < n.rows; ++r)
          for (std::size_t c = 0; c < n.cols; ++c) w(r, c) = p.weight.view()(r, c);
      if (head != 0) reorder_heads(w, head, rope_order::to_adjacent);
      encode_matrix<T>(name, w, type, out);
    });
  }

  /// Adds a ternary projection, code for code where the type is ternary, else its rounded weights.
  void add_ternary(const projection<owner>& p) {
    const extents n = p.weight.shape;
    const ggml_type type = storage_.linears;
    if (is_ternary(type)) require_scales_fit(p.weight.name, n, block_of(p), type);
    add(p.weight.name, type, {n.rows, n.cols}, [=, this, &p](const auto& name, const auto& out) {
      trits_of_projection trits(model_, p);
      if (const std::size_t head = rotated(p.weight.name)) trits.to_adjacent(head);
      if (is_ternary(type))
        return encode_ternary(name, {trits.code_matrix(), trits.scale_matrix(), trits.block}, type,
                              storage_.layout, out);
      const std::vector<float> w = trits.dequantized();
      encode_matrix<float>(name, {w.data(), n.rows, n.cols}, type, out);
    });
  }

 private:
  [[nodiscard]] std::size_t rotated(const std::string& name) const {
    return architecture_.adjacent && is_rotated(name) ? model_.config().head_dim : 0;
  }
  [[nodiscard]] extents block_of(const projection<owner>& p) const {
    if (p.packed) return p.packed->visit([](const auto& w) { return w.block(); });
    return model_.with_weight_quantizer(p, [&](const auto& quantizer) {
      return quantizer.scale_block(p.weight.shape.rows, p.weight.shape.cols);
    });
  }
  [[nodiscard]] T gain_offset() const { return static_cast<T>(model_.config().norm_offset()); }

  void add(const std::string& name, ggml_type type, std::vector<std::size_t> shape,
           gguf_writer::producer produce) {
    file_.add(gguf_name(model_.config(), name), type, std::move(shape), std::move(produce));
  }

  gguf_writer& file_;
  Model& model_;
  const gguf_architecture& architecture_;
  const gguf_storage& storage_;
};

}  // namespace detail

/// Writes the file atomically and reads it back. Full-precision models are stored as F32, F16, BF16
/// or Q8_0; ternary ones, masters or packed, as TQ1_0, TQ2_0, Q2_0, PQ2_0 or I2_S, code for code.
/// All but I2_S store scales in F16, so weights change by up to 2^-11 of themselves; I2_S, which
/// only bitnet.cpp reads, stores them exactly. A ternary model can also be stored as F32, F16, BF16
/// or Q8_0; then a reader gets the rounded weights and does not round activations. llama.cpp rounds
/// activations in blocks of 256 and not in rows, so its logits of ternary models are near those of
/// tern but not the same. A model with norms before every linear is stored in the form of
/// bitnet.cpp, which runs those of Qwen3 and Gemma 3; llama.cpp refuses them, and only tern reads
/// those of Llama. `conventions`: tokens that end a text, and the chat template. `embeddings`: how
/// the model pools, if it is one for embeddings. Without a tokenizer the file says that it has
/// none. Throws config_error where no architecture computes what the model computes, as for a Qwen3
/// with SubLN, and where a type cannot hold a weight; and io_error.
template <class Owner, class WeightQ, class ActQ>
void save_gguf(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& path,
               const gguf_storage& storage = {}, const bpe_tokenizer* tokenizer = nullptr,
               const text_conventions& conventions = {}, std::optional<pooling> embeddings = {}) {
  const model_config& c = model.config();
  const gguf_architecture& architecture = gguf_architecture_for(c);
  if (!c.ternary && is_ternary(storage.linears))
    throw config_error("linears of a full-precision model are not stored as " +
                       ggml_type_name(storage.linears));
  gguf_writer file;
  write_gguf_config(file, c, architecture);
  if (embeddings)
    file.metadata(std::string(architecture.name) + ".pooling_type", gguf_pooling_type(*embeddings));
  file.metadata("general.file_type", detail::gguf_file_type(storage.linears));
  file.metadata("general.quantization_version", std::uint32_t{2});
  if (tokenizer != nullptr)
    write_gguf_tokenizer(file, *tokenizer, c.vocab_size, conventions);
  else
    file.metadata("tokenizer.ggml.model", "none");

  detail::gguf_model_writer writer(file, model, architecture, storage);
  std::vector<float> factors;
  if (c.rope_scaling.kind == rope_scaling_kind::llama3) {
    factors = rope_factors(c.rope_scaling, c.head_dim, c.rope_theta);
    file.add_row<float>(std::string(gguf_rope_factors), factors);
  }
  model.for_each_parameter([&](const parameter<Owner>& p) {
    if (p.is_vector()) writer.add_vector(p);
  });
  for (auto& layer : model.layers())
    layer.for_each_projection([&](const projection<Owner>& p) {
      c.ternary ? writer.add_ternary(p) : writer.add_dense(p, storage.linears);
    });
  writer.add_dense(model.embedding(), storage.tables);
  if (&model.head_projection() != &model.embedding())
    writer.add_dense(model.head_projection(), storage.tables);
  file.write(path);
}

}  // namespace tern::inline TERN_ABI
