// The seam of data parallel training: what carries bytes between the processes of a run. The MPI
// one is mpi/mpi_reducer.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// The ranks of a run are processes that train one model together. Every rank calls the same
/// functions of its reducer in the same order, and a call returns when this rank has its data.
/// Sizes are bytes.
class reducer {
 public:
  reducer() = default;
  reducer(const reducer&) = delete;
  reducer& operator=(const reducer&) = delete;
  virtual ~reducer() = default;

  [[nodiscard]] virtual std::size_t rank() const = 0;   ///< number of this rank, from 0
  [[nodiscard]] virtual std::size_t ranks() const = 0;  ///< number of all ranks
  /// Number of the ranks on this machine, which share its processors.
  [[nodiscard]] virtual std::size_t ranks_here() const = 0;
  /// Name of this rank in messages, such as "rank 1 on node7".
  [[nodiscard]] virtual std::string name() const = 0;

  /// Sends a block to every rank. `out` holds the blocks in the order of the ranks, and `in` gets
  /// one from every rank in the same order; the sizes are those of the blocks.
  virtual void exchange(std::span<const std::byte> out, std::span<const std::size_t> out_sizes,
                        std::span<std::byte> in, std::span<const std::size_t> in_sizes) = 0;
  /// `all` holds a block for each rank, in the order of the ranks. Every rank has filled its own
  /// block, and gets those of all others.
  virtual void gather(std::span<std::byte> all, std::span<const std::size_t> sizes) = 0;
  /// Every rank gets the bytes of rank 0.
  virtual void broadcast(std::span<std::byte> bytes) = 0;
  /// Ends the run on every rank at once. A rank that cannot go on calls it where the others would
  /// wait for it; it says before what is wrong. Does nothing where there is one rank.
  virtual void abandon() noexcept = 0;
};

/// The reducer of a run that is one process.
class no_reducer final : public reducer {
 public:
  [[nodiscard]] std::size_t rank() const override { return 0; }
  [[nodiscard]] std::size_t ranks() const override { return 1; }
  [[nodiscard]] std::size_t ranks_here() const override { return 1; }
  [[nodiscard]] std::string name() const override { return "the only rank"; }
  void exchange(std::span<const std::byte> out, std::span<const std::size_t> /*out_sizes*/,
                std::span<std::byte> in, std::span<const std::size_t> /*in_sizes*/) override {
    std::ranges::copy(out, in.begin());
  }
  void gather(std::span<std::byte> /*all*/, std::span<const std::size_t> /*sizes*/) override {}
  void broadcast(std::span<std::byte> /*bytes*/) override {}
  void abandon() noexcept override {}
};

/// A reducer for whoever trains in one process.
inline reducer& one_rank() {
  static no_reducer only;
  return only;
}

}  // namespace tern::inline TERN_ABI
