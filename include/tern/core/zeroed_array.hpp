// Zeros that take memory only where they are written. The system gives a page when it is first
// touched, so a large array of which little is used costs little.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// An array of a fixed size whose elements begin as zeros.
template <class T>
  requires std::is_trivial_v<T>
class zeroed_array {
 public:
  /// Throws std::bad_alloc.
  explicit zeroed_array(std::size_t size)
      : data_(static_cast<T*>(size == 0 ? nullptr : std::calloc(size, sizeof(T)))), size_(size) {
    if (size != 0 && data_ == nullptr) throw std::bad_alloc();
  }
  /// Copies all elements, so that the copy takes memory for all of them. Throws std::bad_alloc.
  zeroed_array(const zeroed_array& other) : zeroed_array(other.size_) {
    std::copy_n(other.data(), size_, data());
  }
  zeroed_array(zeroed_array&& other) noexcept
      : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}
  zeroed_array& operator=(zeroed_array other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~zeroed_array() = default;

  [[nodiscard]] T* data() { return data_.get(); }              ///< first element
  [[nodiscard]] const T* data() const { return data_.get(); }  ///< first element
  [[nodiscard]] std::size_t size() const { return size_; }     ///< number of elements
  T& operator[](std::size_t i) { return data_.get()[i]; }      ///< element i < size()

 private:
  struct release {
    void operator()(T* p) const { std::free(p); }
  };

  std::unique_ptr<T, release> data_;
  std::size_t size_;
};

}  // namespace tern::inline TERN_ABI
