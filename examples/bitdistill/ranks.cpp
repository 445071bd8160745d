#include "ranks.hpp"

#include <cstdlib>
#include <initializer_list>
#include <string>

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

}  // namespace bitdistill
