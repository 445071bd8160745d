#include "known_shape.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "machine.hpp"
#include "tern/core/random.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/infer/session.hpp"
#include "tern/model/decoder.hpp"
#include "tern/pack/shared_weights.hpp"

namespace bitdistill {
namespace {

/// Random numbers from which the rows of matrices are copied. The speed of a product does not
/// depend on the weights, so neighbouring rows may share them.
template <class E>
class row_source {
 public:
  /// Numbers from `least` to `largest`, times `unit`.
  row_source(int least, int largest, E unit) : numbers_(std::size_t{1} << 16) {
    tern::philox random(1);
    for (E& each : numbers_)
      each =
          static_cast<E>(least + static_cast<int>(random.uniform() * (largest - least + 1))) * unit;
  }
  void fill(tern::matrix_view<E> to, tern::executor_ref ex) const {
    tern::for_each_row(to.rows, to.cols, ex, [&](std::size_t r) {
      std::size_t at = r * 97 % numbers_.size();
      for (std::size_t c = 0; c < to.cols;) {
        const std::size_t n = std::min(to.cols - c, numbers_.size() - at);
        std::memcpy(&to(r, c), &numbers_[at], n * sizeof(E));
        c += n;
        at = 0;
      }
    });
  }

 private:
  std::vector<E> numbers_;
};

template <class Format>
void pack_rows(tern::projection<tern::matrix<float>>& p, const row_source<std::int8_t>& source,
               tern::extents block, tern::executor_ref ex) {
  const auto [rows, cols] = p.weight.shape;
  std::vector<std::int8_t> codes(rows * cols);
  const tern::matrix_view<std::int8_t> view(codes.data(), rows, cols);
  source.fill(view, ex);
  const tern::extents scales = tern::scale_extents({rows, cols}, block);
  const std::vector<float> scale(scales.rows * scales.cols, 0.02f);
  p.pack(tern::shared_weights<float>(tern::ternary_weights<Format, float>(
      view, {scale.data(), scales.rows, scales.cols}, block, ex)));
}

tern::decoder<> ternary_model(tern::executor_ref ex) {
  tern::decoder<> model(known_shape("qwen3-0.6b", true), false);
  const row_source<std::int8_t> trits(-1, 1, 1), bytes(-127, 127, 1);
  model.for_each_projection([&](tern::projection<tern::matrix<float>>& p) {
    if (p.ternary)
      pack_rows<tern::base3>(p, trits, {p.weight.shape.rows, p.weight.shape.cols}, ex);
    else
      pack_rows<tern::eight_bit>(p, bytes, {1, 256}, ex);
  });
  return model;
}

constexpr std::size_t parts = 7;  // the model in F32 is one part of so many

tern::decoder<> part_in_f32(tern::executor_ref ex) {
  auto config = known_shape("qwen3-0.6b", false);
  config.num_hidden_layers /= parts;
  config.vocab_size /= parts;
  tern::decoder<> model(config);
  const row_source<float> numbers(-100, 100, 2e-4f);
  model.for_each_projection(
      [&](tern::projection<tern::matrix<float>>& p) { numbers.fill(p.weight.view(), ex); });
  return model;
}

/// Seconds for a new token, the mean of some of them.
double seconds_a_token(tern::session<>& s) {
  constexpr std::int32_t tokens = 16;
  s.truncate(0, 0);
  const tern::stopwatch watch;
  for (std::int32_t t = 0; t < tokens; ++t) s.append({&t, 1});
  return watch.seconds() / tokens;
}

}  // namespace

tern::model_config known_shape(const std::string& name, bool ternary) {
  tern::model_config c;
  c.vocab_size = 151936;
  c.max_position_embeddings = 40960;
  c.head_dim = 128;
  c.num_key_value_heads = 8;
  c.num_attention_heads = name == "qwen3-4b" ? 32 : 16;
  c.num_hidden_layers = name == "qwen3-4b" ? 36 : 28;
  c.hidden_size = name == "qwen3-0.6b" ? 1024 : name == "qwen3-1.7b" ? 2048 : 2560;
  c.intermediate_size = name == "qwen3-0.6b" ? 3072 : name == "qwen3-1.7b" ? 6144 : 9728;
  c.ternary = ternary;
  if (ternary) c.sub_ln = tern::norm_placement::subln;
  return c;
}

std::string speed_beside_f32(tern::executor_ref ex, std::size_t threads) {
  auto ternary = ternary_model(ex), full = part_in_f32(ex);
  const tern::session_options sizes{.capacity = 64};
  tern::session ternary_session(ternary, sizes, ex), full_session(full, sizes, ex);
  double least = 1e9, least_in_f32 = 1e9, bytes = 0, bytes_in_f32 = 0;
  for (int i = 0; i < 4; ++i) {  // in turns, the fastest of each counts
    least = std::min(least, seconds_a_token(ternary_session));
    least_in_f32 = std::min(least_in_f32, parts * seconds_a_token(full_session));
  }
  ternary.for_each_projection([&](const tern::projection<tern::matrix<float>>& p) {
    bytes += static_cast<double>(p.packed->size_bytes());
  });
  full.for_each_projection([&](const tern::projection<tern::matrix<float>>& p) {
    bytes_in_f32 +=
        static_cast<double>(sizeof(float) * parts * p.weight.shape.rows * p.weight.shape.cols);
  });
  return fmt::format(
      "A model of the shape of Qwen3-0.6B on this machine, threads {}: {:.0f} new tokens/s in "
      "ternary weights ({:.0f} MB), {:.1f} in F32 ({:.0f} MB): {:.1f} x as fast",
      threads, 1 / least, bytes / 1e6, 1 / least_in_f32, bytes_in_f32 / 1e6, least_in_f32 / least);
}

}  // namespace bitdistill
