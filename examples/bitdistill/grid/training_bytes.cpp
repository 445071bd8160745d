#include "grid/training_bytes.hpp"

#include <algorithm>

#include "parameter_table.hpp"
#include "tern/checkpoint/load_config.hpp"

namespace bitdistill {
namespace {

/// Floats that a forward pass keeps for a token. The numbers of rows of each width are those of the
/// tape of a layer: inputs, outputs, norms and quantized inputs of its seven linears.
std::size_t floats_of_token(const tern::model_config& c, std::size_t length) {
  const std::size_t layer = 12 * c.hidden_size + 4 * (c.q_width() + c.kv_width()) +
                            6 * c.intermediate_size + c.num_attention_heads * length;
  return c.num_hidden_layers * layer + 3 * c.vocab_size;
}

}  // namespace

std::size_t training_bytes(const tern::recipe& r, const tern::stage& s) {
  const tern::model_config& c = r.model;
  const std::size_t length =
      s.data == tern::stage_data::corpus ? s.length : r.data.prompt_tokens + 1;
  const std::size_t tokens = s.sequences * std::min(length, c.max_position_embeddings);
  std::size_t floats = 5 * count_parameters(c) + tokens * floats_of_token(c, length);
  if (!s.teacher.empty()) {
    const auto teacher = tern::is_model_path(s.teacher) ? tern::load_config(s.teacher) : c;
    floats += count_parameters(teacher) + tokens * 2 * teacher.vocab_size;
  }
  return sizeof(float) * floats;
}

}  // namespace bitdistill
