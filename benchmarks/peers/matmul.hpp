// Matrix products of other libraries, for kernel.cpp: y (N, M) = x (N, K) times w (M, K)
// transposed.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct peer {
  std::string name;
  std::size_t bytes_per_weight;
  bool threads;  ///< whether the library can use more than one thread
  /// Makes a function that multiplies once; `copies` of the weights take turns.
  std::function<std::function<void()>(std::size_t m, std::size_t k, std::size_t n,
                                      std::size_t copies, std::size_t threads)>
      make;
};

/// The libraries that this program was built with.
std::vector<peer> peers();

}  // namespace bench
