#include "parameter_table.hpp"

#include <fmt/core.h>

#include <array>

#include "format.hpp"

namespace bitdistill {
namespace {

struct group {
  const char* name;
  std::size_t count;
  bool projection;  // the linears of the layers: the ones BitDistill makes ternary
};

std::array<group, 5> groups_of(const tern::model_config& c) {
  const std::size_t d = c.hidden_size, layers = c.num_hidden_layers, f = c.intermediate_size;
  const std::size_t embedding = c.vocab_size * d, q = c.q_width(), kv = c.kv_width();
  std::size_t gains = (c.output_norms ? 4 : 2) * d + (c.qk_norm ? 2 * c.head_dim : 0);
  if (c.sub_ln == tern::norm_placement::subln) gains += q + f;
  if (c.sub_ln == tern::norm_placement::all) gains += 5 * d + q + f;
  if (c.attention_bias) gains += q + 2 * kv;
  if (c.output_bias) gains += d;
  return {{{"embedding", embedding, false},
           {"attention (q, k, v, o)", layers * d * (2 * q + 2 * kv), true},
           {"feed-forward (gate, up, down)", layers * 3 * d * f, true},
           {"norms and biases", layers * gains + d, false},
           {"output head", c.tie_word_embeddings ? 0 : embedding, false}}};
}

}  // namespace

std::size_t count_parameters(const tern::model_config& c) {
  std::size_t total = 0;
  for (const group& g : groups_of(c)) total += g.count;
  return total;
}

void print_parameter_table(const tern::model_config& c) {
  fmt::print("  {} layers, hidden {}, feed-forward {}, heads {}/{} x {}, vocabulary {}\n",
             c.num_hidden_layers, c.hidden_size, c.intermediate_size, c.num_attention_heads,
             c.num_key_value_heads, c.head_dim, c.vocab_size);
  const std::size_t total = count_parameters(c);
  std::size_t ternary = 0;
  for (const group& g : groups_of(c)) {
    if (g.count == 0) continue;
    ternary += g.projection ? g.count : 0;
    fmt::print("  {:<30} {:>13}  {}\n", g.name, grouped(g.count),
               !g.projection ? ""
               : c.ternary   ? "ternary"
                             : "ternary in BitNet-SFT, BitDistill");
  }
  fmt::print("  {:<30} {:>13}  {:.1f} % in the projections\n", "parameters", grouped(total),
             100.0 * static_cast<double>(ternary) / static_cast<double>(total));
}

}  // namespace bitdistill
