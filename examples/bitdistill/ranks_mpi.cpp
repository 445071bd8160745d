// Ranks in a program that was built with MPI.
#include "ranks.hpp"
#include "tern/mpi/mpi_reducer.hpp"
#include "tern/mpi/mpi_session.hpp"

namespace bitdistill {
namespace {

struct mpi_base {
  tern::mpi_session session;  // begins before the reducer and ends after it
};

struct mpi_ranks final : private mpi_base, public tern::mpi_reducer {};

}  // namespace

std::unique_ptr<tern::reducer> connect_ranks() {
  // MPI is left alone where no launcher started the program: starting it takes time.
  if (launched_ranks() == 1) return std::make_unique<tern::no_reducer>();
  return std::make_unique<mpi_ranks>();
}

}  // namespace bitdistill
