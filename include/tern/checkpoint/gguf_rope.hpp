// RoPE in a GGUF file: its base, and how frequencies change for a longer context. llama3's rule is
// not in the metadata: a tensor has the divisor of each frequency.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <locale>
#include <sstream>
#include <string>
#include <vector>

#include "tern/checkpoint/gguf_names.hpp"
#include "tern/gguf/file.hpp"
#include "tern/model/config.hpp"

namespace tern::inline TERN_ABI {

/// The divisors of the frequencies, one for each pair of a head's elements.
inline std::vector<float> rope_factors(const rope_scaling& s, std::size_t head_dim, double theta) {
  std::vector<float> factors;
  for (std::size_t i = 0; i < head_dim / 2; ++i) {
    const double f = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    factors.push_back(static_cast<float>(f / s.scaled(f)));
  }
  return factors;
}

namespace detail {

/// The shortest decimal number whose nearest float is x: 0.00001 was meant where the float of 1e-5
/// is stored.
inline double decimal(float x) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.begin(), text.end(), x).ptr;
  std::istringstream stream(std::string(text.begin(), end));  // libc++ 16 has no from_chars here
  stream.imbue(std::locale::classic());
  double result = 0;
  stream >> result;
  return result;
}

/// The rule of llama3, with its usual limits, that gives the divisors of the file.
inline rope_scaling read_rope_factors(const gguf_file& file, const std::string& architecture,
                                      const model_config& c) {
  const gguf_tensor& stored = file.at(gguf_rope_factors);
  require_stored_shape(stored, {c.head_dim / 2});
  const auto factors = read_values(stored);
  rope_scaling s{rope_scaling_kind::llama3};
  s.factor = decimal(factors.back());
  s.original_positions = file.metadata().get_or<std::uint32_t>(
      architecture + ".rope.scaling.original_context_length", 8192);
  const auto expected = s.factor > 0 ? rope_factors(s, c.head_dim, c.rope_theta) : factors;
  bool same = s.factor > 0;
  for (std::size_t i = 0; same && i < factors.size(); ++i)
    same = std::abs(factors[i] / expected[i] - 1) < 1e-4f;
  if (!same)
    stored.fail("expected the factors of llama3 for a context of " +
                std::to_string(s.original_positions) + " positions");
  return s;
}

}  // namespace detail

/// Sets rope_theta and rope_local_theta of `c`, whose head_dim is known, and returns the scaling.
/// Throws format_error for a rule that is not understood.
inline rope_scaling read_gguf_rope(const gguf_file& file, const std::string& architecture,
                                   model_config& c) {
  const gguf_metadata& from = file.metadata();
  const std::string rope = architecture + ".rope.", kind = rope + "scaling.type";
  c.rope_theta = detail::decimal(from.get_or<float>(rope + "freq_base", 1e4f));
  if (c.rope_local_theta != 0)
    c.rope_local_theta = detail::decimal(from.get_or<float>(rope + "freq_base_swa", 1e4f));
  for (const auto& base : {"freq_base", "freq_base_swa"})
    if (from.contains(rope + base) && !(from.get<float>(rope + base) > 0))
      from.fail(rope + base, "expected a positive number");
  rope_scaling s;
  s.factor = detail::decimal(
      from.get_or<float>(rope + "scaling.factor",
                         from.get_or<float>(rope + "scale_linear", 1)));  // the key of older files
  if (!(s.factor > 0)) from.fail(rope + "scaling.factor", "expected a positive number");
  const auto type = from.get_or<std::string>(kind, s.factor == 1 ? "none" : "linear");
  if (type != "none" && type != "linear") from.fail(kind, "expected none or linear, got " + type);
  const bool linear = type == "linear" && s.factor != 1;
  if (file.contains(gguf_rope_factors)) {
    if (linear) from.fail(kind, "expected none beside a tensor " + std::string(gguf_rope_factors));
    return detail::read_rope_factors(file, architecture, c);
  }
  if (!linear) return {};
  s.kind = rope_scaling_kind::linear;
  return s;
}

}  // namespace tern::inline TERN_ABI
