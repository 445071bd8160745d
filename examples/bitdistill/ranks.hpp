// The ranks of a run: the processes that a launcher such as mpirun started together.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

#include "options.hpp"
#include "tern/core/reducer.hpp"

namespace bitdistill {

/// Number of the processes that a launcher of MPI started together with this one, as its
/// environment variables say; 1 where there was no launcher.
std::size_t launched_ranks();

/// Connects with the other ranks; there is one rank where no launcher started the program. Throws
/// config_error where there was a launcher but the program was built without MPI.
std::unique_ptr<tern::reducer> connect_ranks();

/// The number of threads of this rank: `asked`, or where that is 0 and there are several ranks, its
/// share of this machine's processors.
std::size_t threads_of_rank(std::size_t asked, const tern::reducer& ranks);

/// Every rank ends for the same reason, which rank 0 has said.
struct said_by_rank_0 : std::exception {
  explicit said_by_rank_0(int code) : exit_code(code) {}
  int exit_code;  ///< exit code of the program
};

/// Connects with the other ranks, and calls work(ranks) on all of them. Where there are several,
/// they must have the same program and options, and what work() throws ends all of them with one
/// message.
void run_on_ranks(const options& o, const std::function<void(tern::reducer&)>& work);

}  // namespace bitdistill
