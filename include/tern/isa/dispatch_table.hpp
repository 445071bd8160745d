// The choice of an implementation by what the CPU can do. Each operation that has several has one
// table of them, made at compile time.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include "tern/core/error.hpp"
#include "tern/isa/level.hpp"

namespace tern::inline TERN_ABI::isa {

/// An implementation of an operation: usually a struct of function pointers.
template <class T>
struct implementation {
  level needs;  ///< a CPU of this level can run it
  T functions;  ///< how to call it
};

/// The implementations of one operation. A level between two of them takes the lower one.
template <class T>
class dispatch_table {
 public:
  /// The list goes from the plainest implementation, which needs level::scalar, to the best one.
  /// Throws config_error, at compile time an error, where the first one needs more or where one
  /// stands behind another that includes it.
  constexpr dispatch_table(std::initializer_list<implementation<T>> list) {
    std::size_t n = 0;
    for (const implementation<T>& each : list) {
      if ((n == 0) != (each.needs == level::scalar))
        throw config_error("dispatch_table: the first implementation, and no other, needs scalar");
      for (std::size_t i = 0; i < n; ++i)
        if (each.needs <= needs_[i])
          throw config_error("dispatch_table: an implementation stands behind a better one");
      needs_[n] = each.needs;
      functions_[n] = each.functions;
      for (std::size_t l = 0; l < level_count; ++l)
        if (each.needs <= static_cast<level>(l)) chosen_[l] = n;
      ++n;
    }
  }

  /// The best implementation that a CPU of level `l` can run.
  [[nodiscard]] constexpr const T& at(level l) const {
    return functions_[chosen_[static_cast<std::size_t>(l)]];
  }

 private:
  std::array<level, level_count> needs_{};
  std::array<T, level_count> functions_{};
  std::array<std::size_t, level_count> chosen_{};  // index of functions_ for each level
};

}  // namespace tern::inline TERN_ABI::isa
