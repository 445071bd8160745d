#include "ranks.hpp"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <string>
#include <thread>

namespace bitdistill {

std::size_t launched_ranks() {
  // Open MPI; MPICH and Intel MPI; Slurm with PMIx, whose variable says only that there are ranks.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* value = std::getenv(name)) return std::strtoul(value, nullptr, 10);
  const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
  if (tasks != nullptr && (std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_FD") != nullptr))
    return std::strtoul(tasks, nullptr, 10);
  return 1;
}

std::size_t threads_of_rank(std::size_t asked, const tern::reducer& ranks) {
  if (asked != 0 || ranks.ranks() == 1) return asked;
  return std::max<std::size_t>(1, std::thread::hardware_concurrency() / ranks.ranks_here());
}

}  // namespace bitdistill
