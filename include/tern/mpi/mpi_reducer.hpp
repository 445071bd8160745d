// Ranks that MPI connects. It uses calls of the MPI-3 standard only.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/reducer.hpp"
#include "tern/mpi/mpi_session.hpp"

namespace tern::inline TERN_ABI {

/// The ranks of a communicator. A rank that waits sleeps after a moment, so that ranks may wait for
/// minutes beside others that compute.
class mpi_reducer : public reducer {
 public:
  /// MPI must have been started, and must not end before this object.
  explicit mpi_reducer(MPI_Comm all = MPI_COMM_WORLD) {
    MPI_Comm_dup(all, &all_);
    MPI_Comm here = MPI_COMM_NULL;
    MPI_Comm_split_type(all_, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_size(here, &ranks_here_);
    MPI_Comm_free(&here);
    MPI_Comm_rank(all_, &rank_);
    MPI_Comm_size(all_, &ranks_);
    std::array<char, MPI_MAX_PROCESSOR_NAME> host{};
    int length = 0;
    MPI_Get_processor_name(host.data(), &length);
    host_.assign(host.data(), static_cast<std::size_t>(length));
  }
  ~mpi_reducer() override { MPI_Comm_free(&all_); }

  [[nodiscard]] std::size_t rank() const override { return static_cast<std::size_t>(rank_); }
  [[nodiscard]] std::size_t ranks() const override { return static_cast<std::size_t>(ranks_); }
  [[nodiscard]] std::size_t ranks_here() const override {
    return static_cast<std::size_t>(ranks_here_);
  }
  [[nodiscard]] std::string name() const override {
    return "rank " + std::to_string(rank_) + " on " + host_;
  }
  void abandon() noexcept override { MPI_Abort(all_, 2); }

 private:
  void do_exchange(std::span<const std::byte> out, std::span<const std::size_t> out_sizes,
                   std::span<std::byte> in, std::span<const std::size_t> in_sizes) override {
    const blocks to(out_sizes), from(in_sizes);
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Ialltoallv(out.data(), to.sizes.data(), to.begins.data(), MPI_BYTE, in.data(),
                   from.sizes.data(), from.begins.data(), MPI_BYTE, all_, &request);
    wait(request);
  }

  void do_gather(std::span<std::byte> all, std::span<const std::size_t> sizes) override {
    const blocks each(sizes);
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all.data(), each.sizes.data(),
                    each.begins.data(), MPI_BYTE, all_, &request);
    wait(request);
  }

  void do_broadcast(std::span<std::byte> bytes) override {
    constexpr std::size_t most = std::size_t{1} << 26;  // MPI-3 counts bytes with an int
    for (std::size_t first = 0; first < bytes.size(); first += most) {
      const auto part = bytes.subspan(first, std::min(most, bytes.size() - first));
      MPI_Request request = MPI_REQUEST_NULL;
      MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, all_, &request);
      wait(request);
    }
  }

  /// Sizes and begins of blocks in the type that MPI-3 counts with.
  struct blocks {
    std::vector<int> sizes, begins;

    explicit blocks(std::span<const std::size_t> bytes) {
      std::size_t begin = 0;
      for (const std::size_t size : bytes) {
        sizes.push_back(static_cast<int>(size));
        begins.push_back(static_cast<int>(begin));
        begin += size;
      }
      if (begin > std::numeric_limits<int>::max())
        throw config_error("mpi_reducer: a call moves at most 2 GB, got " + std::to_string(begin) +
                           " bytes");
    }
  };

  static void wait(MPI_Request& request) {
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    for (int done = 0;;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0) return;
      if (clock::now() - start < std::chrono::milliseconds(20))
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }

  MPI_Comm all_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 1, ranks_here_ = 1;
  std::string host_;
};

}  // namespace tern::inline TERN_ABI
