// Text that a model writes by itself, as calibration text for the model where there is no other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tern/core/executor.hpp"
#include "tern/infer/sampler.hpp"
#include "tern/infer/session.hpp"

namespace tern::inline TERN_ABI {

/// Draws `count` windows of `length` tokens each from a model, at temperature 1, which begin with
/// the token `first`. Each window has random numbers of its own, so the bits depend on neither the
/// number of threads nor `count`. `never`: tokens that are never drawn. `done(n)` is called with
/// the number of finished tokens of each. Throws what session::append throws.
template <class Model, class F>
std::vector<std::vector<std::int32_t>> sample_windows(Model& model, std::int32_t first,
                                                      std::size_t count, std::size_t length,
                                                      std::uint64_t seed, F&& done,
                                                      executor_ref ex = {},
                                                      const std::vector<std::int32_t>& never = {}) {
  std::vector<std::vector<std::int32_t>> windows(count);
  if (count == 0 || length == 0) return windows;
  session<Model> s(model, {.sequences = count, .capacity = length, .storage = kv_storage::f32}, ex);
  std::vector<sampler> samplers;
  for (std::size_t i = 0; i < count; ++i) {
    windows[i].push_back(first);
    samplers.emplace_back(sampling_options{.temperature = 1, .seed = seed * 1000003 + i},
                          model.config().vocab_size, never);
  }
  std::vector<sequence_tokens> parts(count);
  for (std::size_t n = 1; n < length; ++n) {
    for (std::size_t i = 0; i < count; ++i) parts[i] = {i, {&windows[i].back(), 1}};
    const matrix_view<const float> logits = s.append(parts);
    ex.parallel_for(count, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i)
        windows[i].push_back(samplers[i](logits.row(i), {}));
    });
    done(n + 1);
  }
  return windows;
}

}  // namespace tern::inline TERN_ABI
