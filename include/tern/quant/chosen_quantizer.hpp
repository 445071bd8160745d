// A weight quantizer that is chosen when the program runs, for models whose configuration names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "tern/core/enum_names.hpp"
#include "tern/core/error.hpp"
#include "tern/quant/absmean.hpp"
#include "tern/quant/block.hpp"
#include "tern/quant/paper_awq.hpp"
#include "tern/quant/paper_gptq.hpp"
#include "tern/quant/per_channel.hpp"
#include "tern/quant/quantizer.hpp"
#include "tern/quant/twn.hpp"

namespace tern::inline TERN_ABI {

/// The policies to choose from.
enum class weight_policy {
  absmean,      ///< absmean: one scale for a matrix (BitNet)
  block,        ///< block<256>: a scale for every 256 columns of a row
  block_64,     ///< block<64>
  per_channel,  ///< per_channel: a scale for each row
  twn,          ///< twn: one scale, and the threshold of Ternary Weight Networks
  paper_gptq,   ///< paper_gptq: what BitDistill's official code calls "gptq"
  paper_awq,    ///< paper_awq: what that code calls "awq"
};

/// The names of the policies in files.
inline constexpr enum_names<weight_policy> weight_policy_names = {
    {"absmean", weight_policy::absmean},
    {"block", weight_policy::block},
    {"block_64", weight_policy::block_64},
    {"per_channel", weight_policy::per_channel},
    {"twn", weight_policy::twn},
    {"paper_gptq", weight_policy::paper_gptq},
    {"paper_awq", weight_policy::paper_awq}};

/// A weight_quantizer that rounds as its policy does.
struct chosen_quantizer {
  weight_policy policy = weight_policy::absmean;  ///< what it rounds like
  double eps = 1e-5;                              ///< the eps of policies that have one

  /// Calls f(quantizer) with the quantizer of the policy, and returns its result.
  template <class F>
  decltype(auto) visit(F&& f) const {
    switch (policy) {
      case weight_policy::absmean:
        return f(absmean{eps});
      case weight_policy::block:
        return f(tern::block<256>{eps});
      case weight_policy::block_64:
        return f(tern::block<64>{eps});
      case weight_policy::per_channel:
        return f(per_channel{eps});
      case weight_policy::twn:
        return f(twn{});
      case weight_policy::paper_gptq:
        return f(paper_gptq{});
      case weight_policy::paper_awq:
        return f(paper_awq{});
    }
    throw config_error("chosen_quantizer: unknown policy");
  }

  /// The block of the policy.
  [[nodiscard]] extents scale_block(std::size_t rows, std::size_t cols) const {
    return visit([&](const auto& q) { return q.scale_block(rows, cols); });
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, and scales of the shape scale_extents(). Throws
  /// what the policy throws.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    visit([&](const auto& q) { q.template quantize<T>(weights, codes, scales, ex); });
  }
};

}  // namespace tern::inline TERN_ABI
