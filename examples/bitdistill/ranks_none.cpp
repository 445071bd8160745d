// Ranks in a program that was built without MPI.
#include <string>

#include "ranks.hpp"
#include "tern/core/error.hpp"

namespace bitdistill {

std::unique_ptr<tern::reducer> connect_ranks() {
  if (const std::size_t ranks = launched_ranks(); ranks > 1)
    throw tern::config_error(
        "started as one of " + std::to_string(ranks) +
        " ranks, but this program was built without MPI (apt: libopenmpi-dev)");
  return std::make_unique<tern::no_reducer>();
}

}  // namespace bitdistill
