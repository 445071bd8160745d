// Ranks that are threads of one process, for tests of what ranks do together.
#pragma once

#include <barrier>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "tern/core/reducer.hpp"

namespace tern_test {

/// What the threads of a group share.
struct rank_group {
  explicit rank_group(std::size_t n) : meet(static_cast<std::ptrdiff_t>(n)), data(n), sizes(n) {}

  std::barrier<> meet;
  std::vector<const std::byte*> data;
  std::vector<std::span<const std::size_t>> sizes;
};

class thread_reducer final : public tern::reducer {
 public:
  thread_reducer(rank_group& group, std::size_t rank) : group_(group), rank_(rank) {}
  [[nodiscard]] std::size_t rank() const override { return rank_; }
  [[nodiscard]] std::size_t ranks() const override { return group_.data.size(); }
  [[nodiscard]] std::size_t ranks_here() const override { return ranks(); }
  [[nodiscard]] std::string name() const override {
    return "rank " + std::to_string(rank_) + " of the test";
  }
  void abandon() noexcept override {}

 private:
  void do_exchange(std::span<const std::byte> out, std::span<const std::size_t> out_sizes,
                   std::span<std::byte> in, std::span<const std::size_t> in_sizes) override {
    with_all(out.data(), out_sizes, [&] {
      std::size_t at = 0;
      for (std::size_t r = 0; r < ranks(); ++r) {
        std::size_t from = 0;
        for (std::size_t k = 0; k < rank_; ++k) from += group_.sizes[r][k];
        copy(in.subspan(at, in_sizes[r]), group_.data[r] + from);
        at += in_sizes[r];
      }
    });
  }
  void do_gather(std::span<std::byte> all, std::span<const std::size_t> block_sizes) override {
    with_all(all.data(), block_sizes, [&] {
      std::size_t at = 0;
      for (std::size_t r = 0; r < ranks(); ++r) {
        if (r != rank_) copy(all.subspan(at, block_sizes[r]), group_.data[r] + at);
        at += block_sizes[r];
      }
    });
  }
  void do_broadcast(std::span<std::byte> bytes) override {
    with_all(bytes.data(), {}, [&] {
      if (rank_ != 0) copy(bytes, group_.data[0]);
    });
  }

  /// Calls f() while the data of every rank can be read.
  template <class F>
  void with_all(const std::byte* data, std::span<const std::size_t> sizes, F&& f) {
    group_.data[rank_] = data;
    group_.sizes[rank_] = sizes;
    group_.meet.arrive_and_wait();
    f();
    group_.meet.arrive_and_wait();
  }
  static void copy(std::span<std::byte> to, const std::byte* from) {
    if (!to.empty()) std::memcpy(to.data(), from, to.size());
  }

  rank_group& group_;
  std::size_t rank_;
};

/// Calls f(reducer) on `n` threads, one for each rank, and returns when all have ended.
template <class F>
void on_ranks(std::size_t n, F&& f) {
  rank_group group(n);
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < n; ++r)
    threads.emplace_back([&, r] {
      thread_reducer ranks(group, r);
      f(ranks);
    });
  for (std::thread& each : threads) each.join();
}

}  // namespace tern_test
