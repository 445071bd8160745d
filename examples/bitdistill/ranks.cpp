#include "ranks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <thread>

#include "standard_output.hpp"
#include "stopped.hpp"
#include "tern/core/mapped_file.hpp"
#include "tern/core/together.hpp"
#include "tern/io/checksum.hpp"
#include "tern/isa/level.hpp"
#include "tern/version.hpp"

namespace bitdistill {
namespace {

/// What a rank must have in common with rank 0: the program with its options, and the kernels,
/// since others round otherwise. The number of threads may differ.
void require_same_program(tern::reducer& ranks, const options& o) {
  if (ranks.ranks() == 1) return;
  std::string program = fmt::format("{}.{}.{}", TERN_VERSION_MAJOR, TERN_VERSION_MINOR,
                                    TERN_VERSION_PATCH),
              words;
  together(ranks, [&] {
    const std::filesystem::path self = "/proc/self/exe";
    if (!std::filesystem::exists(self)) return;  // not on Linux: the version must do
    tern::checksum sum;
    sum.update(tern::mapped_file(self).bytes());
    program += " " + std::to_string(sum.value());
  });
  for (std::size_t i = 0; i < o.words.size(); ++i) {
    if (o.words[i] == "--threads")
      ++i;
    else if (!o.words[i].starts_with("--threads="))
      words += o.words[i] + '\n';
  }
  require_same(ranks, "version or build of the program", program);
  require_same(ranks, "kernels (TERN_ISA)", std::string(tern::isa::name(tern::isa::active())));
  require_same(ranks, "command-line options", words);
}

}  // namespace

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

void run_on_ranks(const options& o, const std::function<void(tern::reducer&)>& work) {
  const auto ranks = connect_ranks();
  if (ranks->ranks() == 1) return work(*ranks);
  // Launchers kill the other ranks when the first one has ended with an error. So rank 0 says the
  // error before the ranks part.
  const auto end = [&](int code, const std::string& text) {
    std::fflush(stdout);
    if (ranks->rank() == 0) say("bitdistill: " + text);
    throw said_by_rank_0(code);
  };
  try {
    require_same_program(*ranks, o);
    work(*ranks);
  } catch (const stopped& e) {  // on every rank
    end(130, e.what());
  } catch (const tern::rank_error& e) {  // on every rank
    end(2, std::string("error: ") + e.what());
  } catch (const std::exception& e) {  // on this rank alone
    std::fflush(stdout);
    say("bitdistill: error: " + ranks->name() + ": " + e.what());
    ranks->abandon();
  }
}

}  // namespace bitdistill
