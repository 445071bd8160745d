// Working memory of one thread for the length of a scope. Threads may have small stacks (128 KB
// with musl), and an executor does not say how many threads it has, so a product that needs some
// hundred kilobytes for each thread takes them from here.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "tern/core/per_thread.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Uninitialised memory that belongs to this object. At its end the thread keeps the memory for its
/// next scope, so that a loop allocates once. A thread keeps as many pieces as it had scopes inside
/// each other, and frees them when it ends. Throws std::bad_alloc.
class thread_scratch {
 public:
  static constexpr std::size_t alignment = 64;  ///< alignment of data(), in bytes

  /// Takes memory of at least this size; for 0 bytes it takes none.
  explicit thread_scratch(std::size_t bytes) {
    if (bytes == 0) return;
    spare_list& list = spares();
    if (list.first != nullptr) {
      mine_ = std::exchange(list.first, list.first->next);
      if (mine_->bytes >= bytes) return;
      release(std::exchange(mine_, nullptr));
    }
    void* const memory = ::operator new(sizeof(piece) + bytes, std::align_val_t{alignment});
    mine_ = ::new (memory) piece{nullptr, bytes};
  }
  thread_scratch(const thread_scratch&) = delete;
  thread_scratch& operator=(const thread_scratch&) = delete;
  ~thread_scratch() {
    if (mine_ == nullptr) return;
    spare_list& list = spares();
    mine_->next = std::exchange(list.first, mine_);
  }

  /// The memory as elements of an implicit-lifetime type T; null where 0 bytes were asked for.
  template <class T>
  [[nodiscard]] T* data() const {
    return mine_ == nullptr ? nullptr : reinterpret_cast<T*>(mine_ + 1);
  }

 private:
  /// What stands before the memory.
  struct alignas(alignment) piece {
    piece* next;
    std::size_t bytes;  // size of the memory behind
  };

  struct spare_list {
    piece* first = nullptr;

    spare_list() = default;
    spare_list(const spare_list&) = delete;
    spare_list& operator=(const spare_list&) = delete;
    ~spare_list() {
      while (first != nullptr) release(std::exchange(first, first->next));
    }
  };

  static spare_list& spares() { return per_thread<spare_list>(); }

  static void release(piece* p) { ::operator delete(p, std::align_val_t{alignment}); }

  piece* mine_ = nullptr;
};

}  // namespace tern::inline TERN_ABI
