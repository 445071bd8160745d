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
  void exchange(std::span<const std::byte> out, std::span<const std::size_t> out_sizes,
                std::span<std::byte> in, std::span<const std::size_t> in_sizes) {
    do_exchange(out, out_sizes, in, in_sizes);
    for (std::size_t r = 0; r < out_sizes.size(); ++r)
      if (r != rank()) sent_ += out_sizes[r];
  }
  /// `all` holds a block for each rank, in the order of the ranks. Every rank has filled its own
  /// block, and gets those of all others.
  void gather(std::span<std::byte> all, std::span<const std::size_t> sizes) {
    do_gather(all, sizes);
    if (ranks() > 1) sent_ += sizes[rank()] * (ranks() - 1);  // Threads may share one_rank().
  }
  /// Every rank gets the bytes of rank 0.
  void broadcast(std::span<std::byte> bytes) {
    do_broadcast(bytes);
    if (rank() == 0 && ranks() > 1) sent_ += bytes.size() * (ranks() - 1);
  }
  /// Ends the run on every rank at once. A rank that cannot go on calls it where the others would
  /// wait for it; it says before what is wrong. Does nothing where there is one rank.
  virtual void abandon() noexcept = 0;

  /// Bytes of the blocks that this rank had for others so far, counted once for each rank that gets
  /// them. An engine may pass blocks on from rank to rank, so that another one sends them.
  [[nodiscard]] std::size_t sent() const { return sent_; }

 private:
  virtual void do_exchange(std::span<const std::byte> out, std::span<const std::size_t> out_sizes,
                           std::span<std::byte> in, std::span<const std::size_t> in_sizes) = 0;
  virtual void do_gather(std::span<std::byte> all, std::span<const std::size_t> sizes) = 0;
  virtual void do_broadcast(std::span<std::byte> bytes) = 0;

  std::size_t sent_ = 0;
};

/// The reducer of a run that is one process.
class no_reducer final : public reducer {
 public:
  [[nodiscard]] std::size_t rank() const override { return 0; }
  [[nodiscard]] std::size_t ranks() const override { return 1; }
  [[nodiscard]] std::size_t ranks_here() const override { return 1; }
  [[nodiscard]] std::string name() const override { return "the only rank"; }
  void abandon() noexcept override {}

 private:
  void do_exchange(std::span<const std::byte> out, std::span<const std::size_t> /*out_sizes*/,
                   std::span<std::byte> in, std::span<const std::size_t> /*in_sizes*/) override {
    std::ranges::copy(out, in.begin());
  }
  void do_gather(std::span<std::byte> /*all*/, std::span<const std::size_t> /*sizes*/) override {}
  void do_broadcast(std::span<std::byte> /*bytes*/) override {}
};

/// A reducer for whoever trains in one process.
inline reducer& one_rank() {
  static no_reducer only;
  return only;
}

}  // namespace tern::inline TERN_ABI
