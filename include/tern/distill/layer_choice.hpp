// The choice of the layers of student and teacher that a loss term compares.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "tern/core/error.hpp"

namespace tern::inline TERN_ABI {

/// How many layers the models have that a term compares.
struct layer_counts {
  std::size_t student = 0;  ///< number of layers of the student
  std::size_t teacher = 0;  ///< number of layers of the teacher
};

/// A layer of the student and one of the teacher. Layers are counted from 0, or from the end where
/// the number is negative: -1 is the last layer. The paper distils one late layer.
struct layer_choice {
  std::optional<int> layer = -2;  ///< layer of the student; none: to be chosen before training
  std::optional<int>
      teacher_layer{};  ///< layer of the teacher; none: equally far from its last one
};

/// The two layers, counted from 0.
struct layer_pair {
  std::size_t student = 0;  ///< layer of the student
  std::size_t teacher = 0;  ///< layer of the teacher
};

/// The layers that `choice` names. Where the teacher's layer follows from the student's and the
/// teacher has too few layers, it is the teacher's first one. Throws config_error, naming `term`,
/// where a model has no such layer or the student's has not been chosen yet.
inline layer_pair resolve_layers(const layer_choice& choice, const layer_counts& counts,
                                 const std::string& term) {
  const auto index = [&](int layer, std::size_t count, const char* whose) {
    const auto n = static_cast<long>(count);
    const long i = layer < 0 ? n + layer : layer;
    if (i < 0 || i >= n)
      throw config_error(term + ": layer " + std::to_string(layer) + " is not one of the " +
                         std::to_string(count) + " layers of the " + whose);
    return static_cast<std::size_t>(i);
  };
  if (!choice.layer) throw config_error(term + ": the layer has not been chosen yet");
  const std::size_t student = index(*choice.layer, counts.student, "student");
  if (choice.teacher_layer)
    return {student, index(*choice.teacher_layer, counts.teacher, "teacher")};
  const std::size_t behind = counts.student - 1 - student;
  return {student, counts.teacher > behind ? counts.teacher - 1 - behind : 0};
}

/// The layers that `choice` names and, where `every` is positive, every `every`-th pair of layers
/// before them that both models have. Throws as resolve_layers() does.
inline std::vector<layer_pair> resolve_layers(const layer_choice& choice, std::size_t every,
                                              const layer_counts& counts, const std::string& term) {
  const layer_pair last = resolve_layers(choice, counts, term);
  std::vector<layer_pair> layers{last};
  if (every == 0) return layers;
  for (std::size_t back = every; back <= std::min(last.student, last.teacher); back += every)
    layers.push_back({last.student - back, last.teacher - back});
  return layers;
}

}  // namespace tern::inline TERN_ABI
