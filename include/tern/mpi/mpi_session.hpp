// Starting and ending MPI in a process.
#pragma once

// The C++ bindings that MPI-3 removed are not wanted, also where an implementation still has them.
#define OMPI_SKIP_MPICXX 1   ///< for Open MPI
#define MPICH_SKIP_MPICXX 1  ///< for MPICH
#include <mpi.h>

#include "tern/core/error.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// MPI is there for the life of this object, of which a process makes one. Only the thread that
/// made it may use MPI. An error of MPI ends the processes of all ranks, as MPI does by itself.
class mpi_session {
 public:
  /// Throws config_error where MPI does not allow that the process has other threads.
  mpi_session() {
    int provided = MPI_THREAD_SINGLE;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    if (provided >= MPI_THREAD_FUNNELED) return;
    MPI_Finalize();
    throw config_error("mpi_session: this MPI allows no threads beside the one that calls it");
  }
  mpi_session(const mpi_session&) = delete;
  mpi_session& operator=(const mpi_session&) = delete;
  /// Waits for the other ranks.
  ~mpi_session() { MPI_Finalize(); }
};

}  // namespace tern::inline TERN_ABI
