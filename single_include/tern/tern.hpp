// tern in one file, made of include/tern/ by cmake/amalgamate.cmake: do not edit.
//
// MIT License
//
// Copyright (c) 2026 The tern authors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy
// of this software and associated documentation files (the "Software"), to deal
// in the Software without restriction, including without limitation the rights
// to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
// copies of the Software, and to permit persons to whom the Software is
// furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all
// copies or substantial portions of the Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
// IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
// FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
// AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
// LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
// OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
// SOFTWARE.
#pragma once

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <numbers>
#include <numeric>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#include <xsimd/xsimd.hpp>

// ==== tern/version.hpp

// The one place of the version (CMake reads it here) and of the ABI tag.

#if __cplusplus < 202002L
#  error "tern needs C++20: -std=c++20"
#endif

#define TERN_VERSION_MAJOR 0  ///< semantic version: interfaces may change before the first release
#define TERN_VERSION_MINOR 1  ///< grows with what is new
#define TERN_VERSION_PATCH 0  ///< grows with what is mended

// Every name of the library lives in `tern::inline TERN_ABI`. The tag differs with the instruction
// set the translation unit is compiled for, so that inline functions of two units built with
// different -m flags never replace one another at link time.
#if defined(__AVX512F__)
#  define TERN_ABI v0_avx512
#elif defined(__AVX2__) && defined(__FMA__)
#  define TERN_ABI v0_avx2_fma
#elif defined(__AVX2__)
#  define TERN_ABI v0_avx2
#elif defined(__AVX__)
#  define TERN_ABI v0_avx
#elif defined(__SSE4_1__)
#  define TERN_ABI v0_sse41
#elif defined(__ARM_FEATURE_SVE2)
#  define TERN_ABI v0_sve2
#elif defined(__ARM_FEATURE_SVE)
#  define TERN_ABI v0_sve
#elif defined(__ARM_FEATURE_DOTPROD)
#  define TERN_ABI v0_dotprod
#elif defined(__ARM_FEATURE_ATOMICS)
#  define TERN_ABI v0_lse
#else
#  define TERN_ABI v0  ///< inline namespace of every name, after the instruction set
#endif

// ==== tern/core/error.hpp

// The exceptions the library throws, besides std::bad_alloc where there is no memory and whatever
// the caller's own functions throw. Nothing here prints or ends the process.

namespace tern::inline TERN_ABI {

/// Base of everything the library throws on purpose.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Operands whose shapes or strides do not fit together.
struct shape_error : error {
  using error::error;
};

/// A value outside its documented range, or a configuration that contradicts itself.
struct config_error : error {
  using error::error;
};

/// The operating system refused: missing file, full disk, no permission.
struct io_error : error {
  using error::error;
};

/// The content of a file is not what it must be; the message names file and position.
struct format_error : error {
  using error::error;
};

/// A computation left the finite numbers (NaN or infinite loss).
struct numeric_error : error {
  using error::error;
};

/// Throws shape_error("<what>: expected <expected>, got <got>") unless `expected == got`.
inline void require_size(std::size_t got, std::size_t expected, std::string_view what) {
  if (got != expected)
    throw shape_error(std::string(what) + ": expected " + std::to_string(expected) + ", got " +
                      std::to_string(got));
}

}  // namespace tern::inline TERN_ABI

// ==== tern/core/tensor.hpp

// Views and the one customisation point. Ops take `matrix_view`; any type with `tensor_traits`
// converts to it implicitly, so an op is compiled once per scalar and serves every owner type.

namespace tern::inline TERN_ABI {

/// What tern must know of a foreign matrix type M; specialise it for yours:
///   using scalar = float;
///   static std::size_t rows(const M&), cols(const M&), row_stride(const M&), col_stride(const M&);
///   static const scalar* data(const M&);  static scalar* data(M&);
/// Strides count elements. An owner (a type the library may create) adds
///   static M make(std::size_t rows, std::size_t cols);   // zero-filled
template <class M>
struct tensor_traits;

/// What has the members of tensor_traits: it converts to matrix_view.
template <class M>
concept matrix_like = requires(const std::remove_cvref_t<M>& m) {
  typename tensor_traits<std::remove_cvref_t<M>>::scalar;
  { tensor_traits<std::remove_cvref_t<M>>::rows(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::cols(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::row_stride(m) } -> std::convertible_to<std::size_t>;
  { tensor_traits<std::remove_cvref_t<M>>::col_stride(m) } -> std::convertible_to<std::size_t>;
  tensor_traits<std::remove_cvref_t<M>>::data(m);
};

/// What the library may also create: tensor_traits<M> has `make`.
template <class M>
concept matrix_owner = matrix_like<M> && std::movable<M> && requires(std::size_t n) {
  { tensor_traits<M>::make(n, n) } -> std::same_as<M>;
};

/// Element type of a matrix_like.
template <class M>
using scalar_of = typename tensor_traits<std::remove_cvref_t<M>>::scalar;

/// `size` elements, `stride` apart. A row or a column of a matrix, or a plain vector.
template <class T>
struct row_view {
  T* data = nullptr;                 ///< element 0; null: no row
  std::size_t size = 0, stride = 1;  ///< both in elements

  row_view() = default;
  /// `size_` elements from `data_` on.
  row_view(T* data_, std::size_t size_, std::size_t stride_ = 1)
      : data(data_), size(size_), stride(stride_) {}
  /// Adds const.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  row_view(const row_view<U>& r)  // NOLINT: adds const
      : row_view(r.data, r.size, r.stride) {}
  /// From a contiguous range such as std::vector or std::span.
  template <class R>
    requires requires(R& r) {
      { std::data(r) } -> std::convertible_to<T*>;
      { std::size(r) } -> std::convertible_to<std::size_t>;
    }
  row_view(R&& r)  // NOLINT: a parameter type
      : row_view(std::data(r), std::size(r)) {}

  T& operator[](std::size_t i) const { return data[i * stride]; }  ///< element i, not checked
  explicit operator bool() const { return data != nullptr; }       ///< false for a null view
};

/// Non-owning `rows x cols` view with strides in elements. Shallow const, cheap to copy. A null
/// view (data == nullptr) stands for "not wanted" where an op documents it.
template <class T>
struct matrix_view {
  using value_type = std::remove_const_t<T>;  ///< element type

  T* data = nullptr;  ///< element (0, 0); null: no matrix
  std::size_t rows = 0, cols = 0, row_stride = 0, col_stride = 1;  ///< elements

  matrix_view() = default;
  /// Dense row-major.
  matrix_view(T* data_, std::size_t rows_, std::size_t cols_)
      : matrix_view(data_, rows_, cols_, cols_) {}
  /// Any strides.
  matrix_view(T* data_, std::size_t rows_, std::size_t cols_, std::size_t row_stride_,
              std::size_t col_stride_ = 1)
      : data(data_), rows(rows_), cols(cols_), row_stride(row_stride_), col_stride(col_stride_) {}
  /// Adds const.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  matrix_view(const matrix_view<U>& m)  // NOLINT: adds const
      : matrix_view(m.data, m.rows, m.cols, m.row_stride, m.col_stride) {}
  /// Any matrix-like of the same scalar; a const one only where T is const.
  template <matrix_like M>
    requires requires(M&& m) {
      { tensor_traits<std::remove_cvref_t<M>>::data(m) } -> std::convertible_to<T*>;
    }
  matrix_view(M&& m)  // NOLINT: a parameter type
      : matrix_view(tensor_traits<std::remove_cvref_t<M>>::data(m),
                    tensor_traits<std::remove_cvref_t<M>>::rows(m),
                    tensor_traits<std::remove_cvref_t<M>>::cols(m),
                    tensor_traits<std::remove_cvref_t<M>>::row_stride(m),
                    tensor_traits<std::remove_cvref_t<M>>::col_stride(m)) {}

  /// Element (r, c), not checked.
  T& operator()(std::size_t r, std::size_t c) const {
    return data[r * row_stride + c * col_stride];
  }
  /// Row r; column c.
  [[nodiscard]] row_view<T> row(std::size_t r) const {
    return {data + r * row_stride, cols, col_stride};
  }
  [[nodiscard]] row_view<T> col(std::size_t c) const {
    return {data + c * col_stride, rows, row_stride};
  }
  /// Views of parts, not checked: n_rows x n_cols from (r, c) on, n whole rows, n whole columns.
  [[nodiscard]] matrix_view block(std::size_t r, std::size_t c, std::size_t n_rows,
                                  std::size_t n_cols) const {
    return {data + r * row_stride + c * col_stride, n_rows, n_cols, row_stride, col_stride};
  }
  [[nodiscard]] matrix_view row_block(std::size_t r, std::size_t n) const {
    return block(r, 0, n, cols);
  }
  [[nodiscard]] matrix_view col_block(std::size_t c, std::size_t n) const {
    return block(0, c, rows, n);
  }
  /// (cols, rows).
  [[nodiscard]] matrix_view transposed() const {
    return {data, cols, rows, col_stride, row_stride};
  }
  [[nodiscard]] std::size_t size() const { return rows * cols; }  ///< elements
  explicit operator bool() const { return data != nullptr; }      ///< false for a null view
};

/// Throws shape_error unless m is rows x cols.
template <class T>
void require_shape(const matrix_view<T>& m, std::size_t rows, std::size_t cols,
                   std::string_view what) {
  if (m.rows == rows && m.cols == cols) return;
  throw shape_error(std::string(what) + ": expected " + std::to_string(rows) + " x " +
                    std::to_string(cols) + ", got " + std::to_string(m.rows) + " x " +
                    std::to_string(m.cols));
}

}  // namespace tern::inline TERN_ABI

// ==== tern/core/arena.hpp

// Bump allocation for one training step: memory is taken from the system while the first step
// runs, then reused without another allocation.

namespace tern::inline TERN_ABI {

class arena {
 public:
  static constexpr std::size_t alignment = 64;  ///< of all memory handed out, bytes

  /// Chunks grow with use; the first has at least this many bytes.
  explicit arena(std::size_t first_chunk_bytes = std::size_t{1} << 20)
      : first_(first_chunk_bytes) {}

  /// `n` uninitialised objects, 64-byte aligned, valid until the arena is rewound past them.
  template <class T>
  T* allocate(std::size_t n) {
    static_assert(std::is_trivially_destructible_v<T>, "the arena never runs destructors");
    return static_cast<T*>(bytes(n * sizeof(T)));
  }

  /// An uninitialised dense row-major matrix.
  template <class T>
  matrix_view<T> matrix(std::size_t rows, std::size_t cols) {
    return {allocate<T>(rows * cols), rows, cols};
  }

  /// A position to come back to.
  struct position {
    std::size_t chunk = 0, used = 0;  ///< number of the chunk, bytes taken of it
  };
  /// Where allocation stands; pass it to rewind().
  [[nodiscard]] position mark() const { return at_; }
  /// Everything allocated since `p` may be handed out again; without it, everything. Frees nothing.
  void rewind(position p) { at_ = p; }
  void rewind() { at_ = {}; }

  /// How often memory was taken from the system, and how much is held.
  [[nodiscard]] std::size_t system_allocations() const { return chunks_.size(); }
  [[nodiscard]] std::size_t capacity() const {
    std::size_t total = 0;
    for (const chunk& c : chunks_) total += c.size;
    return total;
  }

 private:
  struct release {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{alignment}); }
  };
  struct chunk {
    std::unique_ptr<std::byte, release> memory;
    std::size_t size;
  };

  void* bytes(std::size_t n) {
    n = (n + alignment - 1) / alignment * alignment;
    while (at_.chunk < chunks_.size() && at_.used + n > chunks_[at_.chunk].size)
      at_ = {at_.chunk + 1, 0};
    if (at_.chunk == chunks_.size()) {
      const std::size_t size = std::max({n, first_, capacity()});
      chunks_.push_back({std::unique_ptr<std::byte, release>(static_cast<std::byte*>(
                             ::operator new(size, std::align_val_t{alignment}))),
                         size});
    }
    std::byte* p = chunks_[at_.chunk].memory.get() + at_.used;
    at_.used += n;
    return p;
  }

  std::size_t first_;
  std::vector<chunk> chunks_;
  position at_;
};

/// Rewinds an arena at the end of a scope: temporaries of one op.
class arena_scope {
 public:
  explicit arena_scope(arena& a) : arena_(a), start_(a.mark()) {}  ///< marks `a` here
  arena_scope(const arena_scope&) = delete;
  arena_scope& operator=(const arena_scope&) = delete;
  ~arena_scope() { arena_.rewind(start_); }

 private:
  arena& arena_;
  arena::position start_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/core/executor.hpp

// How work is spread over threads. Partition depends on (n, grain) alone, never on the number of
// threads, so results are the same bits for any of them.

namespace tern::inline TERN_ABI {

// __builtin_addressof below: std::addressof would bring <memory>, which costs more than all of
// this.

/// Non-owning reference to a callable `void(std::size_t begin, std::size_t end)`.
class range_function {
 public:
  /// Refers to `f`, callable as f(begin, end), which must outlive it.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, range_function> &&
             std::invocable<F&, std::size_t, std::size_t>)
  range_function(F&& f)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(const_cast<void*>(static_cast<const void*>(__builtin_addressof(f)))),
        call_([](void* o, std::size_t b, std::size_t e) {
          (*static_cast<std::remove_reference_t<F>*>(o))(b, e);
        }) {}

  /// Calls it.
  void operator()(std::size_t begin, std::size_t end) const { call_(object_, begin, end); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t);
};

/// Runs f on every chunk [i * grain, min(n, (i + 1) * grain)) exactly once, in any order and on
/// any threads, and returns when all are done; grain is at least 1. An exception of f reaches the
/// caller.
template <class E>
concept executor = requires(E& e, std::size_t n, std::size_t grain, range_function f) {
  e.parallel_for(n, grain, f);
};

/// Everything on the calling thread, chunk after chunk.
struct serial_executor {
  /// As `executor` asks.
  static void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    for (std::size_t begin = 0; begin < n; begin += grain) f(begin, std::min(n, begin + grain));
  }
};

/// Non-owning handle to any executor: what ops take by value. Default: serial.
class executor_ref {
 public:
  executor_ref() = default;

  /// Refers to `e`, which must outlive it.
  template <executor E>
    requires(!std::same_as<std::remove_cvref_t<E>, executor_ref>)
  executor_ref(E& e)  // NOLINT(google-explicit-constructor): a parameter type
      : object_(__builtin_addressof(e)),
        run_([](void* o, std::size_t n, std::size_t grain, range_function f) {
          static_cast<E*>(o)->parallel_for(n, grain, f);
        }) {}

  /// As `executor` asks; work of one chunk runs on the calling thread.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) const {
    grain = std::max<std::size_t>(grain, 1);
    if (n <= grain) {
      if (n > 0) f(0, n);
    } else if (object_ != nullptr) {
      run_(object_, n, grain, f);
    } else {
      serial_executor::parallel_for(n, grain, f);
    }
  }

 private:
  void* object_ = nullptr;
  void (*run_)(void*, std::size_t, std::size_t, range_function) = nullptr;
};

/// Rows of `cols` elements that make a chunk worth a thread: about 2^15 elements.
constexpr std::size_t rows_per_chunk(std::size_t cols) {
  return std::max<std::size_t>(1, (std::size_t{1} << 15) / std::max<std::size_t>(cols, 1));
}

/// f(r) for every row of a matrix, by chunks of rows_per_chunk.
template <class F>
void for_each_row(std::size_t rows, std::size_t cols, executor_ref ex, F f) {
  ex.parallel_for(rows, rows_per_chunk(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace tern::inline TERN_ABI

// ==== tern/core/random.hpp

// Counter-based random numbers: the same (seed, stream) gives the same sequence with every
// compiler and standard library, and the whole state is three numbers that a checkpoint can hold.

namespace tern::inline TERN_ABI {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
/// One object is one independent sequence, named by a seed and a stream number.
class philox {
 public:
  /// All there is to save and restore: key, stream and how many words were drawn.
  struct state {
    std::uint64_t seed = 0, stream = 0, drawn = 0;  ///< `drawn` counts 32-bit words
    bool operator==(const state&) const = default;
  };

  /// Sequences of different streams are independent.
  explicit philox(std::uint64_t seed, std::uint64_t stream = 0) : philox(state{seed, stream, 0}) {}
  /// Goes on where save() was called.
  explicit philox(const state& s) : state_(s) {
    if (state_.drawn % 4 != 0) block_ = generate(state_.drawn / 4);
  }

  [[nodiscard]] const state& save() const { return state_; }  ///< for the constructor above

  /// Uniform over all 32-bit words.
  std::uint32_t next() {
    const std::size_t lane = state_.drawn % 4;
    if (lane == 0) block_ = generate(state_.drawn / 4);
    ++state_.drawn;
    return block_[lane];
  }

  /// Uniform in {0, ..., n - 1}, without modulo bias; n must be positive.
  std::uint32_t below(std::uint32_t n) {
    const std::uint32_t reject = (0u - n) % n;  // 2^32 mod n
    std::uint64_t wide = std::uint64_t{next()} * n;
    while (static_cast<std::uint32_t>(wide) < reject) wide = std::uint64_t{next()} * n;
    return static_cast<std::uint32_t>(wide >> 32);
  }

  /// Uniform in [0, 1), multiples of 2^-24 (exact in float).
  double uniform() { return static_cast<double>(next() >> 8) * 0x1p-24; }

  /// Standard normal by Box-Muller; draws two words, keeps no spare value.
  double normal() {
    const double u = (static_cast<double>(next()) + 0.5) * 0x1p-32;
    const double v = static_cast<double>(next()) * 0x1p-32;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// Fisher-Yates over any random-access range.
  template <class Range>
  void shuffle(Range&& items) {
    for (std::size_t i = std::size(items); i > 1; --i) {
      using std::swap;
      swap(items[i - 1], items[below(static_cast<std::uint32_t>(i))]);
    }
  }

 private:
  using words = std::array<std::uint32_t, 4>;

  [[nodiscard]] words generate(std::uint64_t counter) const {
    words c{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32),
            static_cast<std::uint32_t>(state_.stream),
            static_cast<std::uint32_t>(state_.stream >> 32)};
    auto k0 = static_cast<std::uint32_t>(state_.seed);
    auto k1 = static_cast<std::uint32_t>(state_.seed >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
      const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(b),
           static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(a)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

  state state_;
  words block_{};
};

}  // namespace tern::inline TERN_ABI

// ==== tern/core/simd.hpp

// Vectorised float loops over row_views at the instruction set this translation unit is compiled
// for (xsimd). One function object serves whole vectors and tails alike, strided rows go through
// a register-sized buffer, and no result depends on the alignment of its data.

namespace tern::inline TERN_ABI::simd {

/// Vector of T of the widest instruction set that this unit is compiled for.
template <class T>
using batch = xsimd::batch<T, xsimd::default_arch>;

/// Elements of a batch.
template <class T>
inline constexpr std::size_t lanes = batch<T>::size;

namespace detail {

/// Elements [i, i + n) of r, n <= lanes; lanes past n hold zero.
template <class T>
batch<std::remove_const_t<T>> load_part(row_view<T> r, std::size_t i, std::size_t n) {
  std::array<std::remove_const_t<T>, lanes<std::remove_const_t<T>>> buffer{};
  for (std::size_t k = 0; k < n; ++k) buffer[k] = r[i + k];
  return batch<std::remove_const_t<T>>::load_unaligned(buffer.data());
}

template <class T>
void store_part(row_view<T> r, std::size_t i, std::size_t n, const batch<T>& v) {
  std::array<T, lanes<T>> buffer;
  v.store_unaligned(buffer.data());
  for (std::size_t k = 0; k < n; ++k) r[i + k] = buffer[k];
}

template <class T>
batch<std::remove_const_t<T>> load(row_view<T> r, std::size_t i) {
  return batch<std::remove_const_t<T>>::load_unaligned(r.data + i);
}

template <class... R>
bool contiguous(const R&... r) {
  return ((r.stride == 1) && ...);
}

}  // namespace detail

/// outs[k][i] = f(in[i]...)[k], f: batches to an array of batches, in one pass. A row of `outs` may
/// alias an input exactly.
template <class T, std::size_t K, class F, class... In>
void transform(const std::array<row_view<T>, K>& outs, F&& f, const In&... in) {
  [&]<std::size_t... k>(std::index_sequence<k...>) {
    constexpr std::size_t width = lanes<T>;
    const std::size_t n = outs[0].size;
    std::size_t i = 0;
    if (detail::contiguous(outs[k]..., in...))
      for (; i + width <= n; i += width) {
        const std::array<batch<T>, K> v = f(detail::load(in, i)...);
        (v[k].store_unaligned(outs[k].data + i), ...);
      }
    for (; i < n; i += width) {
      const std::size_t part = n - i < width ? n - i : width;
      const std::array<batch<T>, K> v = f(detail::load_part(in, i, part)...);
      (detail::store_part(outs[k], i, part, v[k]), ...);
    }
  }(std::make_index_sequence<K>());
}

/// out[i] = f(in[i]...), f: batches to batch. `out` may alias an input exactly.
template <class T, class F, class... In>
void transform(row_view<T> out, F&& f, const In&... in) {
  transform(
      std::array{out}, [&](const auto&... v) { return std::array{batch<T>(f(v...))}; }, in...);
}

/// combine over all i of f(in[i]...), started at `init` (an identity of combine, which takes
/// batches or scalars). Four accumulators hide latency; the order depends on the size alone.
template <class T, class Combine, class F, class First, class... In>
T fold(T init, Combine combine, F&& f, const First& first, const In&... in) {
  constexpr std::size_t width = lanes<T>;
  const std::size_t n = first.size;
  batch<T> a0(init), a1(init), a2(init), a3(init);
  std::size_t i = 0;
  const auto whole_vectors = [&](auto load) {
    for (; i + 4 * width <= n; i += 4 * width) {
      a0 = combine(a0, f(load(first, i), load(in, i)...));
      a1 = combine(a1, f(load(first, i + width), load(in, i + width)...));
      a2 = combine(a2, f(load(first, i + 2 * width), load(in, i + 2 * width)...));
      a3 = combine(a3, f(load(first, i + 3 * width), load(in, i + 3 * width)...));
    }
    for (; i + width <= n; i += width) a0 = combine(a0, f(load(first, i), load(in, i)...));
  };
  if (detail::contiguous(first, in...))
    whole_vectors([](const auto& r, std::size_t at) { return detail::load(r, at); });
  else
    whole_vectors([](const auto& r, std::size_t at) { return detail::load_part(r, at, width); });
  std::array<T, width> buffer;
  if (i < n) {
    const std::size_t part = n - i;
    const batch<T> v = f(detail::load_part(first, i, part), detail::load_part(in, i, part)...);
    v.store_unaligned(buffer.data());
    for (std::size_t k = part; k < width; ++k) buffer[k] = init;
    a0 = combine(a0, batch<T>::load_unaligned(buffer.data()));
  }
  combine(combine(a0, a1), combine(a2, a3)).store_unaligned(buffer.data());
  T result = init;
  for (const T lane : buffer) result = combine(result, lane);
  return result;
}

/// For fold(): a + b.
struct plus {
  /// Of batches or of elements.
  template <class B>
  B operator()(const B& a, const B& b) const {
    return a + b;
  }
};

/// For fold(): the larger of two.
struct maximum {
  /// Element by element.
  template <class T>
  batch<T> operator()(const batch<T>& a, const batch<T>& b) const {
    return xsimd::max(a, b);
  }
  float operator()(float a, float b) const { return a < b ? b : a; }
  double operator()(double a, double b) const { return a < b ? b : a; }
};

/// Sum of f(in[i]...).
template <class F, class First, class... In>
auto sum(F&& f, const First& first, const In&... in) {
  using T = std::remove_cvref_t<decltype(first[0])>;
  return fold(T(0), plus{}, f, first, in...);
}

/// Sum of x[i].
template <class T>
std::remove_const_t<T> sum(row_view<T> x) {
  return sum([](const auto& a) { return a; }, x);
}

/// Sum of x[i] y[i].
template <class T, class U>
std::remove_const_t<T> dot(row_view<T> x, row_view<U> y) {
  return sum([](const auto& a, const auto& b) { return a * b; }, x, y);
}

/// Largest |x[i]|; 0 for an empty row.
template <class T>
std::remove_const_t<T> max_abs(row_view<T> x) {
  return fold(
      std::remove_const_t<T>(0), maximum{}, [](const auto& a) { return xsimd::abs(a); }, x);
}

/// y += a * x
template <class T>
void axpy(T a, row_view<const T> x, row_view<T> y) {
  const batch<T> factor(a);
  transform(
      y, [&](const auto& u, const auto& v) { return v + factor * u; }, x, row_view<const T>(y));
}

}  // namespace tern::inline TERN_ABI::simd

// ==== tern/core/thread_pool.hpp

// The executor most programs want; apart, since <thread> costs more to compile than the rest of
// core/.

namespace tern::inline TERN_ABI {

/// Threads that wait for jobs, for a moment awake, then asleep; the caller works too. Calls from
/// several threads take turns; a call from inside a job of the same pool runs serially.
class thread_pool {
 public:
  /// `threads` counts the caller; 0 means as many as the machine has. Throws io_error where the
  /// system has no more threads.
  explicit thread_pool(std::size_t threads = 0) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    workers_.reserve(threads - 1);
    try {
      for (std::size_t i = 1; i < threads; ++i)
        workers_.emplace_back([this](const std::stop_token& stop) { serve(stop); });
    } catch (const std::system_error& e) {
      throw io_error("cannot start " + std::to_string(threads) + " threads: " + e.what());
    }
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// The caller included.
  [[nodiscard]] std::size_t threads() const { return workers_.size() + 1; }

  /// As `executor` asks.
  void parallel_for(std::size_t n, std::size_t grain, range_function f) {
    grain = std::max<std::size_t>(grain, 1);
    if (workers_.empty() || inside() == this) return serial_executor::parallel_for(n, grain, f);
    const std::lock_guard turn(turn_);
    job work{n, grain, f};
    job_ = &work;
    ++posted_;
    posted_.notify_all();
    drain(work);
    ++posted_;
    while (const counter::value_type busy = busy_) await_change(busy_, busy);
    if (work.failure) std::rethrow_exception(work.failure);
  }

 private:
  using counter = std::atomic<std::uint32_t>;

  struct job {
    std::size_t n, grain;
    range_function f;
    std::atomic<std::size_t> next{0};
    std::once_flag failed{};
    std::exception_ptr failure{};
  };

  static const thread_pool*& inside() {
    thread_local const thread_pool* pool = nullptr;
    return pool;
  }

  void drain(job& work) {
    const thread_pool* outer = std::exchange(inside(), this);
    for (;;) {
      const std::size_t begin = work.next.fetch_add(work.grain, std::memory_order_relaxed);
      if (begin >= work.n) break;
      try {
        work.f(begin, std::min(work.n, begin + work.grain));
      } catch (...) {
        std::call_once(work.failed, [&] { work.failure = std::current_exception(); });
      }
    }
    inside() = outer;
  }

  /// Returns when c no longer holds `old`. A step of training posts hundreds of jobs: waiting awake
  /// for the next one's usual distance spares most of them the wake of a sleeping thread.
  static void await_change(const counter& c, std::uint32_t old) {
    using clock = std::chrono::steady_clock;
    for (const auto end = clock::now() + std::chrono::microseconds(30); clock::now() < end;)
      if (c != old) return;
    c.wait(old);
  }

  void serve(const std::stop_token& stop) {
    const std::stop_callback wake(stop, [this] {
      posted_ += 2;
      posted_.notify_all();
    });
    for (std::uint32_t seen = 0; !stop.stop_requested();) {
      const std::uint32_t now = posted_;
      if (now == seen || now % 2 == 0) {
        await_change(posted_, now);
        continue;
      }
      seen = now;
      ++busy_;
      if (posted_ == now) drain(*job_);  // once busy_ counts this thread, an open job stays
      if (--busy_ == 0) busy_.notify_one();
    }
  }

  std::mutex turn_;
  job* job_ = nullptr;
  counter posted_{0};                  // odd while a job is open to helpers
  counter busy_{0};                    // workers that may hold job_
  std::vector<std::jthread> workers_;  // last: joined before the members above go
};

}  // namespace tern::inline TERN_ABI

// ==== tern/isa/target.hpp

// Regions of code compiled for a named instruction set, whatever flags the translation unit has:
// the only compiler pragmas of the library. Inside a region keep to free or static functions on
// plain structs; vectors never pass through functions defined outside of it.

#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
#  define TERN_X86 1  ///< 1: kernels for x86 are compiled, by function if not by flag
#else
#  define TERN_X86 0
#endif

#if defined(__aarch64__) && defined(__linux__) && !defined(__AARCH64EB__)
#  define TERN_AARCH64 1
#else
#  define TERN_AARCH64 0  ///< 1: kernels for AArch64 are compiled
#endif

#define TERN_PRAGMA_(text) _Pragma(#text)
#if defined(__clang__)
#  define TERN_TARGET_BEGIN(isa) \
    TERN_PRAGMA_(clang attribute push(__attribute__((target(isa))), apply_to = function))
#  define TERN_TARGET_END TERN_PRAGMA_(clang attribute pop)
#else
/// Functions up to TERN_TARGET_END are compiled for `isa`, a string as in -m or target().
#  define TERN_TARGET_BEGIN(isa) TERN_PRAGMA_(GCC push_options) TERN_PRAGMA_(GCC target(isa))
/// Back to the flags of the unit.
#  define TERN_TARGET_END TERN_PRAGMA_(GCC pop_options)
#endif

/// For AArch64's dot product. Below Armv8.2 g++ needs the architecture too, above it minds another.
#if defined(__ARM_FEATURE_DOTPROD)
#  define TERN_TARGET_DOTPROD "+dotprod"
#else
#  define TERN_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#endif

/// Functions of a region that must melt into their caller at every optimisation level.
#define TERN_INLINE [[gnu::always_inline]] inline

// ==== tern/isa/level.hpp

// What this CPU can run, asked of the CPU itself. The environment variable TERN_ISA caps it.

#if TERN_X86
#  include <cpuid.h>
#  if defined(__linux__)
#    include <sys/syscall.h>
#    include <unistd.h>
#  endif
#elif TERN_AARCH64
#  include <sys/auxv.h>
#endif

namespace tern::inline TERN_ABI::isa {

/// Kernel sets in order of preference. A CPU may run one and lack another below it: several with
/// AVX-512 VNNI know no AVX-VNNI. `avx512vbmi` has VNNI too; `amx` has all of it and the tiles.
enum class level {
  scalar,
  sse41,
  avx2,
  avxvnni,
  avx512bw,
  avx512vnni,
  avx512vbmi,
  amx,
  neon,
  neon_dotprod
};

/// Those of this architecture.
#if TERN_X86
inline constexpr std::array levels{level::scalar,     level::sse41,    level::avx2,
                                   level::avxvnni,    level::avx512bw, level::avx512vnni,
                                   level::avx512vbmi, level::amx};
#elif TERN_AARCH64
inline constexpr std::array levels{level::scalar, level::neon, level::neon_dotprod};
#else
inline constexpr std::array levels{level::scalar};
#endif

/// As TERN_ISA spells it.
constexpr std::string_view name(level l) {
  constexpr std::array<std::string_view, 10> names{
      "scalar",     "sse41",      "avx2", "avxvnni", "avx512bw",
      "avx512vnni", "avx512vbmi", "amx",  "neon",    "neon_dotprod"};
  return names[static_cast<std::size_t>(l)];
}

/// Throws config_error for a name that is none.
inline level parse(std::string_view text) {
  std::string known;
  for (const level l : levels) {
    if (name(l) == text) return l;
    known.append(known.empty() ? "" : ", ").append(name(l));
  }
  throw config_error("TERN_ISA: expected one of " + known + ", got " + std::string(text));
}

namespace detail {

#if TERN_X86
struct cpuid_words {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

inline cpuid_words cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  cpuid_words w;
  if (__get_cpuid_count(leaf, subleaf, &w.eax, &w.ebx, &w.ecx, &w.edx) == 0) return {};
  return w;
}

/// Register state that the operating system saves: bits 1-2 SSE and AVX, 5-7 AVX-512, 17-18 AMX.
inline std::uint32_t enabled_state() {
  constexpr std::uint32_t osxsave = 1u << 27;
  if ((cpuid(1, 0).ecx & osxsave) == 0) return 0;
  std::uint32_t low = 0, high = 0;
  // volatile: else g++ -O3 moves it before the check, and CPUs without it stop there.
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/// Linux gives the tile registers of AMX to a process that asks for them; it may refuse.
inline bool tiles_granted() {
#  if defined(__linux__) && defined(__x86_64__)
  constexpr long request_permission = 0x1023, tile_data = 18;
  return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#  else
  return false;
#  endif
}

inline bool detect(level l) {
  const auto has = [](std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; };
  const std::uint32_t state = enabled_state(), leaf1 = cpuid(1, 0).ecx;
  const cpuid_words leaf7 = cpuid(7, 0);
  constexpr std::uint32_t ssse3_sse41 = 1u << 9 | 1u << 19;                        // 1.ecx
  constexpr std::uint32_t fma_avx_f16c = 1u << 12 | 1u << 28 | 1u << 29;           // 1.ecx
  constexpr std::uint32_t avx2 = 1u << 5;                                          // 7.ebx
  constexpr std::uint32_t f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // 7.ebx
  constexpr std::uint32_t avx512_vnni = 1u << 11, avx_vnni = 1u << 4;              // 7.ecx, 7.1.eax
  constexpr std::uint32_t vbmi = 1u << 1;                                          // 7.ecx
  constexpr std::uint32_t amx_bf16_tile_int8 = 1u << 22 | 1u << 24 | 1u << 25;     // 7.edx
  const bool ymm = has(state, 0x06) && has(leaf1, fma_avx_f16c) && has(leaf7.ebx, avx2);
  const bool zmm = ymm && has(state, 0xE6) && has(leaf7.ebx, f_dq_bw_vl);
  switch (l) {
    case level::scalar:
      return true;
    case level::sse41:
      return has(leaf1, ssse3_sse41);
    case level::avx2:
      return ymm;
    case level::avxvnni:
      return ymm && leaf7.eax >= 1 && has(cpuid(7, 1).eax, avx_vnni);
    case level::avx512bw:
      return zmm;
    case level::avx512vnni:
      return zmm && has(leaf7.ecx, avx512_vnni);
    case level::avx512vbmi:
      return zmm && has(leaf7.ecx, avx512_vnni | vbmi);
    case level::amx:
      return zmm && has(leaf7.ecx, avx512_vnni | vbmi) && has(state, 0x60000) &&
             has(leaf7.edx, amx_bf16_tile_int8) && tiles_granted();
    default:
      return false;
  }
}
#elif TERN_AARCH64
inline bool detect(level l) {
  constexpr unsigned long asimd_dp = 1ul << 20;
  if (l == level::neon_dotprod) return (::getauxval(AT_HWCAP) & asimd_dp) != 0;
  return l == level::scalar || l == level::neon;
}
#else
inline bool detect(level l) { return l == level::scalar; }
#endif

inline level best() {
  const char* cap = std::getenv("TERN_ISA");
  const level top = cap == nullptr || *cap == '\0' ? levels.back() : parse(cap);
  level found = level::scalar;
  for (const level l : levels)
    if (l <= top && detect(l)) found = l;
  return found;
}

}  // namespace detail

/// Whether this CPU and operating system run the level (TERN_ISA plays no part). The first call
/// asks Linux for the tile registers where the CPU has them, on behalf of the whole process.
inline bool supported(level l) {
  static const std::uint32_t cache = [] {
    std::uint32_t set = 0;
    for (const level each : levels)
      set |= static_cast<std::uint32_t>(detail::detect(each)) << static_cast<unsigned>(each);
    return set;
  }();
  return (cache >> static_cast<unsigned>(l) & 1u) != 0;
}

/// The level kernels use: the best supported one not above TERN_ISA, read once. Throws
/// config_error where TERN_ISA names no level.
inline level active() {
  static const level l = detail::best();
  return l;
}

}  // namespace tern::inline TERN_ABI::isa

// ==== tern/adapt/eigen.hpp

// Eigen dense matrices, maps, refs and blocks as matrix-likes, and the library's default owner.

namespace tern::inline TERN_ABI {

/// The default owner: a dense row-major matrix.
template <class T>
using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Every Eigen expression that has memory of its own or refers to some.
template <class M>
  requires std::derived_from<M, Eigen::DenseBase<M>> &&
           ((static_cast<unsigned>(M::Flags) & static_cast<unsigned>(Eigen::DirectAccessBit)) != 0)
struct tensor_traits<M> {
  using scalar = typename M::Scalar;  ///< of an element

  /// Sizes and strides in elements, either storage order.
  static std::size_t rows(const M& m) { return static_cast<std::size_t>(m.rows()); }
  static std::size_t cols(const M& m) { return static_cast<std::size_t>(m.cols()); }
  static std::size_t row_stride(const M& m) {
    return static_cast<std::size_t>(M::IsRowMajor ? m.outerStride() : m.innerStride());
  }
  static std::size_t col_stride(const M& m) {
    return static_cast<std::size_t>(M::IsRowMajor ? m.innerStride() : m.outerStride());
  }
  /// Address of element (0, 0).
  static const scalar* data(const M& m) { return m.data(); }
  static auto data(M& m) { return m.data(); }

  /// Zeros. Only of types that own their memory.
  static M make(std::size_t rows, std::size_t cols)
    requires std::derived_from<M, Eigen::PlainObjectBase<M>>
  {
    return M::Zero(static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(cols));
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/isa/tile_config.hpp

// What the tile registers of AMX are set up with: shared by the kernels that use them.

namespace tern::inline TERN_ABI::isa {

/// In the layout that `ldtilecfg` reads; as it is, all eight tiles have 16 rows of 64 bytes.
struct alignas(64) tile_config {
  /// Intel's names; the last eight sizes are of no tile.
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(tile_config) == 64);

}  // namespace tern::inline TERN_ABI::isa

// ==== tern/core/trit.hpp

// Ternary digits: weights as codes -1, 0, +1 in int8, one code a byte.

namespace tern::inline TERN_ABI {

/// Eight codes as bytes of a word: nonzero where one of them is no trit.
constexpr std::uint64_t non_trits(std::uint64_t codes) {
  const std::uint64_t sign_broken = (codes ^ (codes << 1)) & 0xFCFCFCFCFCFCFCFCu;
  const std::uint64_t minus_two = (codes >> 1) & ~codes & 0x0101010101010101u;
  return sign_broken | minus_two;
}

/// Eight trits as bytes of a word -> eight unsigned digits code + 1 of {0, 1, 2}.
constexpr std::uint64_t trits_to_digits(std::uint64_t codes) {
  constexpr std::uint64_t low = 0x0303030303030303u, one = 0x0101010101010101u;
  return ((codes & low) + one) & low;
}

/// The way back.
constexpr std::uint64_t digits_to_trits(std::uint64_t digits) {
  constexpr std::uint64_t high = 0x8080808080808080u, one = 0x0101010101010101u;
  return ((digits | high) - one) ^ high;  // the high bit keeps borrows inside their byte
}

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/packed_matrix.hpp

// Matrices of a few bits a weight, ternary ones first of all, in a layout that no instruction set
// owns. A format says how one block is stored; rows and columns are padded to whole blocks with
// codes of 0.

namespace tern::inline TERN_ABI {

/// 64 bytes on a cache line of their own: the unit of every format.
struct alignas(64) packed_block {
  std::array<std::uint8_t, 64> bytes{};  ///< as the format has them
};

/// `Format::rows x Format::cols` codes make a block. `pack` reads int8 codes with a row stride,
/// returns nonzero where one is not within [least_code, least_code + max_digit]; `unpack` is its
/// inverse.
template <class Format>
concept pack_format = requires(const std::int8_t* in, std::int8_t* out, std::size_t stride,
                               packed_block& block, const packed_block& packed) {
  { Format::pack(in, stride, block) } -> std::convertible_to<std::uint64_t>;
  Format::unpack(packed, out, stride);
  requires Format::rows > 0 && Format::cols > 0;
  requires Format::least_code <= 0 && Format::max_digit > 0;
};

/// Non-owning: blocks of a panel of Format::rows rows lie one after another along the columns,
/// panel after panel. Columns come in runs, and each run begins a block, so that a run can be
/// multiplied alone: that is where weights have one scale to so many columns.
template <pack_format Format>
struct packed_view {
  using format = Format;  ///< of the blocks

  const packed_block* data = nullptr;  ///< the first block of panel 0
  std::size_t rows = 0, cols = 0;      ///< in codes
  std::size_t run = cols;  ///< columns of a run, at least 1 where there are any; the last: the rest
  std::size_t panel_stride = panel_blocks();  ///< blocks from one panel to the next

  /// Of Format::rows rows, the last perhaps padded.
  [[nodiscard]] std::size_t panels() const { return (rows + Format::rows - 1) / Format::rows; }
  /// Of columns.
  [[nodiscard]] std::size_t runs() const { return run >= cols ? cols != 0 : (cols - 1) / run + 1; }
  /// Blocks of a panel.
  [[nodiscard]] std::size_t panel_blocks() const {
    const std::size_t before = run >= cols ? 0 : (cols - 1) / run;  // runs before the last
    return before * run_blocks() + (cols - before * run + Format::cols - 1) / Format::cols;
  }
  /// Its first block.
  [[nodiscard]] const packed_block* panel(std::size_t i) const { return data + i * panel_stride; }
  /// The columns of run i as a matrix of one run.
  [[nodiscard]] packed_view run_view(std::size_t i) const {
    const std::size_t n = std::min(run, cols - i * run);
    return {data + i * run_blocks(), rows, n, n, panel_stride};
  }
  /// Of all panels.
  [[nodiscard]] std::size_t size_bytes() const {
    return panels() * panel_stride * sizeof(packed_block);
  }

 private:
  /// Blocks of a whole run in a panel.
  [[nodiscard]] std::size_t run_blocks() const { return (run - 1) / Format::cols + 1; }
};

namespace detail {

/// f(index of the block, first row, first column, rows here, columns here), panels in parallel.
template <class Format, class F>
void for_each_block(const packed_view<Format>& m, executor_ref ex, F f) {
  const std::size_t blocks = m.panel_blocks();
  const std::size_t grain = std::max<std::size_t>(1, 256 / std::max<std::size_t>(blocks, 1));
  ex.parallel_for(m.panels(), grain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t p = begin; p < end; ++p) {
      const std::size_t r = p * Format::rows,
                        n_rows = std::min<std::size_t>(Format::rows, m.rows - r);
      std::size_t at = p * blocks;
      for (std::size_t run = 0; run < m.cols; run += m.run) {
        const std::size_t run_end = std::min(m.cols, run + m.run);
        for (std::size_t c = run; c < run_end; c += Format::cols, ++at)
          f(at, r, c, n_rows, std::min<std::size_t>(Format::cols, run_end - c));
      }
    }
  });
}

}  // namespace detail

/// Packs codes of {-1, 0, +1} in runs of `run` columns into memory of the caller:
/// packed_view<Format>{blocks, rows, cols, run}.size_bytes() of it. Throws config_error (`blocks`
/// is to be packed again) where a code is none of the format's.
template <pack_format Format>
packed_view<Format> pack(matrix_view<const std::int8_t> codes, std::size_t run,
                         packed_block* blocks, executor_ref ex = {}) {
  const packed_view<Format> view{blocks, codes.rows, codes.cols, run};
  std::atomic<bool> bad = false;
  detail::for_each_block(
      view, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        const auto part = codes.block(r, c, n_rows, n_cols);
        std::uint64_t wrong = 0;
        if (n_rows == Format::rows && n_cols == Format::cols && codes.col_stride == 1) {
          wrong = Format::pack(part.data, part.row_stride, blocks[at]);
        } else {
          std::array<std::int8_t, Format::rows * Format::cols> padded{};
          for (std::size_t i = 0; i < n_rows; ++i)
            for (std::size_t j = 0; j < n_cols; ++j) padded[i * Format::cols + j] = part(i, j);
          wrong = Format::pack(padded.data(), Format::cols, blocks[at]);
        }
        if (wrong != 0) bad.store(true, std::memory_order_relaxed);
      });
  if (bad)
    throw config_error("pack: a code is not one of " + std::to_string(Format::least_code) + " to " +
                       std::to_string(Format::least_code + Format::max_digit));
  return view;
}

/// Owner; converts to packed_view. Copies and moves like a vector.
template <pack_format Format>
class packed_matrix {
 public:
  using format = Format;  ///< of the blocks

  packed_matrix() = default;
  /// All trits 0.
  packed_matrix(std::size_t rows, std::size_t cols) : packed_matrix(rows, cols, cols) {}
  /// The same in runs of `run` columns. Throws config_error where that is 0.
  packed_matrix(std::size_t rows, std::size_t cols, std::size_t run)
      : rows_(rows), cols_(cols), run_(run) {
    if (run == 0 && cols != 0) throw config_error("packed_matrix: runs of no columns");
    blocks_.resize(view().size_bytes() / sizeof(packed_block));
    const std::array<std::int8_t, Format::rows * Format::cols> zeros{};
    packed_block zero;
    Format::pack(zeros.data(), Format::cols, zero);
    std::fill(blocks_.begin(), blocks_.end(), zero);
  }
  /// From codes of {-1, 0, +1}.
  explicit packed_matrix(matrix_view<const std::int8_t> codes, executor_ref ex = {})
      : packed_matrix(codes, codes.cols, ex) {}
  /// The same in runs of `run` columns. Throws config_error where that is 0.
  packed_matrix(matrix_view<const std::int8_t> codes, std::size_t run, executor_ref ex = {})
      : packed_matrix(codes.rows, codes.cols, run) {
    assign(codes, ex);
  }

  /// Overwrites with codes of the same shape, without allocation. Throws config_error (and leaves
  /// a matrix to be assigned again) where a code is none of the format's.
  void assign(matrix_view<const std::int8_t> codes, executor_ref ex = {}) {
    require_shape(codes, rows_, cols_, "packed_matrix: codes");
    pack<Format>(codes, run_, blocks_.data(), ex);
  }

  [[nodiscard]] std::size_t rows() const { return rows_; }  ///< in codes
  [[nodiscard]] std::size_t cols() const { return cols_; }  ///< in codes
  /// Of all of it.
  [[nodiscard]] packed_view<Format> view() const { return {blocks_.data(), rows_, cols_, run_}; }
  /// The same.
  operator packed_view<Format>() const { return view(); }  // NOLINT: owners are views too

 private:
  std::vector<packed_block> blocks_;
  std::size_t rows_ = 0, cols_ = 0, run_ = 0;
};

/// A packed_view, or what converts to one as packed_matrix does.
template <class W>
concept packed_weights = std::convertible_to<const W&, packed_view<typename W::format>>;

namespace detail {

/// f(row, column, trit) for all of them.
template <class Format, class F>
void for_each_trit(const packed_view<Format>& packed, executor_ref ex, F f) {
  for_each_block(
      packed, ex,
      [&](std::size_t at, std::size_t r, std::size_t c, std::size_t n_rows, std::size_t n_cols) {
        std::array<std::int8_t, Format::rows * Format::cols> block;
        Format::unpack(packed.data[at], block.data(), Format::cols);
        for (std::size_t i = 0; i < n_rows; ++i)
          for (std::size_t j = 0; j < n_cols; ++j) f(r + i, c + j, block[i * Format::cols + j]);
      });
}

}  // namespace detail

/// Packed trits back to codes of {-1, 0, +1}.
template <pack_format Format>
void unpack(const packed_view<Format>& packed, matrix_view<std::int8_t> codes,
            executor_ref ex = {}) {
  require_shape(codes, packed.rows, packed.cols, "unpack: codes");
  detail::for_each_trit(
      packed, ex, [&](std::size_t r, std::size_t c, std::int8_t trit) { codes(r, c) = trit; });
}

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/base3.hpp

// 1.6 bits a weight: five digits in a byte. A block is 16 rows x 20 columns: byte 4 r + j holds the
// digits code + 1 of row r, columns j, 4 + j, 8 + j, 12 + j and 16 + j, times 1, 3, 9, 28 and 84.
// So five sets of 16 rows x 4 neighbouring columns come from one block, as four from one of
// `two_bit`.
//
// 28 and 84 stand where 27 and 81 would: of 256 values 243 are needed, and with multiples of four
// the upper six bits of a byte alone tell the two upper digits, the rest is below 28. Processors
// look up six bits at once in one register.

namespace tern::inline TERN_ABI {

struct base3 {
  static constexpr std::size_t rows = 16, cols = 20;    ///< of a block, in codes
  static constexpr std::uint8_t id = 2;                 ///< in headers of stored weights
  static constexpr int least_code = -1, max_digit = 2;  ///< of the digits: code - least_code
  /// Of the five digits in a byte.
  static constexpr std::array<std::uint8_t, 5> weights{1, 3, 9, 28, 84};
  static_assert(std::endian::native == std::endian::little, "words are read as bytes in order");

  /// The digit of weight weights[place] in a byte; of any byte 0, 1 or 2.
  static constexpr std::uint8_t digit(std::size_t byte, std::size_t place) {
    const std::size_t unit = place < 3 ? weights[place] : place == 3 ? 1 : 3;
    const std::size_t part = place < 3 ? byte % weights[3] : byte / weights[3];
    return static_cast<std::uint8_t>(part / unit % 3);
  }

  /// As pack_format asks.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_block& block) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t sum = 0;  // of digits times weights, byte by byte: at most 250
      for (std::size_t p = 0; p < weights.size(); ++p) {
        std::uint32_t four;
        std::memcpy(&four, codes + r * stride + 4 * p, 4);
        wrong |= non_trits(four);
        sum += trits_to_digits(four) * weights[p];
      }
      const auto word = static_cast<std::uint32_t>(sum);
      std::memcpy(&block.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// As pack_format asks.
  static void unpack(const packed_block& block, std::int8_t* codes, std::size_t stride) {
    for (std::size_t p = 0; p < weights.size(); ++p)
      for (std::size_t i = 0; i < sizeof block; ++i)
        codes[i / 4 * stride + 4 * p + i % 4] =
            static_cast<std::int8_t>(digit(block.bytes[i], p) - 1);
  }
};

static_assert(pack_format<base3>);

}  // namespace tern::inline TERN_ABI

// ==== tern/kernel/base3_tables.hpp

// What kernels look up to find the digits of a `base3` byte. Its upper part is what the digits of
// weights 28 and 84 make of it: a multiple of 28. The lower part is the rest, below 28.

namespace tern::inline TERN_ABI::kernel {

namespace detail {

template <std::size_t size, class F>
constexpr std::array<std::uint8_t, size> make_table(F entry) {
  std::array<std::uint8_t, size> t{};
  for (std::size_t i = 0; i < size; ++i) t[i] = static_cast<std::uint8_t>(entry(i));
  return t;
}

constexpr std::size_t base3_upper(std::size_t byte) {
  return byte / base3::weights[3] * base3::weights[3];
}

}  // namespace detail

/// Sixteen entries, for processors that look up four bits.
struct base3_tables_16 {
  using table = std::array<std::uint8_t, 16>;

  /// Entry byte >> 4: the upper part of the least such byte; the byte's own is that or the next.
  static constexpr table least_upper =
      detail::make_table<16>([](std::size_t i) { return detail::base3_upper(16 * i); });
  /// Digits 3 and 4: entry i of the upper part that byte 16 (i + 1) has. The first upper part, 0,
  /// is entry -1: none, and what is looked up in none is 0.
  template <std::size_t place>
  static constexpr table upper_digit = detail::make_table<16>(
      [](std::size_t i) { return base3::digit((16 * (i + 1)) % 256, place); });
  /// Digit 2: entry 9 digit mod 16.
  static constexpr table ninths = detail::make_table<16>([](std::size_t i) {
    return i == 9 ? 1 : i == 18 - 16 ? 2 : 0;
  });
  /// Digits 0 and 1: entry lower part mod 9.
  template <std::size_t place>
  static constexpr table lower_digit =
      detail::make_table<16>([](std::size_t i) { return base3::digit(i, place); });
};

/// Sixty-four entries, for those that look up six bits.
struct base3_tables_64 {
  using table = std::array<std::uint8_t, 64>;

  /// Entry byte >> 2.
  alignas(64) static constexpr table upper = detail::make_table<64>([](std::size_t i) {
    return detail::base3_upper(4 * i);
  });
  /// A digit: entry byte >> 2 for digits 3 and 4, the lower part for the others.
  template <std::size_t place>
  alignas(64) static constexpr table digit = detail::make_table<64>([](std::size_t i) {
    return base3::digit(place < 3 ? i : 4 * i, place);
  });
};

}  // namespace tern::inline TERN_ABI::kernel

// ==== tern/kernel/problem.hpp

// One matrix product as kernels see it: pointers and sizes, cut into tasks by shape alone.

namespace tern::inline TERN_ABI::kernel {

/// Tokens in groups as equal as can be, of at most `most`; the longer ones first.
struct token_partition {
  std::size_t groups = 1, size = 0, longer = 0;

  token_partition(std::size_t tokens, std::size_t most)
      : groups((tokens + most - 1) / most), size(tokens / groups), longer(tokens % groups) {}
  /// First token of a group.
  [[nodiscard]] std::size_t first(std::size_t group) const {
    return group * size + std::min(group, longer);
  }
};

/// out[n][m] = sum over k of w[m][k] x[n][k]. `grouped` tokens stand group after group: four
/// columns of one after four of the other, then the next four columns. Others are rows, or tiles as
/// tile_tokens() makes them. x is readable up to whole blocks of columns and holds zeros past the
/// last column of w.
template <class Format>
struct problem {
  packed_view<Format> weights;
  const std::int8_t* x;
  std::size_t x_stride;
  bool grouped;
  token_partition parts;
  const std::int32_t* row_sums;
  std::int32_t* out;
  std::size_t out_stride;
  std::size_t task_groups;  // of a task

  /// A task is up to 64 rows of the weights, and 240 tokens or 1 MiB of them: small enough for a
  /// core's L2 cache.
  static constexpr std::size_t task_panels = 4, task_tokens = 240,
                               task_bytes = std::size_t{1} << 20;
  static std::size_t groups_of_task(std::size_t cols, const token_partition& parts) {
    return std::max<std::size_t>(1, std::min(task_tokens, task_bytes / cols) / parts.first(1));
  }

  [[nodiscard]] std::size_t tokens() const { return parts.first(parts.groups); }
  [[nodiscard]] std::size_t row_tasks() const {
    return (weights.panels() + task_panels - 1) / task_panels;
  }
  [[nodiscard]] std::size_t tasks() const {
    return row_tasks() * ((parts.groups + task_groups - 1) / task_groups);
  }

  /// Panels [panel, panel_end), groups [group, group_end) of task i.
  struct range {
    std::size_t panel, panel_end, group, group_end;
  };
  [[nodiscard]] range task(std::size_t i) const {
    const std::size_t panel = i % row_tasks() * task_panels, group = i / row_tasks() * task_groups;
    return {panel, std::min(panel + task_panels, weights.panels()), group,
            std::min(group + task_groups, parts.groups)};
  }

  /// The part of the result that task i makes.
  struct extent {
    std::size_t row, rows, token, tokens;
  };
  [[nodiscard]] extent part(std::size_t i) const {
    const range t = task(i);
    const std::size_t row = t.panel * Format::rows,
                      row_end = std::min(t.panel_end * Format::rows, weights.rows);
    const std::size_t token = parts.first(t.group);
    return {row, row_end - row, token, parts.first(t.group_end) - token};
  }
};

}  // namespace tern::inline TERN_ABI::kernel

// ==== tern/pack/eight_bit.hpp

// 8 bits a weight, any int8 code: for embeddings and output heads. A block is 16 rows x 4 columns:
// byte 4 r + j holds the digit code + 128 of row r, column j.

namespace tern::inline TERN_ABI {

struct eight_bit {
  static constexpr std::size_t rows = 16, cols = 4;         ///< of a block, in codes
  static constexpr std::uint8_t id = 4;                     ///< in headers of stored weights
  static constexpr int least_code = -128, max_digit = 255;  ///< of the digits: code - least_code

  /// As pack_format asks; every code fits.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_block& block) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t four;
      std::memcpy(&four, codes + r * stride, 4);
      four ^= 0x80808080u;
      std::memcpy(&block.bytes[4 * r], &four, 4);
    }
    return 0;
  }

  /// As pack_format asks.
  static void unpack(const packed_block& block, std::int8_t* codes, std::size_t stride) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t four;
      std::memcpy(&four, &block.bytes[4 * r], 4);
      four ^= 0x80808080u;
      std::memcpy(codes + r * stride, &four, 4);
    }
  }
};

static_assert(pack_format<eight_bit>);

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/four_bit.hpp

// 4 bits a weight, codes of -8 to 7: for embeddings and output heads, which stay beside ternary
// weights. A block is 16 rows x 8 columns: byte 4 r + j holds the digits code + 8 of row r, column
// j (low half) and 4 + j (high half), so that a mask gives 16 rows x 4 neighbouring columns.

namespace tern::inline TERN_ABI {

struct four_bit {
  static constexpr std::size_t rows = 16, cols = 8;      ///< of a block, in codes
  static constexpr std::uint8_t id = 3;                  ///< in headers of stored weights
  static constexpr int least_code = -8, max_digit = 15;  ///< of the digits: code - least_code
  static_assert(std::endian::native == std::endian::little, "words are read as bytes in order");

  /// As pack_format asks.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_block& block) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t eight;
      std::memcpy(&eight, codes + r * stride, 8);
      // + 8 in each byte: bit 3 turned, and what that carries into the upper half
      const std::uint64_t digits = (eight & low) ^ 0x0808080808080808u;
      wrong |= extend(digits) ^ eight;
      const auto word = static_cast<std::uint32_t>(digits | digits >> 28);
      std::memcpy(&block.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// As pack_format asks.
  static void unpack(const packed_block& block, std::int8_t* codes, std::size_t stride) {
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t word;
      std::memcpy(&word, &block.bytes[4 * r], 4);
      const std::uint64_t eight = extend((word | std::uint64_t{word} << 28) & low);
      std::memcpy(codes + r * stride, &eight, 8);
    }
  }

 private:
  static constexpr std::uint64_t low = 0x0F0F0F0F0F0F0F0Fu;

  /// Bytes of digits 0 to 15 to bytes of codes -8 to 7.
  static constexpr std::uint64_t extend(std::uint64_t digits) {
    constexpr std::uint64_t high = 0x8080808080808080u, eight = 0x0808080808080808u;
    return ((digits | high) - eight) ^ high;  // the high bit keeps borrows inside their byte
  }
};

static_assert(pack_format<four_bit>);

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/two_bit.hpp

// 2 bits a weight. A block is 16 rows x 16 columns: byte 4 r + j holds the digits code + 1 of row
// r, columns j, 4 + j, 8 + j and 12 + j at bits 0, 2, 4 and 6. So one mask gives 64 bytes that are
// 16 rows x 4 neighbouring columns, the operand of a dot product of four bytes with one token.

namespace tern::inline TERN_ABI {

struct two_bit {
  static constexpr std::size_t rows = 16, cols = 16;    ///< of a block, in codes
  static constexpr int least_code = -1, max_digit = 2;  ///< of the digits: code - least_code
  static constexpr std::uint8_t id = 1;                 ///< in headers of stored weights
  static_assert(std::endian::native == std::endian::little, "words are read as bytes in order");

  /// As pack_format asks.
  static std::uint64_t pack(const std::int8_t* codes, std::size_t stride, packed_block& block) {
    std::uint64_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint64_t left, right;
      std::memcpy(&left, codes + r * stride, 8);
      std::memcpy(&right, codes + r * stride + 8, 8);
      wrong |= non_trits(left) | non_trits(right);
      const std::uint64_t planes = trits_to_digits(left) | trits_to_digits(right) << 4;
      const auto word = static_cast<std::uint32_t>(planes | planes >> 30);
      std::memcpy(&block.bytes[4 * r], &word, 4);
    }
    return wrong;
  }

  /// As pack_format asks.
  static void unpack(const packed_block& block, std::int8_t* codes, std::size_t stride) {
    constexpr std::uint64_t low = 0x0303030303030303u;
    for (std::size_t r = 0; r < rows; ++r) {
      std::uint32_t word;
      std::memcpy(&word, &block.bytes[4 * r], 4);
      const std::uint64_t planes = word | std::uint64_t{word} << 30;
      const std::uint64_t left = digits_to_trits(planes & low);
      const std::uint64_t right = digits_to_trits(planes >> 4 & low);
      std::memcpy(codes + r * stride, &left, 8);
      std::memcpy(codes + r * stride + 8, &right, 8);
    }
  }
};

static_assert(pack_format<two_bit>);

}  // namespace tern::inline TERN_ABI

// ==== tern/kernel/avx512vbmi.hpp

// AVX-512 VNNI and VBMI (Ice Lake, Zen 4): avx512vnni with look-ups of six bits, which find a digit
// of `base3` in one instruction where look-ups of four bits need several steps.
//
//   vpermb zmm    64 look-ups of 6 bits   latency 3 (Zen 4: 4)   1/cycle (p5; Zen 4: two of four
//   pipes) vpdpbusd zmm  64 multiply-adds        latency 5              2/cycle (p05) or 1/cycle
//   (Zen 4) vpsrlw zmm 1/cycle (p0), vpsubb zmm 2/cycle, vpbroadcastd zmm, m32: a load
//
// vpermi2b, which looks up seven bits, is three operations on Intel and not used.
//
// matvec, base3: a shift, a subtraction, 6 vpermb and 5 dot products for 16 rows x 20 columns: 6.5
// cycles of p05, 8 of Zen 4's shuffling and multiplying pipes.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")
namespace tern::inline TERN_ABI::kernel::avx512vbmi {

// Dot products of 512 bits: what the levels with AVX-512 VNNI share, included once per level inside
// its region.

// Registers of 512 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct zmm {
  using reg = __m512i;
  static constexpr std::size_t bytes = 64, matvec_panels = 4;

  TERN_INLINE static reg zero() { return _mm512_setzero_si512(); }
  TERN_INLINE static reg load(const void* p) { return _mm512_loadu_si512(p); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm512_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm512_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm512_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b));
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm512_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, first), _mm512_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_srai_epi32(0xFFFF, a, bits);
  }
};

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 12;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  /// Dot products that may be added before `widen`.
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

/// Byte >> 2 tells the upper digits and the part of the byte that they make; the rest, below 28,
/// tells the lower digits.
template <>
struct decoder<base3> {
  static constexpr std::size_t sums = 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct halves {
    ops::reg upper, lower;  // the indices
  };

  TERN_INLINE static halves decode(ops::reg q) {
    const ops::reg upper = _mm512_srli_epi16(q, 2);  // bits from the next byte play no part
    return {upper, ops::sub_bytes(q, look_up(base3_tables_64::upper, upper))};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const halves& d) {
    return look_up(base3_tables_64::digit<plane>, plane < 3 ? d.lower : d.upper);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const halves& d) {
    return digits<plane>(d);
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  /// Of an index the low six bits count.
  TERN_INLINE static ops::reg look_up(const base3_tables_64::table& table, ops::reg index) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_permutexvar_epi8(~__mmask64{}, index, ops::load(table.data()));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::avx512vbmi
TERN_TARGET_END
#endif

// ==== tern/kernel/amx.hpp

// AMX: tiles of 16 rows of 64 bytes, a product of two of them in one instruction.
//
//   tdpbssd     16 tokens x 16 rows x 64 columns   16 cycles: one to a token
//   tileloadd   16 rows of 64 bytes                8 cycles; far slower where rows cross lines
//   tilestored  the same                           15 cycles
//   vpshufb zmm 1/cycle (p5), vpandd zmm 2/cycle, vpsrlw zmm 1/cycle, 64 bytes stored a cycle
//
// 32 tokens x 32 rows x 64 columns: 64 cycles of products beside 32 of loads and 32 of stores (the
// codes, unpacked a step ahead into a ring that stays in L1).
// 16 tokens x 64 rows x 64 columns: 64 cycles of products, 40 of loads, 64 of stores.
//
// Both operands are signed: row sums play no part, and what x holds past its end counts for
// nothing.

#if TERN_X86 && defined(__x86_64__)
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,amx-tile,amx-int8")
namespace tern::inline TERN_ABI::kernel::amx {

namespace below = avx512vbmi;  // whose instructions this level has

inline constexpr std::size_t tile_tokens = 16, tile_cols = 64, tile_planes = 16, tile_bytes = 1024;

/// Orders stores and tile loads, of which g++ does not know that they read memory.
TERN_INLINE void memory_fence() { __asm__ volatile("" ::: "memory"); }

/// Tiles 0, 1 hold sums of `first` tokens and 2, 3 of `second`; 4 and 5 their activations; 6 and 7
/// weights.
inline void configure(std::size_t first, std::size_t second) {
  isa::tile_config tiles;
  tiles.rows[0] = tiles.rows[1] = tiles.rows[4] = static_cast<std::uint8_t>(first);
  tiles.rows[2] = tiles.rows[3] = tiles.rows[5] = static_cast<std::uint8_t>(second);
  __asm__ volatile("" ::"r"(&tiles) : "memory");  // g++ thinks that only 8 bytes are read
  _tile_loadconfig(&tiles);
}

/// The codes of a block: 64 bytes, 16 rows of four neighbouring columns, for each plane.
template <class Format>
TERN_INLINE void unpack_planes(const packed_block& block, std::int8_t* to) {
  using format = below::decoder<Format>;
  const auto q = format::decode(below::ops::load(block.bytes.data()));
  [&]<std::size_t... plane>(std::index_sequence<plane...>) __attribute__((always_inline)) {
    (below::ops::store(to + 64 * plane, _mm512_add_epi8(format::template digits<plane>(q),
                                                        _mm512_set1_epi8(Format::least_code))),
     ...);
  }
  (below::plane_indices<Format>{});
}

/// A table for the lower, one for the upper digit of a nibble, whose other digit may be any.
template <>
TERN_INLINE void unpack_planes<two_bit>(const packed_block& block, std::int8_t* to) {
  const __m512i lower = _mm512_set1_epi32(0x000100FF);
  const __m512i upper = _mm512_set4_epi32(0, 0x01010101, 0, -1);
  const __m512i nibble = _mm512_set1_epi8(15), q = _mm512_load_si512(block.bytes.data());
  const __m512i low = _mm512_and_si512(q, nibble),
                high = _mm512_and_si512(_mm512_srli_epi16(q, 4), nibble);
  _mm512_store_si512(to, _mm512_shuffle_epi8(lower, low));
  _mm512_store_si512(to + 64, _mm512_shuffle_epi8(upper, low));
  _mm512_store_si512(to + 128, _mm512_shuffle_epi8(lower, high));
  _mm512_store_si512(to + 192, _mm512_shuffle_epi8(upper, high));
}

/// Tiles of `panels` panels, unpacked step by step; those of a few steps exist at a time.
template <class Format, std::size_t panels>
struct weight_tiles {
  static constexpr std::size_t planes = Format::cols / 4;  // of a block
  static constexpr bool whole = tile_planes % planes == 0;
  static constexpr std::size_t steps = whole ? 2 : planes;  // so that no block crosses the end
  static constexpr std::size_t stride = steps * tile_bytes;

  const packed_block* packed[panels];
  std::size_t blocks;
  std::int8_t* ring;

  /// The first block that no earlier step needs.
  TERN_INLINE static std::size_t first_block(std::size_t step) {
    return (tile_planes * step + planes - 1) / planes;
  }
  TERN_INLINE std::int8_t* block(std::size_t panel, std::size_t b) const {
    return ring + panel * stride + b % (steps * tile_planes / planes) * planes * 64;
  }
  TERN_INLINE void unpack(std::size_t step) const {
    const std::size_t begin = first_block(step), end = first_block(step + 1);
    if (end > blocks) return unpack_last(begin, end);
    for (std::size_t p = 0; p < panels; ++p)
      for (std::size_t i = 0; i <= tile_planes / planes; ++i)
        if (whole ? i < tile_planes / planes : begin + i < end)
          unpack_planes<Format>(packed[p][begin + i], block(p, begin + i));
    memory_fence();
  }
  /// Zeros where there are no more blocks.
  void unpack_last(std::size_t begin, std::size_t end) const {
    for (std::size_t p = 0; p < panels; ++p)
      for (std::size_t b = begin; b < end; ++b)
        if (b < blocks)
          unpack_planes<Format>(packed[p][b], block(p, b));
        else
          for (std::size_t i = 0; i < planes; ++i)
            _mm512_store_si512(block(p, b) + 64 * i, _mm512_setzero_si512());
    memory_fence();
  }
  TERN_INLINE const std::int8_t* tile(std::size_t step) const {
    return ring + step % steps * tile_bytes;
  }
};

/// out[t][0 .. 16 panels) of n tokens: two panels of weights and up to 32 tokens, the `first` ones
/// in tiles of their own, or four panels and up to 16 tokens.
template <class Format, std::size_t panels>
[[gnu::noinline]] void tiles(const weight_tiles<Format, panels>& weights, const std::int8_t* x,
                             std::size_t n, std::size_t first, std::size_t steps, std::int32_t* out,
                             std::size_t out_stride) {
  const weight_tiles<Format, panels> w = weights;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  w.unpack(0);
  for (std::size_t s = 0; s < steps; ++s, x += n * tile_cols) {
    w.unpack(s + 1);
    const std::int8_t* at = w.tile(s);
    _tile_stream_loadd(4, x, tile_cols);
    _tile_loadd(6, at, 64);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, at + w.stride, 64);
    _tile_dpbssd(1, 4, 7);
    if constexpr (panels == 2) {
      _tile_stream_loadd(5, x + first * tile_cols, tile_cols);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    } else {
      _tile_loadd(6, at + 2 * w.stride, 64);
      _tile_dpbssd(2, 4, 6);
      _tile_loadd(7, at + 3 * w.stride, 64);
      _tile_dpbssd(3, 4, 7);
    }
  }
  std::int32_t* rest = panels == 2 ? out + first * out_stride : out + 32;
  _tile_stored(0, out, out_stride * sizeof *out);
  _tile_stored(1, out + 16, out_stride * sizeof *out);
  _tile_stored(2, rest, out_stride * sizeof *out);
  _tile_stored(3, rest + 16, out_stride * sizeof *out);
  memory_fence();
}

/// `panels` panels from `panel` on times all groups of a task; past its end the last panel stands
/// in for those that are not there.
template <std::size_t panels, class Format>
void columns(const problem<Format>& p, const typename problem<Format>::range& task,
             std::size_t panel) {
  constexpr std::size_t most_rows = panels * 16, most_tokens = 64 / panels;
  const std::size_t row = panel * Format::rows, left = p.weights.rows - row;
  const bool direct = left >= most_rows && panel + panels <= task.panel_end;
  const std::size_t steps = (p.weights.cols + tile_cols - 1) / tile_cols;
  weight_tiles<Format, panels> w;
  alignas(64) std::int8_t ring[panels * w.stride];
  alignas(64) std::int32_t edge[most_rows * most_tokens];
  for (std::size_t i = 0; i < panels; ++i)
    w.packed[i] = p.weights.panel(panel + i < task.panel_end ? panel + i : task.panel_end - 1);
  w.blocks = p.weights.panel_blocks();
  w.ring = ring;
  std::size_t configured = 0;
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::size_t first = panels == 4 ? n : (n + 1) / 2;
    if (n != configured) configure(first, panels == 4 ? n : n - first);
    configured = n;
    std::int32_t* out = p.out + token * p.out_stride + row;
    tiles(w, p.x + token * p.x_stride, n, first, steps, direct ? out : edge,
          direct ? p.out_stride : most_rows);
    if (!direct)
      below::copy_rows(edge, most_rows, out, p.out_stride, n, left < most_rows ? left : most_rows);
  }
}

/// Tokens from which tiles are quicker.
template <class Format>
inline constexpr std::size_t least_tokens = weight_tiles<Format, 2>::whole ? 3 : 6;

/// Most tokens of a group; 0 where each has its own matvec.
template <class Format>
inline std::size_t group_size(std::size_t tokens) {
  if (tokens < least_tokens<Format>) return below::group_size(tokens);
  return tokens <= tile_tokens ? tile_tokens : 2 * tile_tokens;
}

/// Tasks [begin, end) of the problem. Leaves the tiles as it found them: not in use.
template <class Format>
void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  if (p.tokens() < least_tokens<Format>) return below::run(p, begin, end);
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (p.tokens() <= tile_tokens)
      for (std::size_t panel = t.panel; panel < t.panel_end; panel += 4) columns<4>(p, t, panel);
    else
      for (std::size_t panel = t.panel; panel < t.panel_end; panel += 2) columns<2>(p, t, panel);
  }
  _tile_release();
}

}  // namespace tern::inline TERN_ABI::kernel::amx
TERN_TARGET_END
#endif

// ==== tern/kernel/avx2.hpp

// AVX2: 8 rows in a register, four bytes of each row a step, sums of pairs in int16.
//
//   vpmaddubsw ymm  32 multiply-adds  latency 5 (Zen: 3)  2/cycle
//   vpaddw ymm 3/cycle, vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb ymm 1/cycle (before Ice Lake) or 2/cycle, vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm
//   3/cycle
//
// matvec, two_bit: 8 masks, 6 shifts, 8 products, 8 sums for 16 rows x 16 columns: 10 cycles.
// matvec, base3: 36 operations to decode, 10 products, 10 sums for 16 rows x 20 columns: 19 cycles.
//
// A pair of digits 0..2 times int8 lies in [-512, 508]: 64 steps add up to [-32768, 32512], which
// int16 holds exactly, then `widen` moves them to int32; 16 steps of a matvec's digits that are
// left multiplied by 4. Nothing saturates or wraps.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::kernel::avx2 {

// Registers of 256 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct ymm {
  using reg = __m256i;
  static constexpr std::size_t bytes = 32, matvec_panels = 1;

  TERN_INLINE static reg zero() { return _mm256_setzero_si256(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm256_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm256_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm256_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm256_cmpeq_epi8(a, b); }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm256_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm256_and_si256(_mm256_srli_epi16(q, first), _mm256_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm256_srai_epi32(a, bits);
  }
};

struct ops : ymm {
  static constexpr std::size_t tile_tokens = 5;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(digits, x));
    __asm__("" : "+x"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm256_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm256_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm256_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm256_madd_epi16(high, _mm256_set1_epi16(16))));
    }
  }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::avx2
TERN_TARGET_END
#endif

// ==== tern/kernel/avx512bw.hpp

// AVX-512 without VNNI (Skylake-X): 16 rows in a register, four bytes of each row a step, sums of
// pairs in int16.
//
//   vpmaddubsw zmm   64 multiply-adds   latency 5   2/cycle (p05) or 1/cycle (one p0 core)
//   vpaddw / vpandd / vpsubb zmm 2/cycle (p05), vpsrlw / vpminub zmm 1/cycle (p0),
//   vpshufb / vpcmpeqb zmm 1/cycle (p5), vpbroadcastd zmm, m32: a load
//
// matmul: 20 products and 20 sums, 2 loads and 10 broadcasts for 32 rows x 10 tokens x 4 columns:
// 20 cycles where p0 and p5 both multiply.
// matvec, two_bit: 4 masks, a shift, 4 products and 4 sums for 16 rows x 16 columns: 7 cycles.
// matvec, base3: 19 operations to decode, 5 products and 5 sums for 16 rows x 20 columns: 14.5
// cycles.
//
// A pair of digits 0..2 times int8 lies in [-512, 508]: 64 steps add up to [-32768, 32512], which
// int16 holds exactly, then `widen` moves them to int32; 16 steps of a matvec's digits that are
// left multiplied by 4. Nothing saturates or wraps.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::kernel::avx512bw {

// Registers of 512 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct zmm {
  using reg = __m512i;
  static constexpr std::size_t bytes = 64, matvec_panels = 4;

  TERN_INLINE static reg zero() { return _mm512_setzero_si512(); }
  TERN_INLINE static reg load(const void* p) { return _mm512_loadu_si512(p); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm512_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm512_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm512_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b));
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm512_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, first), _mm512_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_srai_epi32(0xFFFF, a, bits);
  }
};

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 10;   // with 12, g++ keeps sums on the stack
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_add_epi16(sum, _mm512_maddubs_epi16(digits, x));
    __asm__("" : "+v"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm512_madd_epi16(sum, _mm512_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm512_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm512_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm512_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm512_madd_epi16(high, _mm512_set1_epi16(16))));
    }
  }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::avx512bw
TERN_TARGET_END
#endif

// ==== tern/kernel/avx512vnni.hpp

// AVX-512 VNNI: 16 rows in a register, four bytes of each row a step.
//
//   vpdpbusd zmm   64 multiply-adds   latency 5   1/cycle (Zen 4, one p0 core) or 2/cycle (p05)
//   vpandd / vpsubb zmm               latency 1   2/cycle
//   vpsrlw / vpminub zmm              latency 1   1/cycle (p0)
//   vpshufb / vpcmpeqb zmm            latency 1 and 3   1/cycle (p5)
//   vpbroadcastd zmm, m32             a load, no vector port
//
// matmul: 24 dot products, 2 loads and 12 broadcasts for 32 rows x 12 tokens x 4 columns.
// matvec, two_bit: 4 masks and 4 dot products for 16 rows x 16 columns: 4 cycles of p05.
// matvec, base3: 19 operations to decode and 5 dot products for 16 rows x 20 columns: 12 cycles.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
namespace tern::inline TERN_ABI::kernel::avx512vnni {

// Dot products of 512 bits: what the levels with AVX-512 VNNI share, included once per level inside
// its region.

// Registers of 512 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct zmm {
  using reg = __m512i;
  static constexpr std::size_t bytes = 64, matvec_panels = 4;

  TERN_INLINE static reg zero() { return _mm512_setzero_si512(); }
  TERN_INLINE static reg load(const void* p) { return _mm512_loadu_si512(p); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm512_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm512_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm512_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return _mm512_movm_epi8(_mm512_cmpeq_epi8_mask(a, b));
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm512_maskz_broadcast_i32x4(0xFFFF, _mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm512_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm512_and_si512(_mm512_srli_epi16(q, first), _mm512_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    // The zero-masked form: g++ 12 warns of the undefined source inside the plain one.
    return _mm512_maskz_srai_epi32(0xFFFF, a, bits);
  }
};

struct ops : zmm {
  static constexpr std::size_t tile_tokens = 12;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  /// Dot products that may be added before `widen`.
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm512_dpbusd_epi32(sum, digits, x);
    __asm__("" : "+v"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::avx512vnni
TERN_TARGET_END
#endif

// ==== tern/kernel/avxvnni.hpp

// AVX-VNNI: 8 rows in a register, four bytes of each row a step; 16 registers.
//
//   vpdpbusd ymm   32 multiply-adds   latency 5   2/cycle (p01)
//   vpand ymm 3/cycle, vpsrlw ymm 2/cycle, vpbroadcastd ymm, m32: a load
//   vpshufb / vpminub / vpcmpeqb ymm 2/cycle, vpsubb ymm 3/cycle
//
// matmul: 12 dot products, 2 loads and 6 broadcasts for 16 rows x 6 tokens x 4 columns.
// matvec, two_bit: 8 masks and 8 dot products for 16 rows x 16 columns: 5.3 cycles.
// matvec, base3: 36 operations to decode, 10 dot products for 16 rows x 20 columns: 15.3 cycles.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("avx2,avxvnni")
namespace tern::inline TERN_ABI::kernel::avxvnni {

// Registers of 256 bits: what the levels that use them share, included once per level inside its
// region, so that each has a copy of its own target.

struct ymm {
  using reg = __m256i;
  static constexpr std::size_t bytes = 32, matvec_panels = 1;

  TERN_INLINE static reg zero() { return _mm256_setzero_si256(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm256_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm256_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm256_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm256_cmpeq_epi8(a, b); }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm256_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm256_and_si256(_mm256_srli_epi16(q, first), _mm256_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm256_srai_epi32(a, bits);
  }
};

struct ops : ymm {
  static constexpr std::size_t tile_tokens = 6;
  static constexpr std::size_t matvec_tokens = 2;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 255;  // that `dot` is exact for

  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm256_dpbusd_avx_epi32(sum, digits, x);
    __asm__("" : "+x"(sum));  // else g++ moves sums from register to register
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::avxvnni
TERN_TARGET_END
#endif

// ==== tern/kernel/token_groups.hpp

// How kernels want the activations: rows padded to whole blocks of columns, or, for several tokens
// at once, groups in which four columns of one token follow four of the other, or 64 (tiles).

namespace tern::inline TERN_ABI::kernel {

/// Columns [first, first + n) of a token, zeros past its last one.
inline void copy_columns(row_view<const std::int8_t> x, std::size_t first, std::size_t n,
                         std::int8_t* to) {
  const std::size_t here = first < x.size ? std::min(n, x.size - first) : 0;
  if (x.stride == 1)
    std::memcpy(to, x.data + first, here);
  else
    for (std::size_t i = 0; i < here; ++i) to[i] = x[first + i];
  std::memset(to + here, 0, n - here);
}

/// Rows of x to rows of `cols` bytes.
inline void pad_rows(matrix_view<const std::int8_t> x, std::int8_t* to, std::size_t cols,
                     executor_ref ex) {
  for_each_row(x.rows, cols, ex,
               [&](std::size_t r) { copy_columns(x.row(r), 0, cols, to + r * cols); });
}

/// Columns [first, cols) of a token to its place in a group of n.
inline void group_one(row_view<const std::int8_t> x, std::int8_t* to, std::size_t n,
                      std::size_t first, std::size_t cols) {
  std::size_t c = first;
  for (; x.stride == 1 && c + 16 <= x.size; c += 16) {
    std::array<std::int32_t, 4> fours;
    std::memcpy(&fours, x.data + c, 16);
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(to + (c + 4 * i) * n, &fours[i], 4);
  }
  for (; c < cols; c += 4) {
    std::array<std::int8_t, 4> four{};
    for (std::size_t i = 0; i < 4 && c + i < x.size; ++i) four[i] = x[c + i];
    std::memcpy(to + c * n, &four, 4);
  }
}

/// The first `cols` (whole blocks of 16) columns of four dense tokens: 4 x 4 transpositions.
inline void group_four(const std::int8_t* x, std::size_t stride, std::int8_t* to, std::size_t n,
                       std::size_t cols) {
  using fours [[gnu::vector_size(16)]] = std::int32_t;
  const auto load = [](const std::int8_t* from) {
    fours f;
    std::memcpy(&f, from, sizeof f);
    return f;
  };
  for (std::size_t c = 0; c < cols; c += 16, x += 16) {
    const fours r0 = load(x), r1 = load(x + stride), r2 = load(x + 2 * stride),
                r3 = load(x + 3 * stride);
    const fours a = __builtin_shufflevector(r0, r1, 0, 4, 1, 5),
                b = __builtin_shufflevector(r2, r3, 0, 4, 1, 5),
                d = __builtin_shufflevector(r0, r1, 2, 6, 3, 7),
                e = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
    const std::array<fours, 4> turned{
        __builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7),
        __builtin_shufflevector(d, e, 0, 1, 4, 5), __builtin_shufflevector(d, e, 2, 3, 6, 7)};
    for (std::size_t i = 0; i < 4; ++i) std::memcpy(to + (c + 4 * i) * n, &turned[i], 16);
  }
}

/// All groups, `cols` bytes to a token.
inline void group_tokens(matrix_view<const std::int8_t> x, const token_partition& parts,
                         std::int8_t* to, std::size_t cols, executor_ref ex) {
  for_each_row(parts.groups, parts.size * cols, ex, [&](std::size_t g) {
    const std::size_t first = parts.first(g), n = parts.first(g + 1) - first;
    std::int8_t* const at = to + first * cols;
    const std::size_t dense = x.col_stride == 1 ? x.cols / 16 * 16 : 0, fours = n / 4 * 4;
    for (std::size_t t = 0; t < fours; t += 4)
      group_four(x.row(first + t).data, x.row_stride, at + 4 * t, n, dense);
    for (std::size_t t = 0; t < n; ++t)
      group_one(x.row(first + t), at + 4 * t, n, t < fours ? dense : 0, cols);
  });
}

/// All groups, 64 columns of one token after those of the other, then the next 64 columns. `cols`
/// bytes to a token, a multiple of 64.
inline void tile_tokens(matrix_view<const std::int8_t> x, const token_partition& parts,
                        std::int8_t* to, std::size_t cols, executor_ref ex) {
  constexpr std::size_t line = 64;
  for_each_row(parts.groups, parts.size * cols, ex, [&](std::size_t g) {
    const std::size_t first = parts.first(g), n = parts.first(g + 1) - first;
    for (std::size_t t = 0; t < n; ++t) {
      std::int8_t* at = to + first * cols + t * line;
      for (std::size_t c = 0; c < cols; c += line, at += n * line)
        copy_columns(x.row(first + t), c, line, at);
    }
  });
}

}  // namespace tern::inline TERN_ABI::kernel

// ==== tern/kernel/column_runs.hpp

// A product cut into runs of columns, each a problem of its own: its part of the packed weights,
// its activations as kernels want them, its row sums. Most weights are one run; those that have a
// scale to every 64 columns, say, are many.

namespace tern::inline TERN_ABI::kernel {

template <class Format>
std::size_t padded_cols(const packed_view<Format>& w) {
  return w.panel_blocks() * Format::cols;
}

/// Sum of the elements, of any number up to 2^24.
inline std::int32_t row_sum(row_view<const std::int8_t> x) {
  using bytes [[gnu::vector_size(8)]] = std::int8_t;
  using shorts [[gnu::vector_size(16)]] = std::int16_t;
  std::int32_t total = 0;
  std::size_t i = 0;
  while (x.stride == 1 && i + 8 <= x.size) {
    shorts sums{};  // of up to 256 bytes each
    for (const std::size_t end = std::min(x.size - 7, i + 2048); i < end; i += 8) {
      bytes b;
      std::memcpy(&b, x.data + i, sizeof b);
      sums += __builtin_convertvector(b, shorts);
    }
    for (int k = 0; k < 8; ++k) total += sums[k];
  }
  for (; i < x.size; ++i) total += x[i];
  return total;
}

/// Columns of whole tiles.
constexpr std::size_t tiled_cols(std::size_t cols) { return (cols + 63) / 64 * 64; }

template <class Format>
class column_runs {
 public:
  /// Bytes of workspace needed, whatever its address.
  static std::size_t workspace(const packed_view<Format>& w, matrix_view<const std::int8_t> x) {
    const std::size_t sums = w.runs() <= 1 ? 0 : w.runs() * x.rows * sizeof(std::int32_t) + 3;
    if (x.rows <= 1 && readable(w, x)) return sums;
    // To begin at a cache line; and kernels may read 16 bytes where 4 are a token's.
    return sums + 63 + w.runs() * x.rows * tiled_cols(padded_cols(w.run_view(0))) + 16;
  }

  /// whole: the problem of all columns, x (N, K) not yet prepared; tiled: groups are wanted as
  /// tile_tokens() makes them. The workspace is used as long as this object.
  column_runs(const problem<Format>& whole, matrix_view<const std::int8_t> x, bool tiled,
              std::span<std::byte> workspace, executor_ref ex)
      : whole_(whole),
        copied_(whole.grouped || tiled || !readable(whole.weights, x)),
        tiled_(tiled) {
    const packed_view<Format>& w = whole.weights;
    const std::size_t runs = w.runs();
    auto* at = reinterpret_cast<std::int8_t*>(workspace.data());
    std::int32_t* sums = nullptr;
    if (runs > 1) {
      at += -reinterpret_cast<std::uintptr_t>(at) % sizeof *sums;
      whole_.row_sums = sums = reinterpret_cast<std::int32_t*>(at);
      at += runs * x.rows * sizeof *sums;
      sums_step_ = x.rows;
    }
    x_step_ = copied_ ? x.rows * stride(w.run_view(0)) : w.run;
    if (copied_) whole_.x = at += -reinterpret_cast<std::uintptr_t>(at) % 64;
    if (!copied_ && runs == 1) return;
    // Runs in parallel, or the rows of a single one.
    const executor_ref inside = runs == 1 ? ex : executor_ref{};
    for_each_row(runs, x.rows * w.run, ex, [&](std::size_t i) {
      const auto part = x.col_block(i * w.run, w.run_view(i).cols);
      if (copied_) copy(part, at + i * x_step_, stride(w.run_view(i)), inside);
      for (std::size_t n = 0; n < x.rows && runs > 1; ++n)
        sums[i * sums_step_ + n] = row_sum(part.row(n));
    });
  }

  [[nodiscard]] std::size_t size() const { return whole_.weights.runs(); }
  [[nodiscard]] problem<Format> operator[](std::size_t i) const {
    problem<Format> p = whole_;
    p.weights = whole_.weights.run_view(i);
    p.x += i * x_step_;
    if (copied_) p.x_stride = stride(p.weights);
    p.row_sums += i * sums_step_;
    return p;
  }

 private:
  /// Whether kernels can read the rows of x as they are: dense, and whole blocks of columns.
  static bool readable(const packed_view<Format>& w, matrix_view<const std::int8_t> x) {
    return x.col_stride == 1 && w.cols % Format::cols == 0 &&
           (w.run >= w.cols || w.run % Format::cols == 0);
  }

  [[nodiscard]] std::size_t stride(const packed_view<Format>& run) const {
    return tiled_ ? tiled_cols(padded_cols(run)) : padded_cols(run);
  }

  void copy(matrix_view<const std::int8_t> x, std::int8_t* to, std::size_t cols,
            executor_ref ex) const {
    if (tiled_)
      tile_tokens(x, whole_.parts, to, cols, ex);
    else if (whole_.grouped)
      group_tokens(x, whole_.parts, to, cols, ex);
    else
      pad_rows(x, to, cols, ex);
  }

  problem<Format> whole_;
  bool copied_, tiled_;
  std::size_t x_step_ = 0, sums_step_ = 0;  // from one run to the next
};

}  // namespace tern::inline TERN_ABI::kernel

// ==== tern/kernel/epilogue.hpp

// What becomes of the sums of a product while they are still in cache: functors that ternary_matmul
// calls with each part of the result as it is done. They are ordinary code of the translation unit,
// so real numbers come out the same at every instruction-set level.

namespace tern::inline TERN_ABI {

/// Sums of tokens [token, token + sums.rows) and weight rows [row, row + sums.cols) over the
/// columns of a run.
struct sum_block {
  std::size_t token, row;                ///< of sums(0, 0)
  matrix_view<const std::int32_t> sums;  ///< (tokens, rows)
  std::size_t run = 0;                   ///< of columns, whose sums these are
};

/// Leaves the sums as they are.
struct no_epilogue {
  void operator()(const sum_block&) const {}  ///< leaves the sums as they are
};

/// y(n, m) = sums(n, m) * (x_scales[n] * w_scales(m)) (+ bias[m]) (+ residual(n, m)), rounded after
/// each operation, in this order. Weights in several runs have a column of w_scales to each: the
/// first run makes y as above, the others follow in order, y += sums * (x_scales[n] * w_scales(m,
/// run)). The only place where a ternary product becomes a real number.
template <class T>
class rescale {
 public:
  /// x_scales: N, w_scales: (1, runs), (M, runs), or a row to each `scale_rows` rows of the
  /// weights; y: (N, M); bias (M) and residual (N, M) may be null, residual may be y itself. Throws
  /// shape_error, also where a run comes that w_scales has no column for.
  rescale(row_view<const T> x_scales, matrix_view<const T> w_scales, row_view<const T> bias,
          matrix_view<T> y, matrix_view<const T> residual = {}, std::size_t scale_rows = 1)
      : x_scales_(x_scales),
        w_scales_(w_scales),
        bias_(bias),
        residual_(residual),
        y_(y),
        scale_rows_(scale_rows) {
    require_size(x_scales.size, y.rows, "rescale: x_scales");
    if (w_scales.rows != 1)
      require_size(w_scales.rows, (y.cols + scale_rows - 1) / scale_rows, "rescale: w_scales");
    if (bias) require_size(bias.size, y.cols, "rescale: bias");
    if (residual) require_shape(residual, y.rows, y.cols, "rescale: residual");
  }

  /// Scales the sums of a block and writes them to y; adds those of later runs.
  void operator()(const sum_block& b) const {
    if (b.run != 0 && b.run >= w_scales_.cols)
      throw shape_error("rescale: more runs than columns of w_scales");
    for (std::size_t i = 0; i < b.sums.rows; ++i) {
      const std::size_t n = b.token + i;
      const row_view<const std::int32_t> sums = b.sums.row(i);
      const row_view<T> y = y_.block(n, b.row, 1, sums.size).row(0);
      T products[chunk];
      for (std::size_t c = 0; c < sums.size; c += chunk) {
        const std::size_t end = std::min(chunk, sums.size - c);
        factors(n, b.row + c, b.run, products, end);
        apply<std::int32_t>({sums.data + c, end}, products, multiply);
        __asm__("" : "+m"(products));  // rounded here: no addition is contracted with the product
        if (b.run != 0) {
          apply<T>({&y[c], end, y.stride}, products, add);
        } else {
          if (bias_) apply<T>({&bias_[b.row + c], end, bias_.stride}, products, add);
          if (residual_) apply<T>(residual_.block(n, b.row + c, 1, end).row(0), products, add);
        }
        for (std::size_t k = 0; k < end; ++k) y[c + k] = products[k];
      }
    }
  }

 private:
  static constexpr std::size_t chunk = 64;
  static constexpr auto multiply = [](auto& a, const auto& b) { a *= b; };
  static constexpr auto add = [](auto& a, const auto& b) { a += b; };

  /// op(to[k], T(from[k])), in vectors that every optimisation level keeps.
  template <class U, class Op>
  static void apply(row_view<const U> from, T* to, Op op) {
    using given [[gnu::vector_size(8 * sizeof(U))]] = U;
    using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
    std::size_t k = 0;
    for (; from.stride == 1 && k + 8 <= from.size; k += 8) {
      given a;
      reals b;
      std::memcpy(&a, from.data + k, sizeof a);
      std::memcpy(&b, to + k, sizeof b);
      op(b, __builtin_convertvector(a, reals));
      std::memcpy(to + k, &b, sizeof b);
    }
    for (; k < from.size; ++k) op(to[k], static_cast<T>(from[k]));
  }

  /// to[k] = x_scales[n] * w_scales(m + k, run)
  void factors(std::size_t n, std::size_t m, std::size_t run, T* to, std::size_t end) const {
    if (w_scales_.cols == 0) {  // those of a matrix without columns
      std::fill_n(to, end, T(0));
    } else if (w_scales_.rows == 1) {
      std::fill_n(to, end, x_scales_[n] * w_scales_(0, run));
    } else if (scale_rows_ == 1) {
      std::fill_n(to, end, x_scales_[n]);
      apply<T>(w_scales_.block(m, run, end, 1).col(0), to, multiply);
    } else {
      for (std::size_t k = 0; k < end; ++k)
        to[k] = x_scales_[n] * w_scales_((m + k) / scale_rows_, run);
    }
  }

  row_view<const T> x_scales_;
  matrix_view<const T> w_scales_;
  row_view<const T> bias_;
  matrix_view<const T> residual_;
  matrix_view<T> y_;
  std::size_t scale_rows_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/kernel/neon.hpp

// Advanced SIMD of every AArch64: 8 rows in a pair of registers, four bytes of each row a step,
// every column's products in an int16 of their own; 32 registers.
//
//   smlal / smlal2   8 multiply-adds   latency 4   1/cycle (V0)
//   ushr 1/cycle (V1), and / dup / sub / umin / cmeq / tbl of two registers 2/cycle, two loads a
//   cycle
//
// Neoverse N1's as compilers model it; nothing here has been timed on hardware.
//
// matmul: 24 products, 4 loads and 3 dups for 16 rows x 3 tokens x 4 columns: 24 cycles of V0.
// matvec, two_bit: 32 products, 24 masks and shifts, 4 dups for 16 rows x 16 columns: 32 cycles of
// V0. matvec, base3: 40 products, 68 operations to decode, 5 dups for 16 rows x 20 columns: 56
// cycles.
//
// A digit 0..2 times int8 lies in [-256, 254]: 128 of them add up to [-32768, 32512], which int16
// holds exactly, then `widen` moves them to int32. Nothing saturates or wraps.

#if TERN_AARCH64
#  include <arm_neon.h>

#  include <cstring>
#  include <limits>
#  include <utility>

// No region: every translation unit may use these.
namespace tern::inline TERN_ABI::kernel::neon {

// Pairs of 128-bit registers: what the AArch64 levels share, included once per level inside its
// region.

struct vector_pair {
  struct reg {
    int32x4_t low, high;
  };
  static constexpr std::size_t bytes = 32;

  TERN_INLINE static int8x16_t as_bytes(int32x4_t a) { return vreinterpretq_s8_s32(a); }
  TERN_INLINE static uint8x16_t as_u8(int32x4_t a) { return vreinterpretq_u8_s32(a); }
  TERN_INLINE static int32x4_t as_words(uint8x16_t a) { return vreinterpretq_s32_u8(a); }
  TERN_INLINE static reg load(const void* p) {
    const auto* words = static_cast<const std::int32_t*>(p);
    return {vld1q_s32(words), vld1q_s32(words + 4)};
  }
  TERN_INLINE static void store(void* p, reg a) {
    auto* words = static_cast<std::int32_t*>(p);
    vst1q_s32(words, a.low);
    vst1q_s32(words + 4, a.high);
  }
  /// Four bytes in every lane.
  TERN_INLINE static int8x16_t four(const std::int8_t* x) {
    std::int32_t word;
    std::memcpy(&word, x, sizeof word);
    return as_bytes(vdupq_n_s32(word));
  }
  TERN_INLINE static reg fill(std::int32_t v) { return {vdupq_n_s32(v), vdupq_n_s32(v)}; }
  TERN_INLINE static reg add(reg a, reg b) {
    return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
  }
  TERN_INLINE static reg add_bytes(reg a, reg b) {
    return {as_words(vaddq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vaddq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg sub_bytes(reg a, reg b) {
    return {as_words(vsubq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vsubq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg min_bytes(reg a, reg b) {
    return {as_words(vminq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vminq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return {as_words(vceqq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vceqq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static uint8x16x2_t repeat(const std::uint8_t* p) {
    return {vld1q_u8(p), vld1q_u8(p)};
  }
  /// Bytes of a repeated table: of an index below 32 the low four bits count; more give 0.
  TERN_INLINE static reg look_up(uint8x16x2_t table, reg index) {
    return {as_words(vqtbl2q_u8(table, as_u8(index.low))),
            as_words(vqtbl2q_u8(table, as_u8(index.high)))};
  }
  template <int first, int mask>
  TERN_INLINE static int32x4_t field(int32x4_t q) {
    uint8x16_t d = as_u8(q);
    if constexpr (first > 0) d = vshrq_n_u8(d, first);
    if constexpr (mask != 0xFF >> first) d = vandq_u8(d, vdupq_n_u8(mask));
    return as_words(d);
  }
  /// Bits of every byte: `mask` of those from bit `first` on.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return {field<first, mask>(q.low), field<first, mask>(q.high)};
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return {vshrq_n_s32(a.low, bits), vshrq_n_s32(a.high, bits)};
  }
};

struct ops : vector_pair {
  struct sum {
    int16x8_t a, b, c, d;  // two rows each
  };
  static constexpr std::size_t tile_tokens = 3, matvec_panels = 2;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 128;
  static constexpr int max_digit = 2;  // that `dot` is exact for

  TERN_INLINE static sum zero() {
    const int16x8_t a = vdupq_n_s16(0);
    return {a, a, a, a};
  }
  template <int plane>
  TERN_INLINE static int8x16_t columns(const std::int8_t* x) {
    if constexpr (plane < 4)
      return as_bytes(vdupq_laneq_s32(vreinterpretq_s32_s8(vld1q_s8(x)), plane));
    else
      return four(x + 16);
  }
  TERN_INLINE static sum dot(sum s, reg digits, int8x16_t x) {
    const int8x16_t low = as_bytes(digits.low), high = as_bytes(digits.high);
    s.a = vmlal_s8(s.a, vget_low_s8(low), vget_low_s8(x));
    s.b = vmlal_high_s8(s.b, low, x);
    s.c = vmlal_s8(s.c, vget_low_s8(high), vget_low_s8(x));
    s.d = vmlal_high_s8(s.d, high, x);
    __asm__ volatile("");  // else g++ moves loads ahead until registers run out
    return s;
  }
  TERN_INLINE static reg widen(sum s) {
    return {vpaddq_s32(vpaddlq_s16(s.a), vpaddlq_s16(s.b)),
            vpaddq_s32(vpaddlq_s16(s.c), vpaddlq_s16(s.d))};
  }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::neon
#endif

// ==== tern/kernel/neon_dotprod.hpp

// Advanced SIMD with the dot products of Armv8.2 (optional there, in every core from Armv8.4 on):
// 8 rows in a pair of registers, four bytes of each row a step; 32 registers. Digits are signed
// bytes as x is.
//
//   sdot   16 multiply-adds   2/cycle (Neoverse N1), 4/cycle (Neoverse V1)
//   ushr 1/cycle (N1), and / sub / umin / cmeq / tbl of two registers 2/cycle (N1), two loads a
//   cycle (N1)
//
// As others publish them: not confirmed in Arm's text, and nothing here has been timed on hardware.
//
// matmul: 20 products and 4 loads for 16 rows x 5 tokens x 4 columns, and a load of each token for
// 16 columns (`sdot` picks four of them by index): 10 cycles of N1.
// matvec, two_bit: 16 products, 16 masks and shifts for 16 rows x 16 columns: 16 cycles of N1.
// matvec, base3: 20 products, 68 operations to decode for 16 rows x 20 columns: 44 cycles of N1.

#if TERN_AARCH64
#  include <arm_neon.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN(TERN_TARGET_DOTPROD)
namespace tern::inline TERN_ABI::kernel::neon_dotprod {

// Pairs of 128-bit registers: what the AArch64 levels share, included once per level inside its
// region.

struct vector_pair {
  struct reg {
    int32x4_t low, high;
  };
  static constexpr std::size_t bytes = 32;

  TERN_INLINE static int8x16_t as_bytes(int32x4_t a) { return vreinterpretq_s8_s32(a); }
  TERN_INLINE static uint8x16_t as_u8(int32x4_t a) { return vreinterpretq_u8_s32(a); }
  TERN_INLINE static int32x4_t as_words(uint8x16_t a) { return vreinterpretq_s32_u8(a); }
  TERN_INLINE static reg load(const void* p) {
    const auto* words = static_cast<const std::int32_t*>(p);
    return {vld1q_s32(words), vld1q_s32(words + 4)};
  }
  TERN_INLINE static void store(void* p, reg a) {
    auto* words = static_cast<std::int32_t*>(p);
    vst1q_s32(words, a.low);
    vst1q_s32(words + 4, a.high);
  }
  /// Four bytes in every lane.
  TERN_INLINE static int8x16_t four(const std::int8_t* x) {
    std::int32_t word;
    std::memcpy(&word, x, sizeof word);
    return as_bytes(vdupq_n_s32(word));
  }
  TERN_INLINE static reg fill(std::int32_t v) { return {vdupq_n_s32(v), vdupq_n_s32(v)}; }
  TERN_INLINE static reg add(reg a, reg b) {
    return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
  }
  TERN_INLINE static reg add_bytes(reg a, reg b) {
    return {as_words(vaddq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vaddq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg sub_bytes(reg a, reg b) {
    return {as_words(vsubq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vsubq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  TERN_INLINE static reg min_bytes(reg a, reg b) {
    return {as_words(vminq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vminq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) {
    return {as_words(vceqq_u8(as_u8(a.low), as_u8(b.low))),
            as_words(vceqq_u8(as_u8(a.high), as_u8(b.high)))};
  }
  /// Sixteen bytes, again and again.
  TERN_INLINE static uint8x16x2_t repeat(const std::uint8_t* p) {
    return {vld1q_u8(p), vld1q_u8(p)};
  }
  /// Bytes of a repeated table: of an index below 32 the low four bits count; more give 0.
  TERN_INLINE static reg look_up(uint8x16x2_t table, reg index) {
    return {as_words(vqtbl2q_u8(table, as_u8(index.low))),
            as_words(vqtbl2q_u8(table, as_u8(index.high)))};
  }
  template <int first, int mask>
  TERN_INLINE static int32x4_t field(int32x4_t q) {
    uint8x16_t d = as_u8(q);
    if constexpr (first > 0) d = vshrq_n_u8(d, first);
    if constexpr (mask != 0xFF >> first) d = vandq_u8(d, vdupq_n_u8(mask));
    return as_words(d);
  }
  /// Bits of every byte: `mask` of those from bit `first` on.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return {field<first, mask>(q.low), field<first, mask>(q.high)};
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return {vshrq_n_s32(a.low, bits), vshrq_n_s32(a.high, bits)};
  }
};

struct ops : vector_pair {
  static constexpr std::size_t tile_tokens = 5, matvec_panels = 1;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = std::numeric_limits<std::size_t>::max();
  static constexpr int max_digit = 127;  // that `dot` is exact for

  /// 16 columns of a token, of which `dot` takes those of the plane; planes past them stand alone.
  template <int plane>
  struct indexed {
    int8x16_t x;
  };

  TERN_INLINE static reg zero() { return fill(0); }
  template <int plane>
  TERN_INLINE static indexed<plane % 4> columns(const std::int8_t* x) {
    if constexpr (plane < 4)
      return {vld1q_s8(x)};
    else
      return {four(x + 16)};
  }
  template <int plane>
  TERN_INLINE static reg dot(reg sum, reg digits, indexed<plane> columns) {
    sum.low = vdotq_laneq_s32(sum.low, as_bytes(digits.low), columns.x, plane);
    sum.high = vdotq_laneq_s32(sum.high, as_bytes(digits.high), columns.x, plane);
    // In this order, else g++ moves loads ahead until registers run out.
    __asm__ volatile("" : "+w"(sum.low), "+w"(sum.high));
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return sum; }
  /// The same for digits up to 255: code + 128 is no signed byte, 128 x is added beside the code's.
  template <int max_digit, int plane>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, indexed<plane> columns) {
    const int32x4_t half = vdupq_n_s32(0x40404040), sign = vdupq_n_s32(std::int32_t(0x80808080));
    sum = dot(sum, {veorq_s32(digits.low, sign), veorq_s32(digits.high, sign)}, columns);
    return dot(dot(sum, {half, half}, columns), {half, half}, columns);
  }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::neon_dotprod
TERN_TARGET_END
#endif

// ==== tern/kernel/scalar.hpp

// The oracle: ternary matrix product from its definition, on any machine and for any format.

namespace tern::inline TERN_ABI::kernel::scalar {

/// Tokens stay rows.
inline std::size_t group_size(std::size_t) { return 0; }

template <class Format>
void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  std::array<std::int8_t, Format::rows * Format::cols> w;
  const std::size_t blocks = p.weights.panel_blocks();
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    const std::size_t row_end = std::min(t.panel_end * Format::rows, p.weights.rows);
    for (std::size_t n = 0; n < p.tokens(); ++n)
      for (std::size_t m = t.panel * Format::rows; m < row_end; ++m)
        p.out[n * p.out_stride + m] = 0;
    for (std::size_t panel = t.panel; panel < t.panel_end; ++panel)
      for (std::size_t b = 0; b < blocks; ++b) {
        Format::unpack(p.weights.panel(panel)[b], w.data(), Format::cols);
        const std::size_t m0 = panel * Format::rows, m1 = std::min(m0 + Format::rows, row_end);
        for (std::size_t n = 0; n < p.tokens(); ++n) {
          const std::int8_t* x = p.x + n * p.x_stride + b * Format::cols;
          for (std::size_t m = m0; m < m1; ++m) {
            std::int32_t sum = 0;
            for (std::size_t k = 0; k < Format::cols; ++k)
              sum += w[(m - m0) * Format::cols + k] * x[k];
            p.out[n * p.out_stride + m] += sum;
          }
        }
      }
  }
}

}  // namespace tern::inline TERN_ABI::kernel::scalar

// ==== tern/kernel/sse41.hpp

// SSE4.1: 4 rows in a register, four bytes of each row a step, sums of pairs in int16.
//
//   pmaddubsw xmm   16 multiply-adds   latency 3 to 5   1/cycle (Nehalem) or 2/cycle
//   movdqa: the product overwrites its digits, so each has a copy first (no port since 2012)
//   paddw / pand 2 to 3/cycle, psrlw 1 to 2/cycle, movd xmm, m32 + pshufd: a load and a shuffle
//   pshufb 1/cycle (before Ice Lake) or 2/cycle, pminub / pcmpeqb / psubb 2 to 3/cycle
//
// matmul: 10 products, sums and copies, 2 loads and 5 broadcasts for 8 rows x 5 tokens x 4 columns:
// 42 instructions, 10.5 cycles at four a cycle.
// matvec, two_bit: 16 masks, 12 shifts, 16 products, 16 sums for 16 rows x 16 columns: about 20
// cycles. matvec, base3: 72 operations to decode, 20 products, 20 sums for 16 rows x 20 columns:
// about 38.
//
// A pair of digits 0..2 times int8 lies in [-512, 508]: 64 steps add up to [-32768, 32512], which
// int16 holds exactly, then `widen` moves them to int32; 16 steps of a matvec's digits that are
// left multiplied by 4. Nothing saturates or wraps.

#if TERN_X86
#  include <immintrin.h>

#  include <cstring>
#  include <limits>
#  include <utility>

TERN_TARGET_BEGIN("ssse3,sse4.1")
namespace tern::inline TERN_ABI::kernel::sse41 {

struct ops {
  using reg = __m128i;
  static constexpr std::size_t bytes = 16, tile_tokens = 5, matvec_panels = 1;
  static constexpr std::size_t matvec_tokens = 1;  // up to which each has its own matvec
  static constexpr std::size_t max_dots = 64;
  static constexpr int max_digit = 8;  // that `dot` is exact for, max_dots / 4 of them

  TERN_INLINE static reg zero() { return _mm_setzero_si128(); }
  TERN_INLINE static reg load(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  TERN_INLINE static void store(void* p, reg a) { _mm_storeu_si128(static_cast<__m128i*>(p), a); }
  TERN_INLINE static reg fill(std::int32_t v) { return _mm_set1_epi32(v); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm_add_epi32(a, b); }
  TERN_INLINE static reg dot(reg sum, reg digits, reg x) {
    sum = _mm_add_epi16(sum, _mm_maddubs_epi16(digits, x));
    __asm__("" : "+x"(sum));  // else g++ adds products in a tree that needs too many registers
    return sum;
  }
  TERN_INLINE static reg widen(reg sum) { return _mm_madd_epi16(sum, _mm_set1_epi16(1)); }
  /// The same for digits up to max_digit, exact in int32.
  template <int max_digit>
  TERN_INLINE static reg dot_wide(reg sum, reg digits, reg x) {
    if constexpr (max_digit < 128) {
      return add(sum, widen(_mm_maddubs_epi16(digits, x)));
    } else {
      const reg low = _mm_maddubs_epi16(field<0, 15>(digits), x);
      const reg high = _mm_maddubs_epi16(field<4, 15>(digits), x);
      return add(sum, add(widen(low), _mm_madd_epi16(high, _mm_set1_epi16(16))));
    }
  }
  TERN_INLINE static reg add_bytes(reg a, reg b) { return _mm_add_epi8(a, b); }
  TERN_INLINE static reg sub_bytes(reg a, reg b) { return _mm_sub_epi8(a, b); }
  TERN_INLINE static reg min_bytes(reg a, reg b) { return _mm_min_epu8(a, b); }
  /// 255 where bytes are equal, else 0.
  TERN_INLINE static reg equal_bytes(reg a, reg b) { return _mm_cmpeq_epi8(a, b); }
  /// Sixteen bytes, again and again.
  TERN_INLINE static reg repeat(const void* p) { return load(p); }
  /// Bytes of a repeated table: of an index the low four bits count; 128 and more give 0.
  TERN_INLINE static reg look_up(reg table, reg index) { return _mm_shuffle_epi8(table, index); }
  /// Bits of every byte: `mask` of those from bit `first` on; it must end with the byte.
  template <int first, int mask>
  TERN_INLINE static reg field(reg q) {
    return _mm_and_si128(_mm_srli_epi16(q, first), _mm_set1_epi8(static_cast<char>(mask)));
  }
  template <int bits>
  TERN_INLINE static reg shift_sums(reg a) {
    return _mm_srai_epi32(a, bits);
  }
};

// Digits of `two_bit` blocks, included once per level inside its region. Where a dot product takes
// larger digits than 2, those of a matvec may stay multiplied by their place: a mask and no shift,
// an accumulator for each plane, and the sums are put to scale at the end.

/// How digits come out of the packed registers of a format, one specialisation to a format.
template <class Format>
struct decoder;

template <>
struct decoder<two_bit> {
  /// Accumulators that a matvec has to a register; plane p adds to number p % sums.
  static constexpr std::size_t sums = ops::max_digit < 8 ? 1 : ops::max_digit < 32 ? 2 : 4;

  /// What digits of a matvec are multiplied by at most.
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : sums == 2 ? 4 : 64;

  /// Groups of tokens up to which digits are not worth unpacking.
  static constexpr std::size_t direct_groups = 2;

  /// What the digits of all planes are read from.
  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }

  /// Digits 0, 1, 2 of a plane.
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<2 * plane, 3>(q);
  }

  /// The same for the accumulator of the plane, multiplied by a power of two.
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return ops::template field<2 * plane - place<plane>, (3 << place<plane>)>(q);
  }

  /// What an accumulator holds, widened, divided by what its digits were multiplied by.
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (place<sum> == 0)
      return total;
    else
      return level::template shift_sums<place<sum>>(total);
  }

 private:
  /// Two sums: one shift serves two planes, one of which stays where it is.
  static constexpr int place_of(int plane) {
    if (sums == 2) return plane % 2 * 2;
    return sums == 4 && 2 << (2 * plane) <= ops::max_digit ? 2 * plane : 0;
  }
  template <int plane>
  static constexpr int place = place_of(plane);
};

// Digits of `base3` blocks by tables of sixteen bytes, included once per level inside its region,
// after two_bit.inl. All digits of a register come at once, 18 operations, plain: 0, 1, 2.

template <>
struct decoder<base3> {
  /// Two where dot products take long and would wait for each other.
  static constexpr std::size_t sums = ops::max_dots < 1000 ? 1 : 2;
  static constexpr std::size_t most_scaled = 1;
  static constexpr std::size_t direct_groups = 1;

  struct all {
    ops::reg plane[5];
  };

  TERN_INLINE static all decode(ops::reg q) {
    using tables = base3_tables_16;
    const ops::reg high = ops::template field<4, 15>(q);
    const ops::reg rest = ops::sub_bytes(q, look_up(tables::least_upper, high));
    const ops::reg lower = reduce<28>(rest);
    // One less where the upper part is the least that its four bits allow.
    const ops::reg upper = ops::add_bytes(high, ops::equal_bytes(lower, rest));
    const ops::reg ninth = reduce<9>(reduce<9>(lower));
    return {look_up(tables::lower_digit<0>, ninth), look_up(tables::lower_digit<1>, ninth),
            look_up(tables::ninths, ops::sub_bytes(lower, ninth)),
            look_up(tables::upper_digit<3>, upper), look_up(tables::upper_digit<4>, upper)};
  }
  template <int plane>
  TERN_INLINE static ops::reg digits(const all& d) {
    return d.plane[plane];
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(const all& d) {
    return d.plane[plane];
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }

 private:
  TERN_INLINE static ops::reg look_up(const base3_tables_16::table& table, ops::reg index) {
    return ops::look_up(ops::repeat(table.data()), index);
  }
  /// a - n where a is not less than n: a smaller one wraps to more than it was.
  template <int n>
  TERN_INLINE static ops::reg reduce(ops::reg a) {
    return ops::min_bytes(a, ops::sub_bytes(a, ops::fill(n * 0x01010101)));
  }
};

// Digits of `four_bit` and `eight_bit` blocks, included once per level inside its region, after
// two_bit.inl. Where `dot` adds products up in int16, ops::dot_wide adds them up in int32.

template <>
struct decoder<four_bit> {
  /// The upper half of a byte may stay in its place where a dot product takes digits of 240.
  static constexpr std::size_t sums = ops::max_digit < 255 ? 1 : 2;
  static constexpr std::size_t most_scaled = sums == 1 ? 1 : 16, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return ops::template field<4 * plane, 15>(q);
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    if constexpr (sums > 1 && plane == 1)
      return ops::template field<0, 240>(q);
    else
      return digits<plane>(q);
  }
  template <int sum, class level = ops>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    if constexpr (sum == 1)
      return level::template shift_sums<4>(total);
    else
      return total;
  }
};

template <>
struct decoder<eight_bit> {
  static constexpr std::size_t sums = 1, most_scaled = 1, direct_groups = 2;

  TERN_INLINE static ops::reg decode(ops::reg q) { return q; }
  template <int plane>
  TERN_INLINE static ops::reg digits(ops::reg q) {
    return q;
  }
  template <int plane>
  TERN_INLINE static ops::reg sum_digits(ops::reg q) {
    return q;
  }
  template <int sum>
  TERN_INLINE static ops::reg unscale(ops::reg total) {
    return total;
  }
};

// One token against packed weights, included once per level inside its region, after the decoders
// of the formats. A plane is four neighbouring columns of all rows of a block.

inline constexpr std::size_t block_regs = sizeof(packed_block) / ops::bytes;

template <class Format>
using plane_indices = std::make_index_sequence<Format::cols / 4>;

/// What products are added up in, until widen().
using sum = decltype(ops::zero());

/// Whether the level's `dot` is not exact for digits of the format: then `dot_wide` is.
template <class Format, class level = ops>
inline constexpr bool is_wide = level::max_digit < Format::max_digit;

/// Dot products that may be added before widen().
template <class Format>
inline constexpr std::size_t max_dots =
    is_wide<Format> ? std::numeric_limits<std::size_t>::max() : ops::max_dots;

template <class Format, class X, class level = ops>
TERN_INLINE sum dot(sum s, ops::reg digits, X x) {
  if constexpr (is_wide<Format>)
    return level::template dot_wide<Format::max_digit>(s, digits, x);
  else
    return level::dot(s, digits, x);
}

template <class Format, class Sum>
TERN_INLINE ops::reg widen(Sum s) {
  if constexpr (is_wide<Format>)
    return s;
  else
    return ops::widen(s);
}

/// The operand for a plane of the columns of a token at x: four neighbouring ones in every lane,
/// or what the level has in its place.
template <int plane, class level = ops>
TERN_INLINE auto columns(const std::int8_t* x) {
  if constexpr (requires { level::template columns<plane>(x); }) {
    return level::template columns<plane>(x);
  } else {
    std::int32_t four;
    std::memcpy(&four, x + 4 * plane, sizeof four);
    return level::fill(four);
  }
}

/// A plane of n registers.
template <class Format, std::size_t plane, std::size_t n, class Digits, class X, std::size_t... r>
TERN_INLINE void matvec_step(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n], X x,
                             std::index_sequence<r...>) {
  using format = decoder<Format>;
  sum(&a)[n] = sums[plane % format::sums];
  ((a[r] = dot<Format>(a[r], format::template sum_digits<plane>(q[r]), x)), ...);
}

/// A block of columns of n registers.
template <class Format, std::size_t n, class Digits, std::size_t... plane>
TERN_INLINE void matvec_block(sum (&sums)[decoder<Format>::sums][n], const Digits (&q)[n],
                              const std::int8_t* x, std::index_sequence<plane...>) {
  (matvec_step<Format, plane>(sums, q, columns<plane>(x), std::make_index_sequence<n>{}), ...);
}

/// What accumulators hold, added to the total.
template <class Format, std::size_t n, std::size_t... s>
TERN_INLINE void add_sums(ops::reg (&total)[n], const sum (&sums)[decoder<Format>::sums][n],
                          std::index_sequence<s...>) {
  for (std::size_t r = 0; r < n; ++r)
    ((total[r] =
          ops::add(total[r], decoder<Format>::template unscale<s>(widen<Format>(sums[s][r])))),
     ...);
}

/// Registers of `panels` panels side by side: [0, panels * block_regs).
template <class Format, std::size_t... r>
inline void matvec_tile(const problem<Format>& p, std::size_t panel, const std::int8_t* x,
                        std::int32_t* sums, std::index_sequence<r...>) {
  constexpr std::size_t n = sizeof...(r), planes = Format::cols / 4;
  constexpr std::size_t sums_each = decoder<Format>::sums;
  const std::size_t blocks = p.weights.panel_blocks(),
                    stride = p.weights.panel_stride * sizeof(packed_block);
  const auto* w = p.weights.panel(panel)->bytes.data();
  constexpr std::size_t dots = max_dots<Format> / decoder<Format>::most_scaled,
                        chunk = dots / ((planes + sums_each - 1) / sums_each);
  ops::reg total[n] = {(static_cast<void>(r), ops::fill(0))...};
  for (std::size_t done = 0; done < blocks;) {
    const std::size_t stop = blocks - done < chunk ? blocks : done + chunk;
    sum a[sums_each][n] = {};
    for (; done < stop; ++done, w += sizeof(packed_block), x += Format::cols) {
      // Processors alone do not read far enough ahead on several panels at once. At the end of
      // these panels follow those behind them.
      const std::size_t ahead = done + 16 < blocks ? 1024 : 1024 + (n / block_regs - 1) * stride;
      ((r % block_regs == 0 ? __builtin_prefetch(w + r / block_regs * stride + ahead) : void()),
       ...);
      const decltype(decoder<Format>::decode(total[0])) q[n] = {decoder<Format>::decode(
          ops::load(w + r / block_regs * stride + r % block_regs * ops::bytes))...};
      matvec_block<Format>(a, q, x, plane_indices<Format>{});
    }
    add_sums<Format>(total, a, std::make_index_sequence<sums_each>{});
  }
  (ops::store(sums + r * (ops::bytes / 4), total[r]), ...);
}

/// Rows of panels [begin, end) for token n.
template <class Format>
inline void matvec(const problem<Format>& p, std::size_t begin, std::size_t end, std::size_t n) {
  constexpr std::size_t wide = ops::matvec_panels;
  const std::int8_t* x = p.x + n * p.x_stride;
  std::int32_t sums[wide * Format::rows];
  while (begin < end) {
    const std::size_t panels = end - begin >= wide ? wide : 1;
    if (panels == wide)
      matvec_tile(p, begin, x, sums, std::make_index_sequence<wide * block_regs>{});
    else
      matvec_tile(p, begin, x, sums, std::make_index_sequence<block_regs>{});
    const std::size_t row = begin * Format::rows, left = p.weights.rows - row;
    const std::size_t rows = left < panels * Format::rows ? left : panels * Format::rows;
    std::int32_t* out = p.out + n * p.out_stride + row;
    for (std::size_t i = 0; i < rows; ++i) out[i] = sums[i] + Format::least_code * p.row_sums[n];
    begin += panels;
  }
}

// Several tokens against packed weights, included once per level inside its region, after
// matvec.inl. A tile is two registers of rows times a few tokens, all sums in registers.
// Many tokens share digits that are unpacked once to bytes; few take them from the packed blocks.

inline constexpr std::size_t tile_rows = 2 * (ops::bytes / 4);

/// Digits of the next block of columns, from packed blocks `reg_stride` bytes apart.
template <class Format>
struct packed_digits {
  using format = decoder<Format>;
  const std::uint8_t* w;
  std::size_t reg_stride;

  struct block {
    decltype(format::decode(ops::load(nullptr))) reg[2];
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return format::template digits<plane>(reg[r]);
    }
  };
  TERN_INLINE block take() {
    __builtin_prefetch(w + 1024);  // as for one token
    if constexpr (tile_rows > Format::rows) __builtin_prefetch(w + reg_stride + 1024);
    const block b{{format::decode(ops::load(w)), format::decode(ops::load(w + reg_stride))}};
    w += sizeof(packed_block);
    return b;
  }
};

/// The same from bytes: plane after plane, two registers each.
template <class Format>
struct plain_digits {
  static constexpr std::size_t block_bytes = Format::cols / 4 * 2 * ops::bytes;
  const std::uint8_t* w;

  struct block {
    const std::uint8_t* w;
    template <int plane, std::size_t r>
    TERN_INLINE ops::reg get() const {
      return ops::load(w + (2 * plane + r) * ops::bytes);
    }
  };
  TERN_INLINE block take() {
    const block b{w};
    w += block_bytes;
    return b;
  }
};

/// x: the four columns of a plane for each token of a tile, one token after the other.
template <class Format, int plane, class Block, std::size_t... t>
TERN_INLINE void tile_step(const Block& block, const std::int8_t* x, sum (&a)[sizeof...(t)],
                           sum (&b)[sizeof...(t)], std::index_sequence<t...>) {
  const ops::reg u = block.template get<plane, 0>(), v = block.template get<plane, 1>();
  const auto step = [&](sum & first, sum & second, auto four) __attribute__((always_inline)) {
    first = dot<Format>(first, u, four);
    second = dot<Format>(second, v, four);
  };
  (step(a[t], b[t], columns<t % 4>(x + 4 * (plane * sizeof...(t) + t - t % 4))), ...);
}

template <class Format, class Block, std::size_t n, std::size_t... plane>
TERN_INLINE void tile_block(const Block& block, const std::int8_t* x, sum (&a)[n], sum (&b)[n],
                            std::index_sequence<plane...>) {
  (tile_step<Format, plane>(block, x, a, b, std::make_index_sequence<n>{}), ...);
}

/// out[t][0 .. tile_rows) = (row_sums ? least_code * row_sums[t] : out[t][..]) + dot products over
/// `blocks`.
template <class Format, class Digits, std::size_t... t>
[[gnu::noinline]] void tile(Digits digits, const std::int8_t* x, std::size_t blocks,
                            const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                            std::index_sequence<t...>) {
  sum a[] = {(static_cast<void>(t), ops::zero())...}, b[] = {a[t]...};
  for (; blocks != 0; --blocks, x += Format::cols * sizeof...(t))
    tile_block<Format>(digits.take(), x, a, b, plane_indices<Format>{});
  const auto finish = [&](sum products, std::int32_t * to, std::size_t token)
      __attribute__((always_inline)) {
    const ops::reg start =
        row_sums != nullptr ? ops::fill(Format::least_code * row_sums[token]) : ops::load(to);
    ops::store(to, ops::add(start, widen<Format>(products)));
  };
  (finish(a[t], out + t * out_stride, t), ...);
  (finish(b[t], out + t * out_stride + tile_rows / 2, t), ...);
}

/// The tile of `n` tokens, first <= n < first + sizeof...(i).
template <class Format, std::size_t first, class Digits, std::size_t... i>
inline void tile_of(std::size_t n, Digits digits, const std::int8_t* x, std::size_t blocks,
                    const std::int32_t* row_sums, std::int32_t* out, std::size_t out_stride,
                    std::index_sequence<i...>) {
  ((n == first + i ? tile<Format>(digits, x, blocks, row_sums, out, out_stride,
                                  std::make_index_sequence<first + i>{})
                   : void()),
   ...);
}

template <class Format, std::size_t... plane>
inline void unpack_digits(packed_digits<Format> from, std::size_t blocks, std::uint8_t* to,
                          std::index_sequence<plane...>) {
  for (; blocks != 0; --blocks, to += plain_digits<Format>::block_bytes) {
    const auto block = from.take();
    (ops::store(to + 2 * plane * ops::bytes, block.template get<plane, 0>()), ...);
    (ops::store(to + (2 * plane + 1) * ops::bytes, block.template get<plane, 1>()), ...);
  }
}

inline void copy_rows(const std::int32_t* from, std::size_t from_stride, std::int32_t* to,
                      std::size_t to_stride, std::size_t tokens, std::size_t rows) {
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(to + t * to_stride, from + t * from_stride, rows * sizeof *to);
}

/// Up to tile_rows rows from `row` on, all groups of a task, over blocks of columns
/// [block, block + blocks).
template <class Format>
inline void group(const problem<Format>& p, const typename problem<Format>::range& task,
                  std::size_t row, std::size_t row_end, std::size_t block, std::size_t blocks,
                  std::uint8_t* bytes) {
  constexpr std::size_t most = ops::tile_tokens, least = (most + 1) / 2,
                        fewest = ops::matvec_tokens + 1;
  const std::size_t left = row_end - row, rows = left < tile_rows ? left : tile_rows;
  const bool whole = left > Format::rows;  // else a tile of two panels takes the last one twice
  const packed_digits<Format> packed{
      p.weights.panel(row / Format::rows)[block].bytes.data() + row % Format::rows * 4,
      tile_rows <= Format::rows
          ? ops::bytes
          : static_cast<std::size_t>(whole) * p.weights.panel_stride * sizeof(packed_block)};
  const bool few = p.parts.groups <= decoder<Format>::direct_groups;
  if (!few) unpack_digits(packed, blocks, bytes, plane_indices<Format>{});
  for (std::size_t g = task.group; g < task.group_end; ++g) {
    const std::size_t token = p.parts.first(g), n = p.parts.first(g + 1) - token;
    const std::int8_t* x = p.x + token * p.x_stride + n * block * Format::cols;
    const std::int32_t* row_sums = block == 0 ? p.row_sums + token : nullptr;
    std::int32_t* out = p.out + token * p.out_stride + row;
    std::int32_t edge[most * tile_rows];
    const bool direct = rows == tile_rows;
    std::int32_t* to = direct ? out : edge;
    const std::size_t to_stride = direct ? p.out_stride : tile_rows;
    if (!direct && row_sums == nullptr) copy_rows(out, p.out_stride, edge, tile_rows, n, rows);
    if (few)
      tile_of<Format, fewest>(n, packed, x, blocks, row_sums, to, to_stride,
                              std::make_index_sequence<most - fewest + 1>{});
    else
      tile_of<Format, least>(n, plain_digits<Format>{bytes}, x, blocks, row_sums, to, to_stride,
                             std::make_index_sequence<most - least + 1>{});
    if (!direct) copy_rows(edge, tile_rows, out, p.out_stride, n, rows);
  }
}

/// Most tokens of a group where there are `tokens` in all; 0 where each has its own matvec.
inline std::size_t group_size(std::size_t tokens) {
  return tokens <= ops::matvec_tokens ? 0 : ops::tile_tokens;
}

/// Tasks [begin, end) of the problem.
template <class Format>
inline void run(const problem<Format>& p, std::size_t begin, std::size_t end) {
  constexpr std::size_t exact = max_dots<Format> / (Format::cols / 4),
                        most = exact < 64 ? exact : 64;
  alignas(64) std::uint8_t bytes[most * plain_digits<Format>::block_bytes];
  const std::size_t blocks = p.weights.panel_blocks();
  const std::size_t chunks = (blocks + most - 1) / most, chunk = (blocks + chunks - 1) / chunks;
  for (std::size_t i = begin; i < end; ++i) {
    const auto t = p.task(i);
    if (!p.grouped) {
      for (std::size_t n = 0; n < p.tokens(); ++n) matvec(p, t.panel, t.panel_end, n);
      continue;
    }
    const std::size_t end_of_panels = t.panel_end * Format::rows;
    const std::size_t row_end = end_of_panels < p.weights.rows ? end_of_panels : p.weights.rows;
    for (std::size_t row = t.panel * Format::rows; row < row_end; row += tile_rows)
      for (std::size_t b = 0; b < blocks; b += chunk)
        group(p, t, row, row_end, b, blocks - b < chunk ? blocks - b : chunk, bytes);
  }
}

}  // namespace tern::inline TERN_ABI::kernel::sse41
TERN_TARGET_END
#endif

// ==== tern/kernel/matmul.hpp

// Packed weights times int8 activations with the best kernel of the CPU the program runs on,
// whatever flags it was compiled with. Sums are exact, so every level and any number of threads
// give the same integers; scaling to real numbers is the caller's, outside of these regions.

namespace tern::inline TERN_ABI {

/// Columns of a run up to which no sum can overflow. The tightest place of ternary formats is a
/// matvec's accumulator of the top plane: digits 2 * 64 times activations down to -128, one column
/// in four: 2^12 K < 2^31. Other digits are at most 255: 255 * 128 K < 2^31.
template <pack_format Format>
inline constexpr std::size_t matmul_max_cols =
    (std::size_t{1} << (Format::max_digit == 2 ? 19 : 16)) - 16;

namespace kernel {

/// The functions of a level: see generic/matmul.inl. Tokens of a group are interleaved by four
/// columns; so many of them and more by tiles.
template <class Format>
struct entry {
  void (*run)(const problem<Format>& p, std::size_t begin, std::size_t end);
  std::size_t (*group_size)(std::size_t tokens);
  std::size_t tiled_from = std::numeric_limits<std::size_t>::max();
};

template <class Format>
entry<Format> entry_of(isa::level level) {
  switch (level) {
#if TERN_X86
#  if defined(__x86_64__)
    case isa::level::amx:
      return {amx::run<Format>, amx::group_size<Format>, amx::least_tokens<Format>};
#  endif
    case isa::level::avx512vbmi:
      return {avx512vbmi::run<Format>, avx512vbmi::group_size};
    case isa::level::avx512vnni:
      return {avx512vnni::run<Format>, avx512vnni::group_size};
    case isa::level::avx512bw:
      return {avx512bw::run<Format>, avx512bw::group_size};
    case isa::level::avxvnni:
      return {avxvnni::run<Format>, avxvnni::group_size};
    case isa::level::avx2:
      return {avx2::run<Format>, avx2::group_size};
    case isa::level::sse41:
      return {sse41::run<Format>, sse41::group_size};
#elif TERN_AARCH64
    case isa::level::neon_dotprod:
      return {neon_dotprod::run<Format>, neon_dotprod::group_size};
    case isa::level::neon:
      if constexpr (Format::max_digit == 2) return {neon::run<Format>, neon::group_size};
      [[fallthrough]];  // such CPUs are too slow for wider digits to matter
#endif
    default:
      return {scalar::run<Format>, scalar::group_size};
  }
}

}  // namespace kernel

/// Bytes of workspace that ternary_matmul needs for these operands, at any level: about those of x;
/// none for a single dense token and one run, where K is a multiple of the format's.
template <packed_weights W>
std::size_t ternary_matmul_workspace(const W& weights, matrix_view<const std::int8_t> x) {
  return kernel::column_runs<typename W::format>::workspace(weights, x);
}

/// A product of w (M, K) with activations that others may share: out (N, M), dense along its rows.
template <pack_format Format, class Epilogue = no_epilogue>
struct ternary_product {
  static_assert(std::invocable<const Epilogue&, const sum_block&>,
                "an epilogue needs: void operator()(const tern::sum_block&) const");

  packed_view<Format> weights;    ///< (M, K)
  matrix_view<std::int32_t> out;  ///< (N, M), the sums
  Epilogue epilogue;              ///< called with each finished sum_block
};

namespace kernel {

/// first: of the products that share x.
template <class Format, class Epilogue>
void require_product(const ternary_product<Format, Epilogue>& p, const packed_view<Format>& first,
                     matrix_view<const std::int8_t> x, std::size_t workspace) {
  const packed_view<Format>& w = p.weights;
  require_shape(x, x.rows, w.cols, "ternary_matmul: x");
  require_shape(p.out, x.rows, w.rows, "ternary_matmul: out");
  if (w.run != first.run)
    throw shape_error("ternary_matmul: products of the same x with runs of different lengths");
  if (std::min(w.run, w.cols) > matmul_max_cols<Format>)
    throw shape_error("ternary_matmul: more columns than int32 sums are proven for");
  if (p.out.col_stride != 1) throw shape_error("ternary_matmul: out must be dense along its rows");
  if (workspace < ternary_matmul_workspace(w, x))
    throw shape_error("ternary_matmul: workspace smaller than ternary_matmul_workspace()");
  if (std::same_as<Epilogue, no_epilogue> && w.runs() > 1)
    throw config_error("ternary_matmul: several runs need an epilogue that takes each one's sums");
}

}  // namespace kernel

/// For each of the products out = x (N, K) * w (M, K) transposed, in int32. row_sums (N) are the
/// sums of the rows of x, as an activation quantizer gives them. The workspace is used during the
/// call only. Throws shape_error where shapes disagree, the workspace is too small or a run of
/// columns exceeds matmul_max_cols. `level` must be supported by this CPU.
/// `epilogue(sum_block)` is called with parts of the result that cover it once, on the thread that
/// has just made them. Where w has several runs it is called for each run of a part, in order; each
/// has the same place in `out`. Without an epilogue that is a config_error.
template <pack_format Format, class Epilogue>
void ternary_matmul(std::span<const ternary_product<Format, Epilogue>> products,
                    matrix_view<const std::int8_t> x, row_view<const std::int32_t> row_sums,
                    std::span<std::byte> workspace, executor_ref ex = {},
                    isa::level level = isa::active()) {
  require_size(row_sums.size, x.rows, "ternary_matmul: row sums");
  if (row_sums.stride != 1) throw shape_error("ternary_matmul: row sums must be dense");
  for (const auto& p : products)
    kernel::require_product(p, products[0].weights, x, workspace.size());
  if (products.empty() || x.rows == 0) return;
  if (x.cols == 0) {
    for (const auto& p : products) {
      for (std::size_t n = 0; n < p.out.rows; ++n) std::fill_n(p.out.row(n).data, p.out.cols, 0);
      if (p.out.cols != 0) p.epilogue({0, 0, p.out});
    }
    return;
  }

  const auto kernel = kernel::entry_of<Format>(level);
  const std::size_t most = kernel.group_size(x.rows);
  const bool tiled = x.rows >= kernel.tiled_from;
  const kernel::token_partition parts(x.rows, most != 0 ? most : x.rows);
  const auto whole = [&](const ternary_product<Format, Epilogue>& p) {
    return kernel::problem<Format>{p.weights,
                                   x.data,
                                   x.row_stride,
                                   most != 0 && !tiled,
                                   parts,
                                   row_sums.data,
                                   p.out.data,
                                   p.out.row_stride,
                                   kernel::problem<Format>::groups_of_task(x.cols, parts)};
  };
  const kernel::column_runs<Format> runs(whole(products[0]), x, tiled, workspace, ex);
  const auto task = [&](const ternary_product<Format, Epilogue>& p,
                        const kernel::problem<Format>& mine, std::size_t i) {
    const auto [row, rows, token, tokens] = mine.part(i);
    const auto sums = p.out.block(token, row, tokens, rows);
    for (std::size_t r = 0; r < runs.size(); ++r) {
      kernel::problem<Format> run = runs[r];
      run.weights = p.weights.run_view(r);
      run.out = p.out.data;
      run.out_stride = p.out.row_stride;
      kernel.run(run, i, i + 1);
      p.epilogue({token, row, sums, r});
    }
  };
  std::size_t tasks = 0;
  for (const auto& p : products) tasks += whole(p).tasks();
  // About 4M multiply-adds make a chunk worth a thread; to read and unpack weights takes as long as
  // those of eight tokens.
  const std::size_t work = 64 * (8 + std::min<std::size_t>(x.rows, 240)) * (x.cols + 1);
  ex.parallel_for(tasks, (std::size_t{1} << 22) / work + 1,
                  [&](std::size_t begin, std::size_t end) {
                    for (const auto& p : products) {
                      const kernel::problem<Format> mine = whole(p);
                      const std::size_t count = mine.tasks();
                      for (std::size_t i = begin; i < std::min(end, count); ++i) task(p, mine, i);
                      begin -= std::min(begin, count);
                      end -= std::min(end, count);
                    }
                  });
}

/// One product.
template <packed_weights W, class Epilogue = no_epilogue>
void ternary_matmul(const W& weights, matrix_view<const std::int8_t> x,
                    row_view<const std::int32_t> row_sums, matrix_view<std::int32_t> out,
                    std::span<std::byte> workspace, executor_ref ex = {},
                    isa::level level = isa::active(), const Epilogue& epilogue = {}) {
  using product = ternary_product<typename W::format, Epilogue>;
  const product one{weights, out, epilogue};
  ternary_matmul(std::span<const product>(&one, 1), x, row_sums, workspace, ex, level);
}

// Kernels of all levels cost seconds of compile time for each format in every unit; as for gemm.
#if defined(TERN_EXTERN_GEMM)
#  define TERN_PRODUCTS_OF(FORMAT, T)                                                          \
    template void ternary_matmul(std::span<const ternary_product<FORMAT, rescale<T>>>,         \
                                 matrix_view<const std::int8_t>, row_view<const std::int32_t>, \
                                 std::span<std::byte>, executor_ref, isa::level);
#  define TERN_PRODUCTS(PREFIX)                                                                \
    PREFIX TERN_PRODUCTS_OF(two_bit, float) PREFIX TERN_PRODUCTS_OF(two_bit, double)           \
        PREFIX TERN_PRODUCTS_OF(base3, float) PREFIX TERN_PRODUCTS_OF(base3, double)           \
            PREFIX TERN_PRODUCTS_OF(four_bit, float) PREFIX TERN_PRODUCTS_OF(four_bit, double) \
                PREFIX TERN_PRODUCTS_OF(eight_bit, float)                                      \
                    PREFIX TERN_PRODUCTS_OF(eight_bit, double)
TERN_PRODUCTS(extern)
#endif

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/packed_header.hpp

// The 64 bytes before packed weights that are stored or sent: docs/formats.md has them one by one.

namespace tern::inline TERN_ABI {

/// As in memory, little-endian. Scales follow at once, blocks at `blocks_at`.
struct packed_header {
  /// What `magic` must be.
  static constexpr std::array<char, 4> expected_magic{'T', 'E', 'R', 'N'};
  static constexpr std::uint16_t expected_version = 1;  ///< what `version` must be

  std::array<char, 4> magic = expected_magic;    ///< the first bytes of a file
  std::uint16_t version = expected_version;      ///< of the format
  std::uint8_t format = 0;                       ///< `id` of the pack_format
  std::uint8_t scale_bytes = 0;                  ///< 4: float, 8: double
  std::uint64_t rows = 0, cols = 0;              ///< of the weights: (out, in)
  std::uint64_t block_rows = 0, block_cols = 0;  ///< what shares a scale, within rows x cols
  std::uint64_t blocks_at = 0;                   ///< a multiple of 64
  std::uint64_t total = 0;                       ///< bytes of header, scales and blocks
  std::uint32_t zero = 0;                        ///< reserved
  std::uint32_t checksum = 0;                    ///< CRC-32 of the 60 bytes before
};
static_assert(sizeof(packed_header) == 64 && std::endian::native == std::endian::little);

/// What `checksum` must be.
inline std::uint32_t checksum_of(const packed_header& h) {
  std::array<std::uint8_t, sizeof h> bytes;
  std::memcpy(bytes.data(), &h, sizeof h);
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < offsetof(packed_header, checksum); ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

/// The header that `bytes` begin with, so that a reader can choose format and scalar. Throws
/// format_error where there is none, or one that is damaged, of another version or contradictory.
inline packed_header read_packed_header(std::span<const std::byte> bytes) {
  const auto require = [](bool ok, const std::string& otherwise) {
    if (!ok) throw format_error("packed weights: " + otherwise);
  };
  packed_header h;
  require(bytes.size() >= sizeof h, "shorter than the header of 64 bytes");
  std::memcpy(&h, bytes.data(), sizeof h);
  require(h.magic == h.expected_magic, "do not begin with 'TERN'");
  require(h.version == h.expected_version, "version " + std::to_string(h.version) + ", expected " +
                                               std::to_string(h.expected_version));
  require(h.checksum == checksum_of(h), "damaged: the header's checksum does not fit");
  require(h.zero == 0, "bytes 56 to 59 of the header must be 0");
  constexpr std::uint64_t most = std::uint64_t{1} << 48;
  require(h.rows < most && h.cols < most, "more than 2^48 rows or columns");
  const auto within = [](std::uint64_t block, std::uint64_t size) {
    return block >= 1 && (block <= size || block == 1);
  };
  require(within(h.block_rows, h.rows), "the scale block's rows are not within 1 and the rows");
  require(within(h.block_cols, h.cols),
          "the scale block's columns are not within 1 and the columns");
  return h;
}

}  // namespace tern::inline TERN_ABI

// ==== tern/quant/quantizer.hpp

// What a quantizer policy must offer, and the way back. A policy is a small struct (stateless but
// for its constants); bit_linear, ste and the packers take any type that satisfies a concept here.

namespace tern::inline TERN_ABI {

/// A size in rows and columns.
struct extents {
  std::size_t rows = 0, cols = 0;  ///< in elements
  bool operator==(const extents&) const = default;
};

/// Shape of the scales of a matrix of size `m` with one scale to each `block`, edges cut.
constexpr extents scale_extents(extents m, extents block) {
  return {(m.rows + block.rows - 1) / block.rows, (m.cols + block.cols - 1) / block.cols};
}

/// `Q::scale_block(rows, cols)`: height and width of the block that shares one scale, both at
/// least 1. Per tensor: (rows, cols); per row: (1, cols); per block: (1, 256).
template <class Q>
concept has_scale_block = requires(std::size_t n) {
  { Q::scale_block(n, n) } -> std::same_as<extents>;
};

/// `q.template quantize<T>(weights, codes, scales, executor)` fills codes of {-1, 0, +1} and scales
/// of scale_extents(...); element (r, c) stands for codes(r, c) * scales(r / bh, c / bw).
template <class Q, class T>
concept quantizes_weights = requires(
    const Q& q, matrix_view<const T> w, matrix_view<std::int8_t> codes, matrix_view<T> scales,
    executor_ref ex) { q.template quantize<T>(w, codes, scales, ex); };

/// `q.template quantize<T>(x, codes, scales, row_sums, executor)`: one scale and one sum of codes
/// to each row (token); element (r, c) stands for codes(r, c) * scales[r].
template <class Q, class T>
concept quantizes_activations =
    requires(const Q& q, matrix_view<const T> x, matrix_view<std::int8_t> codes, row_view<T> scales,
             row_view<std::int32_t> row_sums,
             executor_ref ex) { q.template quantize<T>(x, codes, scales, row_sums, ex); };

template <class Q, class T>
concept weight_quantizer = std::copyable<Q> && has_scale_block<Q> && quantizes_weights<Q, T>;

template <class Q, class T>
concept activation_quantizer = std::copyable<Q> && quantizes_activations<Q, T>;

/// True, or stops compilation with a sentence instead of a list of failed requirements.
template <class Q, class T>
consteval bool require_weight_quantizer() {
  static_assert(std::copyable<Q>, "a weight quantizer must be copyable");
  static_assert(has_scale_block<Q>,
                "a weight quantizer needs: static extents scale_block(size_t rows, size_t cols)");
  static_assert(quantizes_weights<Q, T>,
                "a weight quantizer needs: template <class T> void quantize(matrix_view<const T> "
                "w, matrix_view<int8_t> codes, matrix_view<T> scales, executor_ref) const");
  return true;
}

/// Fails to compile, and says what ActQ lacks.
template <class Q, class T>
consteval bool require_activation_quantizer() {
  static_assert(std::copyable<Q>, "an activation quantizer must be copyable");
  static_assert(quantizes_activations<Q, T>,
                "an activation quantizer needs: template <class T> void quantize(matrix_view<const "
                "T> x, matrix_view<int8_t> codes, row_view<T> scales, row_view<int32_t> row_sums, "
                "executor_ref) const");
  return true;
}

/// out(r, c) = codes(r, c) * scales(r / block.rows, c / block.cols)
template <class T>
void dequantize(matrix_view<const std::int8_t> codes, matrix_view<const T> scales, extents block,
                matrix_view<T> out, executor_ref ex = {}) {
  const extents n = scale_extents({codes.rows, codes.cols}, block);
  require_shape(scales, n.rows, n.cols, "dequantize: scales");
  require_shape(out, codes.rows, codes.cols, "dequantize: out");
  for_each_row(codes.rows, codes.cols, ex, [&](std::size_t r) {
    for (std::size_t c0 = 0; c0 < codes.cols; c0 += block.cols) {
      const T scale = scales(r / block.rows, c0 / block.cols);
      const std::size_t c1 = std::min(codes.cols, c0 + block.cols);
      for (std::size_t c = c0; c < c1; ++c) out(r, c) = static_cast<T>(codes(r, c)) * scale;
    }
  });
}

/// out(r, c) = codes(r, c) * scales[r]
template <class T>
void dequantize(matrix_view<const std::int8_t> codes, row_view<const T> scales, matrix_view<T> out,
                executor_ref ex = {}) {
  require_size(scales.size, codes.rows, "dequantize: scales");
  dequantize<T>(codes, matrix_view<const T>(scales.data, codes.rows, 1, scales.stride),
                extents{1, std::max<std::size_t>(codes.cols, 1)}, out, ex);
}

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/ternary_weights.hpp

// A quantized weight matrix as a whole: packed trits and the scales that they stand for.

namespace tern::inline TERN_ABI {

/// Non-owning: weight (r, c) is trit (r, c) times scales()(r / scale_rows, c / trits.run).
template <pack_format Format, class T = float>
struct ternary_weights_view {
  packed_view<Format> trits;      ///< (out, in); a run is the columns that share a scale
  std::size_t scale_rows = 1;     ///< rows that share a scale
  const T* scale_data = nullptr;  ///< of scales(), run after run

  /// Of the matrix, (out, in).
  [[nodiscard]] std::size_t rows() const { return trits.rows; }
  [[nodiscard]] std::size_t cols() const { return trits.cols; }
  /// What shares a scale.
  [[nodiscard]] extents block() const { return {scale_rows, trits.run}; }
  /// (ceil(rows / scale_rows), runs), run after run in memory.
  [[nodiscard]] matrix_view<const T> scales() const {
    const std::size_t n = (rows() + scale_rows - 1) / scale_rows;
    return {scale_data, n, trits.runs(), 1, n};
  }
  /// Of blocks and scales.
  [[nodiscard]] std::size_t size_bytes() const {
    return trits.size_bytes() + scales().size() * sizeof(T);
  }
};

/// Owner; converts to ternary_weights_view. Copies and moves like a vector.
template <pack_format Format, class T = float>
class ternary_weights {
 public:
  ternary_weights() = default;

  /// Real weights rounded by a policy. Holds a byte to a weight while it runs.
  template <weight_quantizer<T> Quantizer>
  ternary_weights(matrix_view<const T> w, const Quantizer& quantizer, executor_ref ex = {})
      : ternary_weights(w.rows, w.cols, Quantizer::scale_block(w.rows, w.cols)) {
    std::vector<std::int8_t> codes(w.size());
    const matrix_view<std::int8_t> view(codes.data(), w.rows, w.cols);
    quantizer.template quantize<T>(w, view, mutable_scales(), ex);
    trits_.assign(view, ex);
  }

  /// Codes of {-1, 0, +1} and one scale to each `block` of them. Throws shape_error where the
  /// scales are not of scale_extents(codes, block), config_error for other codes or an empty block.
  ternary_weights(matrix_view<const std::int8_t> codes, matrix_view<const T> scales, extents block,
                  executor_ref ex = {})
      : ternary_weights(codes.rows, codes.cols, block) {
    const matrix_view<T> to = mutable_scales();
    require_shape(scales, to.rows, to.cols, "ternary_weights: scales");
    for (std::size_t c = 0; c < to.cols; ++c)
      for (std::size_t r = 0; r < to.rows; ++r) to(r, c) = scales(r, c);
    trits_.assign(codes, ex);
  }

  /// Of the matrix, (out, in).
  [[nodiscard]] std::size_t rows() const { return trits_.rows(); }
  [[nodiscard]] std::size_t cols() const { return trits_.cols(); }
  /// Refers to this owner.
  [[nodiscard]] ternary_weights_view<Format, T> view() const {
    return {trits_.view(), scale_rows_, scales_.data()};
  }
  /// The same.
  operator ternary_weights_view<Format, T>() const { return view(); }  // NOLINT: an owner is a view

 private:
  /// A block that is larger than the matrix is cut to it.
  ternary_weights(std::size_t rows, std::size_t cols, extents block)
      : trits_(rows, cols, std::min(block.cols, std::max<std::size_t>(cols, 1))),
        scale_rows_(std::min(block.rows, std::max<std::size_t>(rows, 1))) {
    if (scale_rows_ == 0) throw config_error("ternary_weights: scale blocks of no rows");
    scales_.resize(view().scales().size());
  }

  [[nodiscard]] matrix_view<T> mutable_scales() {
    const matrix_view<const T> s = view().scales();
    return {scales_.data(), s.rows, s.cols, s.row_stride, s.col_stride};
  }

  packed_matrix<Format> trits_;
  std::size_t scale_rows_ = 1;
  std::vector<T> scales_;
};

/// Back to real weights: out(r, c) = trit * scale.
template <pack_format Format, class T>
void dequantize(const ternary_weights_view<Format, T>& w, matrix_view<T> out,
                executor_ref ex = {}) {
  require_shape(out, w.rows(), w.cols(), "dequantize: out");
  const matrix_view<const T> scales = w.scales();
  detail::for_each_trit(w.trits, ex, [&](std::size_t r, std::size_t c, std::int8_t trit) {
    out(r, c) = static_cast<T>(trit) * scales(r / w.scale_rows, c / w.trits.run);
  });
}

/// One row of them; out: cols() elements.
template <pack_format Format, class T>
void dequantize_row(const ternary_weights_view<Format, T>& w, std::size_t r, row_view<T> out) {
  require_size(out.size, w.cols(), "dequantize_row: out");
  const matrix_view<const T> scales = w.scales();
  const std::size_t in_block = r % Format::rows;
  std::array<std::int8_t, Format::rows * Format::cols> block;
  const packed_block* at = w.trits.panel(r / Format::rows);
  for (std::size_t c = 0; c < w.cols(); ++at) {
    Format::unpack(*at, block.data(), Format::cols);
    const std::size_t run = c / w.trits.run;
    const std::size_t end = std::min({c + Format::cols, (run + 1) * w.trits.run, w.cols()});
    const std::int8_t* code = &block[in_block * Format::cols];
    for (; c < end; ++c) out[c] = static_cast<T>(*code++) * scales(r / w.scale_rows, run);
  }
}

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/packed_bytes.hpp

// Packed weights as bytes and back without a copy: header, scales, blocks at multiples of 64. What
// reads or maps the bytes is the caller's; io/packed_file.hpp does it for files.

namespace tern::inline TERN_ABI {

/// A format with a number of its own in headers; 1 to 127 are the library's.
template <class Format>
concept stored_format =
    pack_format<Format> && requires { requires Format::id > 0 && Format::id < 256; };

/// What serialize() writes first.
template <stored_format Format, class T>
packed_header header_of(const ternary_weights_view<Format, T>& w) {
  static_assert(std::same_as<T, float> || std::same_as<T, double>);
  packed_header h;
  h.format = Format::id;
  h.scale_bytes = sizeof(T);
  h.rows = w.rows();
  h.cols = w.cols();
  h.block_rows = w.block().rows;
  h.block_cols = w.block().cols;
  h.blocks_at = sizeof h + (w.scales().size() * sizeof(T) + 63) / 64 * 64;
  h.total = h.blocks_at + w.trits.size_bytes();
  h.checksum = checksum_of(h);
  return h;
}

/// Gives the bytes in order, in pieces, to sink(std::span<const std::byte>).
template <stored_format Format, class T, class Sink>
void for_each_part(const ternary_weights_view<Format, T>& w, Sink sink) {
  const packed_header header = header_of(w);
  const auto scales = std::as_bytes(std::span(w.scale_data, w.scales().size()));
  constexpr std::array<std::byte, 64> zeros{};
  sink(std::as_bytes(std::span(&header, 1)));
  sink(scales);
  sink(std::span(zeros).first(header.blocks_at - sizeof header - scales.size()));
  sink(std::as_bytes(std::span(w.trits.data, w.trits.size_bytes() / sizeof(packed_block))));
}

/// Fills `to`, of header_of(w).total bytes. Throws shape_error where it is of another size.
template <stored_format Format, class T>
void serialize(const ternary_weights_view<Format, T>& w, std::span<std::byte> to) {
  require_size(to.size(), header_of(w).total, "serialize: bytes");
  for_each_part(w, [&](std::span<const std::byte> part) {
    if (!part.empty()) std::memcpy(to.data(), part.data(), part.size());
    to = to.subspan(part.size());
  });
}

/// The weights that lie in `bytes`, which must be aligned to 64 and outlive the view. Throws
/// config_error where they are not aligned, format_error where they are not exactly what serialize
/// wrote of this Format and T; blocks and scales themselves are not looked at.
template <stored_format Format, class T = float>
ternary_weights_view<Format, T> view_bytes(std::span<const std::byte> bytes) {
  const packed_header h = read_packed_header(bytes);
  const auto fail = [](const std::string& what) { throw format_error("packed weights: " + what); };
  const auto expect = [&](std::uint64_t got, std::uint64_t expected, const char* what) {
    if (got != expected)
      fail(what + (" " + std::to_string(got)) + ", expected " + std::to_string(expected));
  };
  expect(h.format, Format::id, "format");
  expect(h.scale_bytes, sizeof(T), "bytes of a scale");
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % sizeof(packed_block) != 0)
    throw config_error("packed weights: the bytes must be aligned to 64");

  ternary_weights_view<Format, T> w{{nullptr, h.rows, h.cols, h.block_cols}, h.block_rows};
  // Divided, so that no product overflows.
  const auto fits = [&](std::size_t a, std::size_t b, std::size_t size) {
    return b == 0 || a <= bytes.size() / size / b;
  };
  if (!fits(w.trits.panels(), w.trits.panel_blocks(), sizeof(packed_block)) ||
      !fits(w.scales().rows, w.scales().cols, sizeof(T)))
    fail("cut off: the blocks and scales do not fit into " + std::to_string(bytes.size()) +
         " bytes");
  const packed_header expected = header_of(w);
  expect(h.blocks_at, expected.blocks_at, "offset of the blocks");
  expect(h.total, expected.total, "total bytes");
  expect(bytes.size(), h.total, "bytes given");
  for (std::size_t i = sizeof h + w.scales().size() * sizeof(T); i < h.blocks_at; ++i)
    if (bytes[i] != std::byte{0}) fail("padding behind the scales is not 0");
  w.trits.data = reinterpret_cast<const packed_block*>(bytes.data() + h.blocks_at);
  w.scale_data = reinterpret_cast<const T*>(bytes.data() + sizeof h);
  return w;
}

}  // namespace tern::inline TERN_ABI

// ==== tern/quant/absmax_row.hpp

// absmax_int8 of one token of floats by the instructions of the CPU, whatever flags the translation
// unit has; what it is compiled for is SSE2 in a program without any. (On AArch64 it is NEON.)
//
// A register of floats takes 6 operations of the vector ports and 2 loads:
//   max_abs      vpand, vpmaxsd
//   store_codes  vmulps, vcvtps2dq, vpaddd, and a quarter of 3 packs and a permutation (port 5)
// On three ports for ymm (p015) and two for zmm (p05) that is 256 and 192 cycles for 1024 values.

#if TERN_X86
#  include <immintrin.h>

TERN_TARGET_BEGIN("avx2")
namespace tern::inline TERN_ABI::quant::avx2 {

struct ops {
  using reg = __m256i;
  static constexpr std::size_t lanes = 8;

  TERN_INLINE static reg fill(std::int32_t v) { return _mm256_set1_epi32(v); }
  TERN_INLINE static __m256 fill(float v) { return _mm256_set1_ps(v); }
  TERN_INLINE static void store(void* p, reg a) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), a);
  }
  TERN_INLINE static reg add(reg a, reg b) { return _mm256_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm256_max_epi32(a, b); }
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(p)), fill(0x7FFFFFFF));
  }
  TERN_INLINE static reg round(const float* p, __m256 factor) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p), factor));
  }
  TERN_INLINE static reg narrow(reg a, reg b, reg c, reg d) {
    const reg bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  }
};

// The two passes of absmax_int8 over one token, included once per level inside its region. Neither
// adds a product to anything, so that nothing is contracted: the bits are those of the definition.

/// Values whose codes fill a register.
inline constexpr std::size_t block = 4 * ops::lanes;

/// A block from x on; the last values of a token by way of `part`, followed by zeros.
TERN_INLINE const float* whole_block(const float* x, std::size_t left, float (&part)[block]) {
  if (left >= block) return x;
  std::memcpy(part, x, left * sizeof(float));
  return part;
}

/// Largest |x[i]|, not finite where a value is not. Magnitudes are ordered as their bits: first the
/// finite ones, then infinity, then NaN.
inline float max_abs(const float* x, std::size_t n) {
  alignas(64) float part[block] = {};
  ops::reg a = ops::fill(0), b = a, c = a, d = a;
  for (std::size_t i = 0; i < n; i += block) {
    const float* from = whole_block(x + i, n - i, part);
    a = ops::max(a, ops::magnitude(from));
    b = ops::max(b, ops::magnitude(from + ops::lanes));
    c = ops::max(c, ops::magnitude(from + 2 * ops::lanes));
    d = ops::max(d, ops::magnitude(from + 3 * ops::lanes));
  }
  alignas(64) std::int32_t bits[ops::lanes];
  ops::store(bits, ops::max(ops::max(a, b), ops::max(c, d)));
  std::int32_t most = 0;
  for (const std::int32_t each : bits) most = each > most ? each : most;
  float g;
  std::memcpy(&g, &most, sizeof g);
  return g;
}

/// codes[i] = x[i] * factor rounded half to even, which int8 must hold; returns their sum.
inline std::int32_t store_codes(const float* x, std::size_t n, float factor, std::int8_t* codes) {
  alignas(64) float part[block] = {};
  const auto factors = ops::fill(factor);
  ops::reg sums = ops::fill(0);
  for (std::size_t i = 0; i < n; i += block) {
    const float* from = whole_block(x + i, n - i, part);
    const ops::reg a = ops::round(from, factors), b = ops::round(from + ops::lanes, factors),
                   c = ops::round(from + 2 * ops::lanes, factors),
                   d = ops::round(from + 3 * ops::lanes, factors);
    sums = ops::add(sums, ops::add(ops::add(a, b), ops::add(c, d)));
    const ops::reg bytes = ops::narrow(a, b, c, d);
    if (n - i >= block) {
      ops::store(codes + i, bytes);
    } else {
      alignas(64) std::int8_t last[block];
      ops::store(last, bytes);
      std::memcpy(codes + i, last, n - i);
    }
  }
  alignas(64) std::int32_t lane[ops::lanes];
  ops::store(lane, sums);
  std::int32_t sum = 0;
  for (const std::int32_t each : lane) sum += each;
  return sum;
}

}  // namespace tern::inline TERN_ABI::quant::avx2
TERN_TARGET_END

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::quant::avx512bw {

struct ops {
  using reg = __m512i;
  static constexpr std::size_t lanes = 16;

  // The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
  TERN_INLINE static reg fill(std::int32_t v) { return _mm512_set1_epi32(v); }
  TERN_INLINE static __m512 fill(float v) { return _mm512_set1_ps(v); }
  TERN_INLINE static void store(void* p, reg a) { _mm512_storeu_si512(p, a); }
  TERN_INLINE static reg add(reg a, reg b) { return _mm512_add_epi32(a, b); }
  TERN_INLINE static reg max(reg a, reg b) { return _mm512_maskz_max_epi32(0xFFFF, a, b); }
  TERN_INLINE static reg magnitude(const float* p) {
    return _mm512_and_si512(_mm512_loadu_si512(p), fill(0x7FFFFFFF));
  }
  TERN_INLINE static reg round(const float* p, __m512 factor) {
    return _mm512_maskz_cvtps_epi32(0xFFFF, _mm512_mul_ps(_mm512_loadu_ps(p), factor));
  }
  TERN_INLINE static reg narrow(reg a, reg b, reg c, reg d) {
    const reg bytes = _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    const reg order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_maskz_permutexvar_epi32(0xFFFF, order, bytes);
  }
};

// The two passes of absmax_int8 over one token, included once per level inside its region. Neither
// adds a product to anything, so that nothing is contracted: the bits are those of the definition.

/// Values whose codes fill a register.
inline constexpr std::size_t block = 4 * ops::lanes;

/// A block from x on; the last values of a token by way of `part`, followed by zeros.
TERN_INLINE const float* whole_block(const float* x, std::size_t left, float (&part)[block]) {
  if (left >= block) return x;
  std::memcpy(part, x, left * sizeof(float));
  return part;
}

/// Largest |x[i]|, not finite where a value is not. Magnitudes are ordered as their bits: first the
/// finite ones, then infinity, then NaN.
inline float max_abs(const float* x, std::size_t n) {
  alignas(64) float part[block] = {};
  ops::reg a = ops::fill(0), b = a, c = a, d = a;
  for (std::size_t i = 0; i < n; i += block) {
    const float* from = whole_block(x + i, n - i, part);
    a = ops::max(a, ops::magnitude(from));
    b = ops::max(b, ops::magnitude(from + ops::lanes));
    c = ops::max(c, ops::magnitude(from + 2 * ops::lanes));
    d = ops::max(d, ops::magnitude(from + 3 * ops::lanes));
  }
  alignas(64) std::int32_t bits[ops::lanes];
  ops::store(bits, ops::max(ops::max(a, b), ops::max(c, d)));
  std::int32_t most = 0;
  for (const std::int32_t each : bits) most = each > most ? each : most;
  float g;
  std::memcpy(&g, &most, sizeof g);
  return g;
}

/// codes[i] = x[i] * factor rounded half to even, which int8 must hold; returns their sum.
inline std::int32_t store_codes(const float* x, std::size_t n, float factor, std::int8_t* codes) {
  alignas(64) float part[block] = {};
  const auto factors = ops::fill(factor);
  ops::reg sums = ops::fill(0);
  for (std::size_t i = 0; i < n; i += block) {
    const float* from = whole_block(x + i, n - i, part);
    const ops::reg a = ops::round(from, factors), b = ops::round(from + ops::lanes, factors),
                   c = ops::round(from + 2 * ops::lanes, factors),
                   d = ops::round(from + 3 * ops::lanes, factors);
    sums = ops::add(sums, ops::add(ops::add(a, b), ops::add(c, d)));
    const ops::reg bytes = ops::narrow(a, b, c, d);
    if (n - i >= block) {
      ops::store(codes + i, bytes);
    } else {
      alignas(64) std::int8_t last[block];
      ops::store(last, bytes);
      std::memcpy(codes + i, last, n - i);
    }
  }
  alignas(64) std::int32_t lane[ops::lanes];
  ops::store(lane, sums);
  std::int32_t sum = 0;
  for (const std::int32_t each : lane) sum += each;
  return sum;
}

}  // namespace tern::inline TERN_ABI::quant::avx512bw
TERN_TARGET_END
#endif

namespace tern::inline TERN_ABI::quant {

/// The functions of generic/absmax_row.inl at a level; null where it has none of its own.
struct absmax_row {
  /// Of n elements; their codes at x * factor, whose sum is returned.
  float (*max_abs)(const float* x, std::size_t n) = nullptr;
  std::int32_t (*store_codes)(const float* x, std::size_t n, float factor,
                              std::int8_t* codes) = nullptr;
};

/// Those of the best level not above `level`.
inline absmax_row absmax_row_of([[maybe_unused]] isa::level level) {
#if TERN_X86
  if (level >= isa::level::avx512bw) return {avx512bw::max_abs, avx512bw::store_codes};
  if (level >= isa::level::avx2) return {avx2::max_abs, avx2::store_codes};
#endif
  return {};
}

}  // namespace tern::inline TERN_ABI::quant

// ==== tern/quant/codes.hpp

// Real numbers to int8 codes, shared by the policies. The loops that leave T use the vector
// extension of g++ and clang: xsimd converts neither to int8 nor from float to double.

namespace tern::inline TERN_ABI::quant {

/// Sum of |x[i]| in double, eight lanes at a time on every machine: the same bits everywhere.
template <class T>
double sum_abs(row_view<const T> x) {
  using reals [[gnu::vector_size(4 * sizeof(T))]] = T;
  using doubles [[gnu::vector_size(4 * sizeof(double))]] = double;
  doubles low{}, high{};
  std::array<T, 8> buffer{};
  for (std::size_t i = 0; i < x.size; i += 8) {
    const bool direct = x.stride == 1 && x.size - i >= 8;
    if (!direct)
      for (std::size_t k = 0; k < 8; ++k) buffer[k] = i + k < x.size ? x[i + k] : T(0);
    const T* from = direct ? x.data + i : buffer.data();
    reals a, b;
    std::memcpy(&a, from, sizeof a);
    std::memcpy(&b, from + 4, sizeof b);
    low += __builtin_convertvector(a < 0 ? -a : a, doubles);
    high += __builtin_convertvector(b < 0 ? -b : b, doubles);
  }
  low += high;
  return (low[0] + low[1]) + (low[2] + low[3]);
}

/// Whole numbers in [-128, 127] to bytes, 64 of them; returns their sum. By way of int16, which
/// g++ turns into packing instructions.
template <class T>
std::int32_t narrow(const T* from, std::int8_t* to) {
  using reals [[gnu::vector_size(8 * sizeof(T))]] = T;
  using ints [[gnu::vector_size(32)]] = std::int32_t;
  using shorts [[gnu::vector_size(16)]] = std::int16_t;
  using bytes [[gnu::vector_size(8)]] = std::int8_t;
  shorts total{};
  for (std::size_t k = 0; k < 64; k += 8) {
    reals r;
    std::memcpy(&r, from + k, sizeof r);
    const shorts whole = __builtin_convertvector(__builtin_convertvector(r, ints), shorts);
    const bytes b = __builtin_convertvector(whole, bytes);
    std::memcpy(to + k, &b, sizeof b);
    total += whole;
  }
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < 8; ++k) sum += total[k];
  return sum;
}

/// codes[i] = f(x[i]) and the sum of the codes. f maps batches to batches of whole numbers in
/// [-128, 127].
template <class T, class F>
std::int32_t store_codes(row_view<const T> x, row_view<std::int8_t> codes, F f) {
  constexpr std::size_t chunk = 64;
  alignas(64) std::array<T, chunk> buffer{};
  std::array<std::int8_t, chunk> part;
  std::int32_t total = 0;
  for (std::size_t i = 0; i < x.size; i += chunk) {
    const std::size_t n = std::min(chunk, x.size - i);
    if (n < chunk) buffer.fill(T(0));
    simd::transform(row_view<T>(buffer.data(), n), f,
                    row_view<const T>(x.data + i * x.stride, n, x.stride));
    if (n == chunk && codes.stride == 1) {
      total += narrow(buffer.data(), codes.data + i);
    } else {
      total += narrow(buffer.data(), part.data());
      for (std::size_t k = 0; k < n; ++k) codes[i + k] = part[k];
    }
  }
  return total;
}

}  // namespace tern::inline TERN_ABI::quant

// ==== tern/quant/absmax_int8.hpp

// Int8 activations with one scale per token (BitNet Distillation, section 3.1):
//   g = max|x|,  Q(x) = g / 127 * clip(round(127 / (g + eps) * x), -128, 127),  half to even.

namespace tern::inline TERN_ABI {

/// The activation_quantizer of BitNet b1.58 and BitNet Distillation.
struct absmax_int8 {
  /// Keeps the factor finite; tokens far below it become 0. Must be positive.
  double eps = 1e-5;

  /// x (N, K) -> codes (N, K) within [-127, 127], scales (N) = g / 127, row_sums (N) = sums of
  /// codes. A token with a value that is not finite gets codes 0 and scale NaN, so that what is
  /// computed from it is NaN. The clip of the definition never acts: |x| <= g. `level` must be
  /// supported by this CPU; all give the same bits.
  template <class T>
  void quantize(matrix_view<const T> x, matrix_view<std::int8_t> codes, row_view<T> scales,
                row_view<std::int32_t> row_sums, executor_ref ex = {},
                isa::level level = isa::active()) const {
    require_shape(codes, x.rows, x.cols, "absmax_int8: codes");
    require_size(scales.size, x.rows, "absmax_int8: scales");
    require_size(row_sums.size, x.rows, "absmax_int8: row sums");
    const bool dense = x.col_stride == 1 && codes.col_stride == 1;
    const auto row = dense ? quant::absmax_row_of(level) : quant::absmax_row{};
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      scales[r] = quantize_row<T>(x.row(r), codes.row(r), row_sums[r], row);
    });
  }

 private:
  template <class T>
  T quantize_row(row_view<const T> x, row_view<std::int8_t> codes, std::int32_t& row_sum,
                 const quant::absmax_row& row) const {
    if constexpr (std::same_as<T, float>)
      if (row.max_abs != nullptr) {
        const float g = row.max_abs(x.data, x.size);
        if (!std::isfinite(g)) return not_finite<T>(codes, row_sum);
        row_sum = row.store_codes(x.data, x.size, factor(g), codes.data);
        return g / 127;
      }
    const T g = simd::max_abs(x);
    const simd::batch<T> factors(factor(g)), zero(T(0));
    auto finite = zero == zero;  // v * factor is NaN for NaN itself, and for inf: 127 / g is 0
    row_sum = quant::store_codes<T>(x, codes, [&](const simd::batch<T>& v) {
      const simd::batch<T> y = xsimd::nearbyint(v * factors);
      finite = finite & (y == y);
      return xsimd::select(y == y, y, zero);
    });
    return xsimd::all(finite) ? g / 127 : not_finite<T>(codes, row_sum);
  }

  template <class T>
  [[nodiscard]] T factor(T g) const {
    return T(127) / (g + static_cast<T>(eps));
  }

  template <class T>
  static T not_finite(row_view<std::int8_t> codes, std::int32_t& row_sum) {
    for (std::size_t i = 0; i < codes.size; ++i) codes[i] = 0;
    row_sum = 0;
    return std::numeric_limits<T>::quiet_NaN();
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/quant/trits.hpp

// Real weights to trits by their mean magnitude, the rule that the absmean policies share:
//   code = clip(round(w / (D + eps)), -1, 1),  D = mean|w| of all that share a scale,  half to
//   even.

namespace tern::inline TERN_ABI::quant {

/// `scale` itself; throws numeric_error naming the policy where it is not finite.
template <class T>
T finite_scale(T scale, std::string_view policy) {
  if (std::isfinite(scale)) return scale;
  throw numeric_error(std::string(policy) + ": the mean of |weights| is not finite");
}

/// codes[i] of {-1, 0, +1} for w[i], whose scale is `mean`.
template <class T>
void store_trits(row_view<const T> w, row_view<std::int8_t> codes, T mean, double eps) {
  // round(w / d) is +1 exactly where w > d / 2: the tie goes to the even 0.
  const simd::batch<T> half((mean + static_cast<T>(eps)) / 2), zero(T(0)), one(T(1));
  store_codes<T>(w, codes, [&](const simd::batch<T>& v) {
    return xsimd::select(v > half, one, zero) - xsimd::select(v < -half, one, zero);
  });
}

/// One scale to `width` columns of a row: w (M, K) -> codes (M, K), scales (M, ceil(K / width)).
template <class T>
void quantize_runs(matrix_view<const T> w, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                   std::size_t width, double eps, std::string_view policy, executor_ref ex) {
  require_shape(codes, w.rows, w.cols, std::string(policy) + ": codes");
  require_shape(scales, w.rows, (w.cols + width - 1) / width, std::string(policy) + ": scales");
  for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
    for (std::size_t c = 0, i = 0; c < w.cols; c += width, ++i) {
      const std::size_t n = std::min(width, w.cols - c);
      const row_view<const T> run = w.block(r, c, 1, n).row(0);
      const T mean = static_cast<T>(sum_abs(run) / static_cast<double>(n));
      scales(r, i) = finite_scale(mean, policy);
      store_trits<T>(run, codes.block(r, c, 1, n).row(0), mean, eps);
    }
  });
}

}  // namespace tern::inline TERN_ABI::quant

// ==== tern/quant/absmean.hpp

// Ternary weights with one scale per tensor (BitNet b1.58; BitNet Distillation, section 3.1):
//   D = mean|W|,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  rounding half to even.

namespace tern::inline TERN_ABI {

struct absmean {
  /// Keeps the quotient finite; weights far below it all become 0. Must be positive.
  double eps = 1e-5;

  /// The whole matrix.
  static constexpr extents scale_block(std::size_t rows, std::size_t cols) {
    return {std::max<std::size_t>(rows, 1), std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (1, 1). The mean is taken in double in
  /// an order that depends on the shape alone. Throws numeric_error where it is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    require_shape(codes, weights.rows, weights.cols, "absmean: codes");
    if (weights.size() == 0) return;
    require_shape(scales, 1, 1, "absmean: scales");
    const T mean = quant::finite_scale(mean_abs(weights, ex), "absmean");
    scales(0, 0) = mean;
    for_each_row(weights.rows, weights.cols, ex, [&](std::size_t r) {
      quant::store_trits<T>(weights.row(r), codes.row(r), mean, eps);
    });
  }

  /// mean|W|, 0 for an empty matrix.
  template <class T>
  static T mean_abs(matrix_view<const T> w, executor_ref ex = {}) {
    if (w.size() == 0) return T(0);
    std::array<double, 64> partial{};
    const std::size_t rows = (w.rows + partial.size() - 1) / partial.size();
    for_each_row(partial.size(), rows * w.cols, ex, [&](std::size_t i) {
      for (std::size_t r = i * rows; r < std::min(w.rows, (i + 1) * rows); ++r)
        partial[i] += quant::sum_abs(w.row(r));
    });
    const double total = std::accumulate(partial.begin(), partial.end(), 0.0);
    return static_cast<T>(total / static_cast<double>(w.size()));
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/quant/block.hpp

// Ternary weights with one scale to each N columns of a row (BitNet Distillation, "block"):
//   D = mean|W| of the block,  Q(W) = D * clip(round(W / (D + eps)), -1, 1),  half to even.

namespace tern::inline TERN_ABI {

/// Usual N: 64, 128, 256. Blocks begin anew in every row, the last one of a row may be shorter. The
/// paper's code cuts the matrix as one flat array into blocks of 256 instead, which is the same
/// where K is a multiple of 256.
template <std::size_t N>
  requires(N > 0)
struct block {
  /// Keeps the quotient finite; blocks far below it become 0. Must be positive.
  double eps = 1e-5;

  /// N columns of a row.
  static constexpr extents scale_block(std::size_t, std::size_t) { return {1, N}; }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, ceil(K / N)). Each mean is taken as
  /// that of absmean. Throws numeric_error where one is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    quant::quantize_runs<T>(weights, codes, scales, N, eps, "block", ex);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/quant/per_channel.hpp

// Ternary weights with one scale to each output row (BitNet Distillation, "per-channel"):
//   D_m = mean|W_m|,  Q(W_m) = D_m * clip(round(W_m / (D_m + eps)), -1, 1),  rounding half to even.

namespace tern::inline TERN_ABI {

struct per_channel {
  /// Keeps the quotient finite; rows far below it become 0. Must be positive.
  double eps = 1e-5;

  /// A row.
  static constexpr extents scale_block(std::size_t, std::size_t cols) {
    return {1, std::max<std::size_t>(cols, 1)};
  }

  /// weights (M, K) -> codes (M, K) of {-1, 0, +1}, scales (M, 1). Each mean is taken as that of
  /// absmean. Throws numeric_error where one is not finite.
  template <class T>
  void quantize(matrix_view<const T> weights, matrix_view<std::int8_t> codes, matrix_view<T> scales,
                executor_ref ex = {}) const {
    const std::size_t width = scale_block(weights.rows, weights.cols).cols;
    quant::quantize_runs<T>(weights, codes, scales, width, eps, "per_channel", ex);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/grad/ste.hpp

// Straight-through estimator (Bengio et al. 2013) around a quantizer policy: the forward rounds,
// the backward is the identity. BitNet: y = x + stop_gradient(Q(x) - x).

namespace tern::inline TERN_ABI {

/// Quantizer: a weight_quantizer or an activation_quantizer of T.
template <class Quantizer, class T = float>
struct ste {
  static_assert(
      weight_quantizer<Quantizer, T> || activation_quantizer<Quantizer, T>,
      "the quantizer of ste must be copyable and have, const and for any scalar, "
      "quantize(w, codes, scales, executor_ref) with a static scale_block(rows, cols), or "
      "quantize(x, codes, scales, row_sums, executor_ref)");

  /// y = x + lambda (Q(x) - x), where Q(x) is the dequantised code; exactly Q(x) for lambda = 1.
  /// lambda = min(step / warm, 1) is the warm-up that turns quantization on gradually. x, y: same
  /// shape, may be one; `scratch` holds a byte to an element and the scales.
  static void forward(matrix_view<const T> x, matrix_view<T> y, arena& scratch, T lambda = T(1),
                      executor_ref ex = {}, const Quantizer& quantizer = {}) {
    require_shape(y, x.rows, x.cols, "ste: y");
    const arena_scope temporaries(scratch);
    const matrix_view<T> rounded = lambda == T(1) ? y : scratch.template matrix<T>(x.rows, x.cols);
    round_trip(x, rounded, scratch, quantizer, ex);
    if (lambda == T(1)) return;
    const simd::batch<T> l(lambda);
    for (std::size_t r = 0; r < x.rows; ++r)
      simd::transform(
          y.row(r), [&](const auto& v, const auto& q) { return v + l * (q - v); }, x.row(r),
          row_view<const T>(rounded.row(r)));
  }

  /// dx += dy, whatever lambda was. A null dx is skipped.
  static void backward(matrix_view<const T> dy, matrix_view<T> dx) {
    if (!dx) return;
    require_shape(dx, dy.rows, dy.cols, "ste: dx");
    for (std::size_t r = 0; r < dy.rows; ++r) simd::axpy(T(1), dy.row(r), dx.row(r));
  }

 private:
  static void round_trip(matrix_view<const T> x, matrix_view<T> out, arena& scratch,
                         const Quantizer& quantizer, executor_ref ex) {
    const matrix_view<std::int8_t> codes = scratch.template matrix<std::int8_t>(x.rows, x.cols);
    if constexpr (weight_quantizer<Quantizer, T>) {
      const extents block = Quantizer::scale_block(x.rows, x.cols);
      const extents n = scale_extents({x.rows, x.cols}, block);
      const matrix_view<T> scales = scratch.template matrix<T>(n.rows, n.cols);
      quantizer.template quantize<T>(x, codes, scales, ex);
      dequantize<T>(codes, scales, block, out, ex);
    } else {
      const row_view<T> scales(scratch.template allocate<T>(x.rows), x.rows);
      const row_view<std::int32_t> sums(scratch.template allocate<std::int32_t>(x.rows), x.rows);
      quantizer.template quantize<T>(x, codes, scales, sums, ex);
      dequantize<T>(codes, row_view<const T>(scales), out, ex);
    }
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/linalg/avx512.hpp

// Single-precision matrix product for AVX-512, whatever flags the translation unit has.
//
//   vfmadd231ps zmm   latency 4   2/cycle (1/cycle on Zen 4)
//   tile: 16 products, 2 loads and 8 broadcasts for 8 rows x 32 columns x 1 step of k

#if TERN_X86
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
namespace tern::inline TERN_ABI::detail::avx512 {

struct ops {
  using scalar = float;
  using reg = __m512;
  static constexpr std::size_t lanes = 16, tile_rows = 8;

  TERN_INLINE static reg zero() { return _mm512_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm512_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm512_loadu_ps(p); }
  TERN_INLINE static void store(float* p, reg a) { _mm512_storeu_ps(p, a); }
  /// Of up to `lanes` elements; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    _mm512_mask_storeu_ps(p, first(n), a);
  }
  TERN_INLINE static __mmask16 first(std::size_t n) {
    return static_cast<__mmask16>(n >= lanes ? 0xFFFFu : (1u << n) - 1u);
  }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm512_fmadd_ps(a, b, c); }

  /// 16 x 16: row i of the result holds element i of every row of the argument.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    reg t[lanes];  // t[4 g + j]: columns j, j + 4, j + 8, j + 12 of rows 4 g ... 4 g + 3
#  pragma GCC unroll 4
    for (std::size_t i = 0; i < lanes; i += 4) {
      const __m512d a = low_pairs(r[i], r[i + 1]), b = high_pairs(r[i], r[i + 1]),
                    c = low_pairs(r[i + 2], r[i + 3]), d = high_pairs(r[i + 2], r[i + 3]);
      t[i] = low_quads(a, c);
      t[i + 1] = high_quads(a, c);
      t[i + 2] = low_quads(b, d);
      t[i + 3] = high_quads(b, d);
    }
#  pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      const reg a = even_quarters(t[j], t[j + 4]), b = odd_quarters(t[j], t[j + 4]),
                c = even_quarters(t[j + 8], t[j + 12]), d = odd_quarters(t[j + 8], t[j + 12]);
      r[j] = even_quarters(a, c);
      r[j + 4] = even_quarters(b, d);
      r[j + 8] = odd_quarters(a, c);
      r[j + 12] = odd_quarters(b, d);
    }
  }

 private:
  // The zero-masked forms: g++ 12 warns of the undefined source inside the plain ones.
  TERN_INLINE static __m512d low_pairs(reg a, reg b) {
    return _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xFFFF, a, b));
  }
  TERN_INLINE static __m512d high_pairs(reg a, reg b) {
    return _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xFFFF, a, b));
  }
  TERN_INLINE static reg low_quads(__m512d a, __m512d b) {
    return _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, a, b));
  }
  TERN_INLINE static reg high_quads(__m512d a, __m512d b) {
    return _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, a, b));
  }
  /// Quarters 0 and 2 of both, or 1 and 3.
  TERN_INLINE static reg even_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0x88);
  }
  TERN_INLINE static reg odd_quarters(reg a, reg b) {
    return _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, 0xDD);
  }
};

// Dense matrix product of one thread, included once per instruction set inside its region. The
// scheme is Goto's (Goto and van de Geijn 2008): a block of A is packed into panels of a tile's
// rows that stay in L2, a strip of two registers' columns of B stays in L1, a tile of sums in
// registers. Ops names the scalar, its registers and the rows of a tile, which are multiples of a
// register's lanes or fewer.

/// Columns of a strip of B, then steps and rows of a block of A, which takes at most 256 KiB.
template <class Ops>
inline constexpr std::size_t tile_cols = 2 * Ops::lanes;
inline constexpr std::size_t block_depth = 256;
template <class Ops>
inline constexpr std::size_t block_rows =
    1024 / sizeof(typename Ops::scalar) / Ops::tile_rows * Ops::tile_rows;

/// Step p of up to a register of lines to to[p * width + i], zeros past the last line. A line is a
/// row of A or a column of B; element p of line i lies at from[i * line + p * step], one of the two
/// being 1. Where a width is less than a register, the next step's elements cover the zeros.
template <class Ops, class T = typename Ops::scalar>
void pack_register(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                   std::size_t step, T* to, std::size_t width) {
  constexpr std::size_t lanes = Ops::lanes;
  if (line == 1) {
    for (std::size_t p = 0; p < depth; ++p)
      Ops::store(to + p * width, Ops::load(from + p * step, lines));
    return;
  }
  for (std::size_t p = 0; p < depth; p += lanes) {
    const std::size_t n = std::min(lanes, depth - p);
    typename Ops::reg r[lanes];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      r[i] = i < lines ? Ops::load(from + i * line + p, n) : Ops::zero();
    Ops::transpose(r);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) Ops::store(to + (p + i) * width, r[i]);
  }
}

/// The same for a panel of up to `width` lines.
template <class Ops, class T = typename Ops::scalar>
void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                std::size_t step, T* to, std::size_t width) {
  for (std::size_t v = 0; v < width; v += Ops::lanes) {
    const std::size_t first = std::min(v, lines), n = std::min(Ops::lanes, lines - first);
    pack_register<Ops>(from + first * line, n, line, depth, step, to + v, width);
  }
}

/// c (rows x cols, up to Rows and V registers) = alpha a b, or c += alpha a b; a and b packed.
template <class Ops, std::size_t Rows, std::size_t V, class T = typename Ops::scalar>
void tile(T alpha, const T* a, const T* b, std::size_t depth, T* c, std::size_t stride,
          std::size_t rows, std::size_t cols, bool accumulate) {
  constexpr std::size_t lanes = Ops::lanes;
  typename Ops::reg sum[Rows][V];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::zero();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v) __builtin_prefetch(c + i * stride + v * lanes);
  for (std::size_t p = 0; p < depth; ++p, a += Ops::tile_rows, b += tile_cols<Ops>) {
    typename Ops::reg right[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) right[v] = Ops::load(b + v * lanes);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Rows; ++i) {
      const typename Ops::reg left = Ops::fill(a[i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::multiply_add(left, right[v], sum[i][v]);
    }
  }
  const typename Ops::reg factor = Ops::fill(alpha);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const std::size_t n = std::min(lanes, cols - v * lanes);
      T* const at = c + i * stride + v * lanes;
      const typename Ops::reg before = accumulate ? Ops::load(at, n) : Ops::zero();
      Ops::store(at, Ops::multiply_add(factor, sum[i][v], before), n);
    }
}

/// c = alpha a b, or c += alpha a b; c row-major, a and b in either order. An element's sum depends
/// on its row and its column alone: no way to split the product changes its bits.
template <class Ops, class T = typename Ops::scalar>
void gemm(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
          bool accumulate) {
  constexpr std::size_t tile_rows = Ops::tile_rows;
  // A register more than the block: the last store of a narrower panel is as wide.
  alignas(64) T left[block_rows<Ops> * block_depth + Ops::lanes];
  alignas(64) T right[block_depth * tile_cols<Ops>];
  std::size_t p = 0;
  do {
    const std::size_t depth = std::min(block_depth, a.cols - p);
    const bool add = accumulate || p > 0;
    for (std::size_t r = 0; r < c.rows; r += block_rows<Ops>) {
      const std::size_t rows = std::min(block_rows<Ops>, c.rows - r);
      for (std::size_t i = 0; i < rows; i += tile_rows)
        pack_panel<Ops>(&a(r + i, p), std::min(tile_rows, rows - i), a.row_stride, depth,
                        a.col_stride, left + i * depth, tile_rows);
      for (std::size_t j = 0; j < c.cols; j += tile_cols<Ops>) {
        const std::size_t cols = std::min(tile_cols<Ops>, c.cols - j);
        pack_panel<Ops>(&b(p, j), cols, b.col_stride, depth, b.row_stride, right, tile_cols<Ops>);
        const bool wide = cols > Ops::lanes;
        const auto whole = wide ? tile<Ops, tile_rows, 2> : tile<Ops, tile_rows, 1>;
        const auto single = wide ? tile<Ops, 1, 2> : tile<Ops, 1, 1>;
        for (std::size_t i = 0; i < rows; i += tile_rows) {
          const std::size_t some = std::min(tile_rows, rows - i);
          (some == 1 ? single : whole)(alpha, left + i * depth, right, depth, &c(r + i, j),
                                       c.row_stride, some, cols, add);
        }
      }
    }
    p += block_depth;
  } while (p < a.cols);
}

}  // namespace tern::inline TERN_ABI::detail::avx512
TERN_TARGET_END
#endif

// ==== tern/linalg/amx.hpp

// Single-precision matrix product on the tile unit (AMX), whose operands are bf16. A float is the
// exact sum of three bf16 numbers of 8 bits each, so six of their nine products (the others lie
// below the last bit) added up in fp32 are as good as fused multiply-adds; int8 codes are bf16
// numbers as they are, and three products do. Parts are made while operands are packed.
//
//   tdpbf16ps  latency 52   1/16 cycles   16 x 16 sums of 32 products
//   step: 24 (codes: 12) tdpbf16ps, 14 (8) tile loads for 32 rows x 32 columns x 32 of k

#if TERN_X86 && defined(__x86_64__)
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>
#  include <type_traits>

TERN_TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,amx-tile,amx-bf16")
namespace tern::inline TERN_ABI::detail::amx {

/// A brick: 16 lines (rows of A or columns of B) x 32 steps of k, one tile for each part.
inline constexpr std::size_t brick_lines = 16, brick_steps = 32, tile_bytes = 1024;
/// A panel: 32 lines, brick after brick along k, in a brick part after part.
inline constexpr std::size_t panel_lines = 2 * brick_lines, block_depth = 256;

template <class T>
inline constexpr std::size_t parts = std::is_same_v<T, float> ? 3 : 1;

constexpr std::size_t panel_bytes(std::size_t parts, std::size_t depth) {
  return (depth + brick_steps - 1) / brick_steps * parts * 2 * tile_bytes;
}

TERN_INLINE __m512 load(__mmask16 some, const float* at) { return _mm512_maskz_loadu_ps(some, at); }
TERN_INLINE __m512 load(__mmask16 some, const std::int8_t* at) {
  const __m128i codes = _mm_maskz_loadu_epi8(some, at);
  return _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_cvtepi8_epi32(0xFFFF, codes));
}

/// Takes the leading 8 bits off x, sign and all.
TERN_INLINE __m512 take_part(__m512& x) {
  const __m512 part =
      _mm512_maskz_and_ps(0xFFFF, x, _mm512_castsi512_ps(_mm512_set1_epi32(-65536)));
  x = _mm512_sub_ps(x, part);
  return part;
}

/// The tile with its lines and its pairs of steps exchanged.
inline void transpose_tile(float* tile) {
  __m512 r[brick_lines];
#  pragma GCC unroll 16
  for (std::size_t i = 0; i < brick_lines; ++i) r[i] = _mm512_loadu_ps(tile + 16 * i);
  avx512::ops::transpose(r);
#  pragma GCC unroll 16
  for (std::size_t i = 0; i < brick_lines; ++i) _mm512_storeu_ps(tile + 16 * i, r[i]);
}

/// Tiles of a brick, `2 * tile_bytes` apart, zeros past the last line and step. Step p goes with
/// step p + 16, in A and B alike. Memory is contiguous along lines or along steps, `stride` apart
/// in the other direction; a row of the tile is what is contiguous unless `exchange`.
template <bool AlongLines, class T>
inline void pack_brick(const T* from, std::size_t stride, std::size_t lines, std::size_t depth,
                       const float* factor, std::byte* to, bool exchange) {
  const std::size_t second = AlongLines ? brick_lines * stride : brick_lines;
  const std::size_t outer = AlongLines ? depth : lines, inner = AlongLines ? lines : depth;
  const __mmask16 left = avx512::ops::first(inner),
                  right = AlongLines ? left : avx512::ops::first(inner > 16 ? inner - 16 : 0);
  for (std::size_t i = 0; i < brick_lines; ++i) {
    const T* const at = from + i * stride;
    const bool one = i < outer, two = AlongLines ? i + 16 < outer : one;
    __m512 x = load(one ? left : __mmask16{0}, at),
           y = load(two ? right : __mmask16{0}, at + second);
    x = _mm512_mul_ps(x, AlongLines ? _mm512_set1_ps(factor[i]) : _mm512_loadu_ps(factor));
    y = _mm512_mul_ps(y,
                      AlongLines ? _mm512_set1_ps(factor[i + 16]) : _mm512_loadu_ps(factor + 16));
#  pragma GCC unroll 3
    for (std::size_t s = 0; s < parts<T>; ++s) {
      const __m512i low = _mm512_castps_si512(take_part(x)),
                    high = _mm512_castps_si512(take_part(y));
      const __m512i pair =
          _mm512_mask_mov_epi16(_mm512_maskz_srli_epi32(0xFFFF, low, 16), 0xAAAAAAAA, high);
      _mm512_storeu_si512(to + s * 2 * tile_bytes + i * 64, pair);
    }
  }
  if (exchange)
    for (std::size_t s = 0; s < parts<T>; ++s)
      transpose_tile(reinterpret_cast<float*>(to + s * 2 * tile_bytes));
}

/// Up to 32 lines of A (rows) or B (columns), times factor[step]. Element p of line i lies at
/// from[i * line + p * step], one of the two being 1. `factor` has whole bricks of elements.
template <class T>
inline void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                       std::size_t step, const float* factor, std::byte* to, bool of_a) {
  for (std::size_t p = 0; p < depth; p += brick_steps, to += parts<T> * 2 * tile_bytes)
    for (std::size_t i = 0; i < panel_lines; i += brick_lines) {
      const T* const at = from + i * line + p * step;
      const std::size_t n = lines > i ? std::min(lines - i, brick_lines) : 0;
      std::byte* const tile = to + i / brick_lines * tile_bytes;
      if (line == 1)
        pack_brick<true>(at, step, n, depth - p, factor + p, tile, of_a);
      else
        pack_brick<false>(at, line, n, depth - p, factor + p, tile, !of_a);
    }
}

/// Tiles 0 to 3 are sums, 4 and 5 rows of A, 6 and 7 columns of B.
inline constexpr isa::tile_config config{};

TERN_INLINE void load_rows(const std::byte* a, std::size_t part) {
  _tile_loadd(4, a + 2 * part * tile_bytes, 64);
  _tile_loadd(5, a + (2 * part + 1) * tile_bytes, 64);
}
TERN_INLINE void load_cols(const std::byte* b, std::size_t part) {
  _tile_loadd(6, b + 2 * part * tile_bytes, 64);
  _tile_loadd(7, b + (2 * part + 1) * tile_bytes, 64);
}
TERN_INLINE void multiply() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

/// The products of parts i and j of a and b with i + j < 3, each a neighbour of the one before.
template <std::size_t Parts>
TERN_INLINE void multiply_bricks(const std::byte* a, const std::byte* b) {
  if constexpr (Parts == 1) {
    load_cols(b, 0), load_rows(a, 2), multiply();
    load_rows(a, 1), multiply();
  } else {
    load_rows(a, 0), load_cols(b, 2), multiply();
    load_cols(b, 1), multiply();
    load_rows(a, 1), multiply();
    load_cols(b, 0), multiply();
    load_rows(a, 2), multiply();
  }
  load_rows(a, 0), multiply();
}

/// c (32 x 32) = or += a panel of A times a panel of B.
template <std::size_t Parts>
inline void multiply_panels(const std::byte* a, const std::byte* b, std::size_t bricks, float* c,
                            std::size_t stride, bool add) {
  __asm__ volatile("" ::: "memory");  // g++ does not know that tile loads read memory
  float* const lower = c + brick_lines * stride;
  if (add) {
    _tile_loadd(0, c, stride * sizeof(float));
    _tile_loadd(1, c + 16, stride * sizeof(float));
    _tile_loadd(2, lower, stride * sizeof(float));
    _tile_loadd(3, lower + 16, stride * sizeof(float));
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (std::size_t i = 0; i < bricks; ++i)
    multiply_bricks<Parts>(a + i * 6 * tile_bytes, b + i * Parts * 2 * tile_bytes);
  _tile_stored(0, c, stride * sizeof(float));
  _tile_stored(1, c + 16, stride * sizeof(float));
  _tile_stored(2, lower, stride * sizeof(float));
  _tile_stored(3, lower + 16, stride * sizeof(float));
}

/// Up to 32 rows of c, all of its columns; b holds their panels one after another.
template <std::size_t Parts>
inline void multiply_strip(const std::byte* a, const std::byte* b, std::size_t depth, float* c,
                           std::size_t stride, std::size_t rows, std::size_t cols, bool add) {
  _tile_loadconfig(&config);
  alignas(64) float edge[panel_lines * panel_lines] = {};
  const auto one = multiply_panels<Parts>;
  const std::size_t bricks = (depth + brick_steps - 1) / brick_steps;
  for (std::size_t j = 0; j < cols; j += panel_lines, b += panel_bytes(Parts, depth)) {
    const std::size_t n = std::min(panel_lines, cols - j);
    if (rows == panel_lines && n == panel_lines) {
      one(a, b, bricks, c + j, stride, add);
      continue;
    }
    for (std::size_t i = 0; add && i < rows; ++i)
      for (std::size_t k = 0; k < n; ++k) edge[i * panel_lines + k] = c[i * stride + j + k];
    one(a, b, bricks, edge, panel_lines, add);
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t k = 0; k < n; ++k) c[i * stride + j + k] = edge[i * panel_lines + k];
  }
  _tile_release();
}

}  // namespace tern::inline TERN_ABI::detail::amx
TERN_TARGET_END

namespace tern::inline TERN_ABI::detail::amx {

/// Whether a product of this shape gains by it: below, packing costs more than it saves.
constexpr bool suits(std::size_t rows, std::size_t depth, std::size_t cols) {
  return rows >= 128 && depth >= 128 && cols >= 128;
}

/// c = alpha a b, or c += alpha a b, where row k of b counts scale[k] times; c row-major, a in
/// either order, b of floats in either order or of row-major codes. Each operand is packed once to
/// a block of the other, strips of 32 rows run side by side. Takes 768 KB of the caller's stack
/// and 48 KB of each thread's.
template <class T>
void gemm(float alpha, matrix_view<const float> a, row_view<const float> scale,
          matrix_view<const T> b, matrix_view<float> c, bool accumulate, executor_ref ex) {
  constexpr std::size_t block_cols = 1536 / parts<T>;
  alignas(64) std::byte right[panel_bytes(parts<T>, block_depth) * block_cols / panel_lines];
  alignas(64) float ones[block_depth], factor[block_depth];
  std::fill_n(ones, block_depth, 1.0f);
  for (std::size_t j = 0; j < c.cols; j += block_cols)
    for (std::size_t p = 0; p < a.cols; p += block_depth) {
      const std::size_t cols = std::min(block_cols, c.cols - j),
                        depth = std::min(block_depth, a.cols - p);
      for (std::size_t k = 0; k < block_depth; ++k)
        factor[k] = k < depth ? alpha * scale[p + k] : 0.0f;
      ex.parallel_for(cols, 4 * panel_lines, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += panel_lines)
          pack_panel(&b(p, j + i), std::min(panel_lines, end - i), b.col_stride, depth,
                     b.row_stride, ones, right + i / panel_lines * panel_bytes(parts<T>, depth),
                     false);
      });
      ex.parallel_for(c.rows, panel_lines, [&](std::size_t r, std::size_t end) {
        alignas(64) std::byte left[panel_bytes(3, block_depth)];
        pack_panel(&a(r, p), end - r, a.row_stride, depth, a.col_stride, factor, left, true);
        multiply_strip<parts<T>>(left, right, depth, &c(r, j), c.row_stride, end - r, cols,
                                 accumulate || p > 0);
      });
    }
}

}  // namespace tern::inline TERN_ABI::detail::amx
#endif

// ==== tern/linalg/avx2.hpp

// Single-precision matrix product for AVX2 and FMA, whatever flags the translation unit has.
//
//   vfmadd231ps ymm   latency 4 (Haswell, Broadwell, Zen 2: 5)   2/cycle
//   tile: 12 products, 2 loads and 6 broadcasts for 6 rows x 16 columns x 1 step of k

#if TERN_X86
#  include <immintrin.h>

#  include <algorithm>
#  include <cstddef>
#  include <cstdint>

TERN_TARGET_BEGIN("avx2,fma")
namespace tern::inline TERN_ABI::detail::avx2 {

struct ops {
  using scalar = float;
  using reg = __m256;
  static constexpr std::size_t lanes = 8, tile_rows = 6;

  TERN_INLINE static reg zero() { return _mm256_setzero_ps(); }
  TERN_INLINE static reg fill(float x) { return _mm256_set1_ps(x); }
  TERN_INLINE static reg load(const float* p) { return _mm256_loadu_ps(p); }
  TERN_INLINE static void store(float* p, reg a) { _mm256_storeu_ps(p, a); }
  /// Of n <= lanes elements; the others are zero.
  TERN_INLINE static reg load(const float* p, std::size_t n) {
    return n == lanes ? load(p) : _mm256_maskload_ps(p, first(n));
  }
  TERN_INLINE static void store(float* p, reg a, std::size_t n) {
    if (n == lanes)
      store(p, a);
    else
      _mm256_maskstore_ps(p, first(n), a);
  }
  TERN_INLINE static reg multiply_add(reg a, reg b, reg c) { return _mm256_fmadd_ps(a, b, c); }

  /// 8 x 8: row i of the result holds element i of every row of the argument.
  TERN_INLINE static void transpose(reg (&r)[lanes]) {
    __m256d t[lanes];  // t[4 g + j]: columns j and j + 4 of rows 4 g ... 4 g + 3
#  pragma GCC unroll 2
    for (std::size_t i = 0; i < lanes; i += 4) {
      const __m256d a = low_pairs(r[i], r[i + 1]), b = high_pairs(r[i], r[i + 1]),
                    c = low_pairs(r[i + 2], r[i + 3]), d = high_pairs(r[i + 2], r[i + 3]);
      t[i] = _mm256_unpacklo_pd(a, c);
      t[i + 1] = _mm256_unpackhi_pd(a, c);
      t[i + 2] = _mm256_unpacklo_pd(b, d);
      t[i + 3] = _mm256_unpackhi_pd(b, d);
    }
#  pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      r[j] = _mm256_castpd_ps(_mm256_permute2f128_pd(t[j], t[j + 4], 0x20));
      r[j + 4] = _mm256_castpd_ps(_mm256_permute2f128_pd(t[j], t[j + 4], 0x31));
    }
  }

 private:
  TERN_INLINE static __m256i first(std::size_t n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<std::int32_t>(n)), lane);
  }
  TERN_INLINE static __m256d low_pairs(reg a, reg b) {
    return _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
  }
  TERN_INLINE static __m256d high_pairs(reg a, reg b) {
    return _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
  }
};

// Dense matrix product of one thread, included once per instruction set inside its region. The
// scheme is Goto's (Goto and van de Geijn 2008): a block of A is packed into panels of a tile's
// rows that stay in L2, a strip of two registers' columns of B stays in L1, a tile of sums in
// registers. Ops names the scalar, its registers and the rows of a tile, which are multiples of a
// register's lanes or fewer.

/// Columns of a strip of B, then steps and rows of a block of A, which takes at most 256 KiB.
template <class Ops>
inline constexpr std::size_t tile_cols = 2 * Ops::lanes;
inline constexpr std::size_t block_depth = 256;
template <class Ops>
inline constexpr std::size_t block_rows =
    1024 / sizeof(typename Ops::scalar) / Ops::tile_rows * Ops::tile_rows;

/// Step p of up to a register of lines to to[p * width + i], zeros past the last line. A line is a
/// row of A or a column of B; element p of line i lies at from[i * line + p * step], one of the two
/// being 1. Where a width is less than a register, the next step's elements cover the zeros.
template <class Ops, class T = typename Ops::scalar>
void pack_register(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                   std::size_t step, T* to, std::size_t width) {
  constexpr std::size_t lanes = Ops::lanes;
  if (line == 1) {
    for (std::size_t p = 0; p < depth; ++p)
      Ops::store(to + p * width, Ops::load(from + p * step, lines));
    return;
  }
  for (std::size_t p = 0; p < depth; p += lanes) {
    const std::size_t n = std::min(lanes, depth - p);
    typename Ops::reg r[lanes];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      r[i] = i < lines ? Ops::load(from + i * line + p, n) : Ops::zero();
    Ops::transpose(r);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) Ops::store(to + (p + i) * width, r[i]);
  }
}

/// The same for a panel of up to `width` lines.
template <class Ops, class T = typename Ops::scalar>
void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                std::size_t step, T* to, std::size_t width) {
  for (std::size_t v = 0; v < width; v += Ops::lanes) {
    const std::size_t first = std::min(v, lines), n = std::min(Ops::lanes, lines - first);
    pack_register<Ops>(from + first * line, n, line, depth, step, to + v, width);
  }
}

/// c (rows x cols, up to Rows and V registers) = alpha a b, or c += alpha a b; a and b packed.
template <class Ops, std::size_t Rows, std::size_t V, class T = typename Ops::scalar>
void tile(T alpha, const T* a, const T* b, std::size_t depth, T* c, std::size_t stride,
          std::size_t rows, std::size_t cols, bool accumulate) {
  constexpr std::size_t lanes = Ops::lanes;
  typename Ops::reg sum[Rows][V];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::zero();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v) __builtin_prefetch(c + i * stride + v * lanes);
  for (std::size_t p = 0; p < depth; ++p, a += Ops::tile_rows, b += tile_cols<Ops>) {
    typename Ops::reg right[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) right[v] = Ops::load(b + v * lanes);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Rows; ++i) {
      const typename Ops::reg left = Ops::fill(a[i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::multiply_add(left, right[v], sum[i][v]);
    }
  }
  const typename Ops::reg factor = Ops::fill(alpha);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const std::size_t n = std::min(lanes, cols - v * lanes);
      T* const at = c + i * stride + v * lanes;
      const typename Ops::reg before = accumulate ? Ops::load(at, n) : Ops::zero();
      Ops::store(at, Ops::multiply_add(factor, sum[i][v], before), n);
    }
}

/// c = alpha a b, or c += alpha a b; c row-major, a and b in either order. An element's sum depends
/// on its row and its column alone: no way to split the product changes its bits.
template <class Ops, class T = typename Ops::scalar>
void gemm(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
          bool accumulate) {
  constexpr std::size_t tile_rows = Ops::tile_rows;
  // A register more than the block: the last store of a narrower panel is as wide.
  alignas(64) T left[block_rows<Ops> * block_depth + Ops::lanes];
  alignas(64) T right[block_depth * tile_cols<Ops>];
  std::size_t p = 0;
  do {
    const std::size_t depth = std::min(block_depth, a.cols - p);
    const bool add = accumulate || p > 0;
    for (std::size_t r = 0; r < c.rows; r += block_rows<Ops>) {
      const std::size_t rows = std::min(block_rows<Ops>, c.rows - r);
      for (std::size_t i = 0; i < rows; i += tile_rows)
        pack_panel<Ops>(&a(r + i, p), std::min(tile_rows, rows - i), a.row_stride, depth,
                        a.col_stride, left + i * depth, tile_rows);
      for (std::size_t j = 0; j < c.cols; j += tile_cols<Ops>) {
        const std::size_t cols = std::min(tile_cols<Ops>, c.cols - j);
        pack_panel<Ops>(&b(p, j), cols, b.col_stride, depth, b.row_stride, right, tile_cols<Ops>);
        const bool wide = cols > Ops::lanes;
        const auto whole = wide ? tile<Ops, tile_rows, 2> : tile<Ops, tile_rows, 1>;
        const auto single = wide ? tile<Ops, 1, 2> : tile<Ops, 1, 1>;
        for (std::size_t i = 0; i < rows; i += tile_rows) {
          const std::size_t some = std::min(tile_rows, rows - i);
          (some == 1 ? single : whole)(alpha, left + i * depth, right, depth, &c(r + i, j),
                                       c.row_stride, some, cols, add);
        }
      }
    }
    p += block_depth;
  } while (p < a.cols);
}

}  // namespace tern::inline TERN_ABI::detail::avx2
TERN_TARGET_END
#endif

// ==== tern/linalg/portable.hpp

// Matrix product of any scalar by the registers that the translation unit is compiled for: SSE2 or
// NEON in a program without flags.

namespace tern::inline TERN_ABI::detail::portable {

#if TERN_AARCH64 || defined(__AVX512F__)
inline constexpr std::size_t registers = 32;
#else
inline constexpr std::size_t registers = 16;
#endif

template <class T>
struct ops {
  using scalar = T;
  using reg = simd::batch<T>;
  static constexpr std::size_t lanes = simd::lanes<T>, tile_rows = registers / 4;

  static reg zero() { return reg(T(0)); }
  static reg fill(T x) { return reg(x); }
  static reg load(const T* p) { return reg::load_unaligned(p); }
  static void store(T* p, const reg& a) { a.store_unaligned(p); }
  /// Of n <= lanes elements; the others are zero.
  static reg load(const T* p, std::size_t n) {
    if (n == lanes) return load(p);
    std::array<T, lanes> part{};
    std::copy_n(p, n, part.data());
    return load(part.data());
  }
  static void store(T* p, const reg& a, std::size_t n) {
    if (n == lanes) return store(p, a);
    std::array<T, lanes> part;
    store(part.data(), a);
    std::copy_n(part.data(), n, p);
  }
  static reg multiply_add(const reg& a, const reg& b, const reg& c) { return xsimd::fma(a, b, c); }
  /// Row i of the result holds element i of every row of the argument.
  static void transpose(reg (&r)[lanes]) {
    if constexpr (sizeof(reg) == 16) {
      constexpr std::size_t half = lanes / 2;
      for (std::size_t step = 1; step < lanes; step *= 2) {
        reg t[lanes];
        for (std::size_t i = 0; i < half; ++i) {
          t[2 * i] = xsimd::zip_lo(r[i], r[i + half]);
          t[2 * i + 1] = xsimd::zip_hi(r[i], r[i + half]);
        }
        std::copy_n(t, lanes, r);
      }
    } else {  // where xsimd's zip is one of quarters
      std::array<std::array<T, lanes>, lanes> columns;
      for (std::size_t i = 0; i < lanes; ++i) {
        std::array<T, lanes> row;
        store(row.data(), r[i]);
        for (std::size_t j = 0; j < lanes; ++j) columns[j][i] = row[j];
      }
      for (std::size_t i = 0; i < lanes; ++i) r[i] = load(columns[i].data());
    }
  }
};

// Dense matrix product of one thread, included once per instruction set inside its region. The
// scheme is Goto's (Goto and van de Geijn 2008): a block of A is packed into panels of a tile's
// rows that stay in L2, a strip of two registers' columns of B stays in L1, a tile of sums in
// registers. Ops names the scalar, its registers and the rows of a tile, which are multiples of a
// register's lanes or fewer.

/// Columns of a strip of B, then steps and rows of a block of A, which takes at most 256 KiB.
template <class Ops>
inline constexpr std::size_t tile_cols = 2 * Ops::lanes;
inline constexpr std::size_t block_depth = 256;
template <class Ops>
inline constexpr std::size_t block_rows =
    1024 / sizeof(typename Ops::scalar) / Ops::tile_rows * Ops::tile_rows;

/// Step p of up to a register of lines to to[p * width + i], zeros past the last line. A line is a
/// row of A or a column of B; element p of line i lies at from[i * line + p * step], one of the two
/// being 1. Where a width is less than a register, the next step's elements cover the zeros.
template <class Ops, class T = typename Ops::scalar>
void pack_register(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                   std::size_t step, T* to, std::size_t width) {
  constexpr std::size_t lanes = Ops::lanes;
  if (line == 1) {
    for (std::size_t p = 0; p < depth; ++p)
      Ops::store(to + p * width, Ops::load(from + p * step, lines));
    return;
  }
  for (std::size_t p = 0; p < depth; p += lanes) {
    const std::size_t n = std::min(lanes, depth - p);
    typename Ops::reg r[lanes];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      r[i] = i < lines ? Ops::load(from + i * line + p, n) : Ops::zero();
    Ops::transpose(r);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < lanes; ++i)
      if (i < n) Ops::store(to + (p + i) * width, r[i]);
  }
}

/// The same for a panel of up to `width` lines.
template <class Ops, class T = typename Ops::scalar>
void pack_panel(const T* from, std::size_t lines, std::size_t line, std::size_t depth,
                std::size_t step, T* to, std::size_t width) {
  for (std::size_t v = 0; v < width; v += Ops::lanes) {
    const std::size_t first = std::min(v, lines), n = std::min(Ops::lanes, lines - first);
    pack_register<Ops>(from + first * line, n, line, depth, step, to + v, width);
  }
}

/// c (rows x cols, up to Rows and V registers) = alpha a b, or c += alpha a b; a and b packed.
template <class Ops, std::size_t Rows, std::size_t V, class T = typename Ops::scalar>
void tile(T alpha, const T* a, const T* b, std::size_t depth, T* c, std::size_t stride,
          std::size_t rows, std::size_t cols, bool accumulate) {
  constexpr std::size_t lanes = Ops::lanes;
  typename Ops::reg sum[Rows][V];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::zero();
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t v = 0; v < V; ++v) __builtin_prefetch(c + i * stride + v * lanes);
  for (std::size_t p = 0; p < depth; ++p, a += Ops::tile_rows, b += tile_cols<Ops>) {
    typename Ops::reg right[V];
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) right[v] = Ops::load(b + v * lanes);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Rows; ++i) {
      const typename Ops::reg left = Ops::fill(a[i]);
#pragma GCC unroll 2
      for (std::size_t v = 0; v < V; ++v) sum[i][v] = Ops::multiply_add(left, right[v], sum[i][v]);
    }
  }
  const typename Ops::reg factor = Ops::fill(alpha);
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Rows; ++i)
#pragma GCC unroll 2
    for (std::size_t v = 0; v < V; ++v) {
      if (i >= rows) continue;
      const std::size_t n = std::min(lanes, cols - v * lanes);
      T* const at = c + i * stride + v * lanes;
      const typename Ops::reg before = accumulate ? Ops::load(at, n) : Ops::zero();
      Ops::store(at, Ops::multiply_add(factor, sum[i][v], before), n);
    }
}

/// c = alpha a b, or c += alpha a b; c row-major, a and b in either order. An element's sum depends
/// on its row and its column alone: no way to split the product changes its bits.
template <class Ops, class T = typename Ops::scalar>
void gemm(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
          bool accumulate) {
  constexpr std::size_t tile_rows = Ops::tile_rows;
  // A register more than the block: the last store of a narrower panel is as wide.
  alignas(64) T left[block_rows<Ops> * block_depth + Ops::lanes];
  alignas(64) T right[block_depth * tile_cols<Ops>];
  std::size_t p = 0;
  do {
    const std::size_t depth = std::min(block_depth, a.cols - p);
    const bool add = accumulate || p > 0;
    for (std::size_t r = 0; r < c.rows; r += block_rows<Ops>) {
      const std::size_t rows = std::min(block_rows<Ops>, c.rows - r);
      for (std::size_t i = 0; i < rows; i += tile_rows)
        pack_panel<Ops>(&a(r + i, p), std::min(tile_rows, rows - i), a.row_stride, depth,
                        a.col_stride, left + i * depth, tile_rows);
      for (std::size_t j = 0; j < c.cols; j += tile_cols<Ops>) {
        const std::size_t cols = std::min(tile_cols<Ops>, c.cols - j);
        pack_panel<Ops>(&b(p, j), cols, b.col_stride, depth, b.row_stride, right, tile_cols<Ops>);
        const bool wide = cols > Ops::lanes;
        const auto whole = wide ? tile<Ops, tile_rows, 2> : tile<Ops, tile_rows, 1>;
        const auto single = wide ? tile<Ops, 1, 2> : tile<Ops, 1, 1>;
        for (std::size_t i = 0; i < rows; i += tile_rows) {
          const std::size_t some = std::min(tile_rows, rows - i);
          (some == 1 ? single : whole)(alpha, left + i * depth, right, depth, &c(r + i, j),
                                       c.row_stride, some, cols, add);
        }
      }
    }
    p += block_depth;
  } while (p < a.cols);
}

}  // namespace tern::inline TERN_ABI::detail::portable

// ==== tern/linalg/gemm.hpp

// Dense matrix product by the instructions of the CPU, split over an executor. The split depends on
// the shape alone, so the bits do not depend on the number of threads.

namespace tern::inline TERN_ABI {

namespace detail {

/// c = alpha a b (+ c) with c row-major; a and b in either order.
template <class T>
void gemm_block(T alpha, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> c,
                bool accumulate) {
#if TERN_X86
  if constexpr (std::is_same_v<T, float>) {
    const isa::level level = isa::active();
    if (level >= isa::level::avx512bw) return avx512::gemm<avx512::ops>(alpha, a, b, c, accumulate);
    if (level >= isa::level::avx2) return avx2::gemm<avx2::ops>(alpha, a, b, c, accumulate);
  }
#endif
  portable::gemm<portable::ops<T>>(alpha, a, b, c, accumulate);
}

/// Takes large products of floats to the tile unit where there is one; else false. b: floats, or
/// row-major codes; row k of it counts scale[k] times.
template <class T, class B>
bool gemm_on_tiles([[maybe_unused]] T alpha, [[maybe_unused]] matrix_view<const T> a,
                   [[maybe_unused]] row_view<const T> scale,
                   [[maybe_unused]] matrix_view<const B> b, [[maybe_unused]] matrix_view<T> c,
                   [[maybe_unused]] bool accumulate, [[maybe_unused]] executor_ref ex) {
#if TERN_X86 && defined(__x86_64__)
  if constexpr (std::is_same_v<T, float>)
    if (isa::active() == isa::level::amx && amx::suits(c.rows, a.cols, c.cols)) {
      amx::gemm(alpha, a, scale, b, c, accumulate, ex);
      return true;
    }
#endif
  return false;
}

template <class T>
void require_unit_stride(const matrix_view<T>& m, const char* what) {
  if (m.col_stride != 1 && m.row_stride != 1)
    throw shape_error(std::string(what) + ": rows or columns must be contiguous");
}

}  // namespace detail

/// c = alpha * a * b, or c += alpha * a * b. a: (m, k), b: (k, n), c: (m, n); each may be row- or
/// column-major (one stride is 1); pass `x.transposed()` for a transpose. Throws shape_error.
template <class T>
void gemm(T alpha, std::type_identity_t<matrix_view<const T>> a,
          std::type_identity_t<matrix_view<const T>> b, std::type_identity_t<matrix_view<T>> c,
          bool accumulate = false, executor_ref ex = {}) {
  if (c.col_stride != 1) {
    if (c.row_stride != 1) throw shape_error("gemm: c: rows or columns must be contiguous");
    return gemm<T>(alpha, b.transposed(), a.transposed(), c.transposed(), accumulate, ex);
  }
  require_shape(a, c.rows, b.rows, "gemm: a");
  require_shape(b, a.cols, c.cols, "gemm: b");
  detail::require_unit_stride(a, "gemm: a");
  detail::require_unit_stride(b, "gemm: b");
  const T one(1);
  if (detail::gemm_on_tiles<T>(alpha, a, {&one, a.cols, 0}, b, c, accumulate, ex)) return;
  // At most 8 chunks, of short results 4: each reads the other operand again. At least 2^21
  // multiply-adds to a chunk, and whole multiples of 32 rows (or columns).
  const bool by_rows = c.rows >= c.cols;
  const std::size_t n = by_rows ? c.rows : c.cols,
                    work = std::max<std::size_t>(1, a.cols * (by_rows ? c.cols : c.rows));
  const std::size_t chunks = n >= 1024 ? 8 : 4, least = (n + chunks - 1) / chunks;
  const std::size_t grain = (std::max(least, (std::size_t{1} << 21) / work) + 31) / 32 * 32;
  ex.parallel_for(n, grain, [&](std::size_t begin, std::size_t end) {
    const std::size_t count = end - begin;
    if (by_rows)
      detail::gemm_block<T>(alpha, a.row_block(begin, count), b, c.row_block(begin, count),
                            accumulate);
    else
      detail::gemm_block<T>(alpha, a, b.col_block(begin, count), c.col_block(begin, count),
                            accumulate);
  });
}

// Products of all levels cost compile time in every unit. A program of many units may define this
// macro everywhere and instantiate both in one of them.
#if defined(TERN_EXTERN_GEMM)
extern template void gemm<float>(float, matrix_view<const float>, matrix_view<const float>,
                                 matrix_view<float>, bool, executor_ref);
extern template void gemm<double>(double, matrix_view<const double>, matrix_view<const double>,
                                  matrix_view<double>, bool, executor_ref);
#endif

}  // namespace tern::inline TERN_ABI

// ==== tern/linalg/scaled_codes.hpp

// Products with a matrix of int8 codes that has one scale to each row: what quantized weights and
// activations are in a backward. Where the CPU multiplies codes as they are, none of them becomes a
// float in memory.

namespace tern::inline TERN_ABI {

/// Element (r, c) stands for codes(r, c) * scales[r]; stride 0 gives all rows the same scale.
template <class T>
struct scaled_codes {
  matrix_view<const std::int8_t> codes;  ///< (k, n)
  row_view<const T> scales;              ///< k
};

/// c += a * b. a: (m, k), b: (k, n), c: (m, n) row-major. `scratch` holds at most b as numbers of
/// type T while it runs. Throws shape_error.
template <class T>
void add_product(std::type_identity_t<matrix_view<const T>> a, const scaled_codes<T>& b,
                 matrix_view<T> c, arena& scratch, executor_ref ex = {}) {
  require_shape(a, c.rows, b.codes.rows, "add_product: a");
  require_shape(b.codes, a.cols, c.cols, "add_product: codes");
  require_size(b.scales.size, a.cols, "add_product: scales");
  detail::require_unit_stride(a, "add_product: a");
  if (b.codes.col_stride == 1 && c.col_stride == 1 &&
      detail::gemm_on_tiles<T>(T(1), a, b.scales, b.codes, c, true, ex))
    return;
  const arena_scope temporaries(scratch);
  const matrix_view<T> real = scratch.matrix<T>(b.codes.rows, b.codes.cols);
  dequantize<T>(b.codes, b.scales, real, ex);
  gemm<T>(T(1), a, real, c, true, ex);
}

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/score_band.hpp

// Scores between the tokens of a sequence, a tile of rows at a time, so that no T x T matrix
// exists: shared by attention and by the distillation of its relations. The one place that knows
// the mask.

namespace tern::inline TERN_ABI {

/// Rows [first, first + rows) of a matrix of scores, and the columns [begin, begin + cols) they
/// see.
struct score_band {
  static constexpr std::size_t most_rows = 64;  ///< of a band

  std::size_t first, rows, begin, cols, window;  ///< `window` as given
  bool causal;                                   ///< no row sees a later column

  /// window: how many columns a causal row sees, its own the last; 0 for all.
  score_band(std::size_t first_row, std::size_t length, bool causal_, std::size_t window_ = 0)
      : first(first_row),
        rows(std::min(most_rows, length - first_row)),
        begin(window_ != 0 && first_row + 1 > window_ ? first_row + 1 - window_ : 0),
        cols((causal_ ? first_row + rows : length) - begin),
        window(window_),
        causal(causal_) {}
  /// Row i of the band sees columns [begin + hidden(i), begin + visible(i)).
  [[nodiscard]] std::size_t hidden(std::size_t i) const {
    return window != 0 && first + i + 1 > begin + window ? first + i + 1 - begin - window : 0;
  }
  [[nodiscard]] std::size_t visible(std::size_t i) const {
    return causal ? first + i + 1 - begin : cols;
  }

  /// Columns of z that a row does not see become -infinity; column 0 is `begin`.
  template <class T>
  void mask(matrix_view<T> z) const {
    constexpr T unseen = -std::numeric_limits<T>::infinity();
    for (std::size_t i = 0; i < rows; ++i) {
      T* row = z.row(i).data;
      std::fill(row, row + hidden(i), unseen);
      std::fill(row + visible(i), row + z.cols, unseen);
    }
  }

  /// z = factor * a b^T, masked, for a (rows, D) and b (length, D).
  template <class T>
  void score(T factor, matrix_view<const T> a, matrix_view<const T> b, matrix_view<T> z) const {
    detail::gemm_block<T>(factor, a, b.row_block(begin, cols).transposed(), z.col_block(0, cols),
                          false);
    mask(z);
  }
};

/// One tile of scores per run of tasks, rows padded to whole vectors.
template <class T>
class score_tiles {
 public:
  /// Tiles for sequences of at most `longest` tokens, alive until `memory` is rewound.
  score_tiles(arena& memory, std::size_t runs, std::size_t longest)
      : width_(padded(longest)),
        size_(std::min(score_band::most_rows, longest) * width_),
        data_(memory.template allocate<T>(runs * size_)) {}

  /// (b.rows, b.cols rounded up to 16), uninitialised.
  [[nodiscard]] matrix_view<T> tile(std::size_t run, const score_band& b) const {
    return {data_ + run * size_, b.rows, padded(b.cols), width_};
  }

 private:
  static std::size_t padded(std::size_t n) { return (n + 15) / 16 * 16; }

  std::size_t width_, size_;
  T* data_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/sequence_tasks.hpp

// Work on packed sequences, one task per (sequence, head): no two tasks write the same element, so
// any number of threads gives the same bits.

namespace tern::inline TERN_ABI {

/// Throws shape_error unless m is rows x cols with contiguous rows.
template <class T>
void require_rows(const matrix_view<T>& m, std::size_t rows, std::size_t cols,
                  std::string_view what) {
  require_shape(m, rows, cols, what);
  if (m.col_stride != 1) throw shape_error(std::string(what) + ": rows must be contiguous");
}

/// Length of the longest sequence. Throws shape_error unless offsets ascend from 0 to `tokens`.
inline std::size_t longest_sequence(std::span<const std::size_t> offsets, std::size_t tokens,
                                    std::string_view what) {
  if (offsets.empty() || offsets.front() != 0 || offsets.back() != tokens ||
      !std::is_sorted(offsets.begin(), offsets.end()))
    throw shape_error(std::string(what) + ": offsets must ascend from 0 to " +
                      std::to_string(tokens));
  std::size_t longest = 0;
  for (std::size_t i = 1; i < offsets.size(); ++i)
    longest = std::max(longest, offsets[i] - offsets[i - 1]);
  return longest;
}

/// The tasks of all (sequence, head) pairs, dealt out in at most 32 runs of consecutive tasks. Each
/// run has scratch of its own.
class sequence_tasks {
 public:
  static constexpr std::size_t most_runs = 32;  ///< whatever the number of threads

  /// `offsets`: as longest_sequence() takes them, alive as long as this.
  sequence_tasks(std::span<const std::size_t> offsets, std::size_t heads)
      : offsets_(offsets),
        heads_(heads),
        count_((offsets.size() - 1) * heads),
        grain_(std::max<std::size_t>(1, (count_ + most_runs - 1) / most_runs)) {}

  /// How many scratches for_each needs.
  [[nodiscard]] std::size_t runs() const { return (count_ + grain_ - 1) / grain_; }

  /// f(sequence, first token, length, head, run) for every pair; each run in order.
  template <class F>
  void for_each(executor_ref ex, F&& f) const {
    ex.parallel_for(count_, grain_, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::size_t s = i / heads_;
        f(s, offsets_[s], offsets_[s + 1] - offsets_[s], i % heads_, begin / grain_);
      }
    });
  }

 private:
  std::span<const std::size_t> offsets_;
  std::size_t heads_, count_, grain_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/softmax.hpp

// Softmax of one row without overflow: what attention and the losses have in common.

namespace tern::inline TERN_ABI {

/// log(sum_i exp(factor * z[i])), the maximum taken out first. z must not be empty.
template <class T>
T log_sum_exp(row_view<const T> z, T factor = T(1)) {
  const simd::batch<T> by(factor);
  const T top = simd::fold(
      -std::numeric_limits<T>::infinity(), simd::maximum{}, [&](const auto& a) { return a * by; },
      z);
  const simd::batch<T> shift(top);
  return top + std::log(simd::sum([&](const auto& a) { return xsimd::exp(a * by - shift); }, z));
}

/// z[i] <- exp(z[i] - m) with m the maximum; returns m + log(sum), `sum` gets the new row's sum.
/// Elements of -infinity become 0; one at least must be finite.
template <class T>
T exponentials(row_view<T> z, T& sum) {
  const T top = simd::fold(
      -std::numeric_limits<T>::infinity(), simd::maximum{}, [](const auto& a) { return a; },
      row_view<const T>(z));
  const simd::batch<T> shift(top);
  simd::transform(
      z, [&](const auto& a) { return xsimd::exp(a - shift); }, row_view<const T>(z));
  sum = simd::sum(row_view<const T>(z));
  return top + std::log(sum);
}

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/attention.hpp

// Causal grouped-query attention over packed sequences. As in FlashAttention (arXiv 2205.14135) no
// T x T matrix exists: a tile of rows meets all its columns at once, the backward pass makes the
// probabilities again from the saved log-sum-exp. Memory is linear in T.

namespace tern::inline TERN_ABI {

/// Query head h reads key/value head h / (q_heads / kv_heads).
struct attention_shape {
  std::size_t q_heads = 0, kv_heads = 0, head_dim = 0;  ///< of the model
  double scale = 0;        ///< of the scores; 0 stands for 1/sqrt(head_dim)
  std::size_t window = 0;  ///< a token sees so many, itself the last; 0 for all before it

  /// Query heads of one key/value head.
  [[nodiscard]] std::size_t group() const { return q_heads / kv_heads; }
  /// What scores are multiplied by.
  [[nodiscard]] double factor() const {
    return scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(head_dim));
  }
};

/// y_i = sum_j p_ij v_j, p_i = softmax_j(scale * q_i . k_j) over the positions i - window < j <= i
/// of the same sequence. q, y: (N, q_heads * head_dim); k, v: (N, kv_heads * head_dim); lse: (N,
/// q_heads), the saved log-sum-exp; offsets: (B + 1) sequence bounds. Rows must be contiguous, with
/// any distance. Scratch: at most 32 * 2 * 64 * (T + 16) elements, T the longest sequence, released
/// again.
template <class T>
struct attention {
  /// Throws shape_error.
  static void forward(matrix_view<const T> q, matrix_view<const T> k, matrix_view<const T> v,
                      std::span<const std::size_t> offsets, const attention_shape& shape,
                      matrix_view<T> y, matrix_view<T> lse, arena& scratch, executor_ref ex = {}) {
    check(q, k, v, shape);
    require_rows(y, q.rows, q.cols, "attention: y");
    require_shape(lse, q.rows, shape.q_heads, "attention: lse");
    const std::size_t d = shape.head_dim, longest = longest_sequence(offsets, q.rows, "attention");
    const sequence_tasks tasks(offsets, shape.kv_heads);
    const arena_scope temporaries(scratch);
    const score_tiles<T> scores(scratch, tasks.runs(), longest);
    const T factor = static_cast<T>(shape.factor());
    tasks.for_each(ex, [&](std::size_t, std::size_t first, std::size_t length, std::size_t kv,
                           std::size_t run) {
      const auto keys = k.block(first, kv * d, length, d),
                 values = v.block(first, kv * d, length, d);
      for (std::size_t h = kv * shape.group(); h < (kv + 1) * shape.group(); ++h) {
        for (std::size_t r = 0; r < length; r += score_band::most_rows) {
          const score_band b(r, length, true, shape.window);
          const matrix_view<T> p = scores.tile(run, b), out = y.block(first + r, h * d, b.rows, d);
          b.score(factor, q.block(first + r, h * d, b.rows, d), keys, p);
          std::array<T, score_band::most_rows> total;
          for (std::size_t i = 0; i < b.rows; ++i)
            lse(first + r + i, h) = exponentials(p.row(i), total[i]);
          detail::gemm_block<T>(T(1), p.col_block(0, b.cols), values.row_block(b.begin, b.cols),
                                out, false);
          for (std::size_t i = 0; i < b.rows; ++i) scale_row(out.row(i), 1 / total[i]);
        }
      }
    });
  }

  /// Adds to dq, dk, dv (each may be null) the gradients for dy; y and lse as forward left them.
  static void backward(matrix_view<const T> dy, matrix_view<const T> q, matrix_view<const T> k,
                       matrix_view<const T> v, matrix_view<const T> y, matrix_view<const T> lse,
                       std::span<const std::size_t> offsets, const attention_shape& shape,
                       matrix_view<T> dq, matrix_view<T> dk, matrix_view<T> dv, arena& scratch,
                       executor_ref ex = {}) {
    check(q, k, v, shape);
    require_rows(dy, q.rows, q.cols, "attention: dy");
    require_rows(y, q.rows, q.cols, "attention: y");
    require_shape(lse, q.rows, shape.q_heads, "attention: lse");
    if (dq) require_rows(dq, q.rows, q.cols, "attention: dq");
    if (dk) require_rows(dk, k.rows, k.cols, "attention: dk");
    if (dv) require_rows(dv, v.rows, v.cols, "attention: dv");
    const std::size_t d = shape.head_dim, longest = longest_sequence(offsets, q.rows, "attention");
    const sequence_tasks tasks(offsets, shape.kv_heads);
    const arena_scope temporaries(scratch);
    const score_tiles<T> probabilities(scratch, tasks.runs(), longest),
        gradients(scratch, tasks.runs(), longest);
    const T factor = static_cast<T>(shape.factor());
    tasks.for_each(ex, [&](std::size_t, std::size_t first, std::size_t length, std::size_t kv,
                           std::size_t run) {
      for (std::size_t h = kv * shape.group(); h < (kv + 1) * shape.group(); ++h) {
        for (std::size_t r = 0; r < length; r += score_band::most_rows) {
          const score_band b(r, length, true, shape.window);
          const auto rows = [&](const auto& m) { return m.block(first + r, h * d, b.rows, d); };
          const auto cols = [&](const auto& m) {
            return m.block(first + b.begin, kv * d, b.cols, d);
          };
          const matrix_view<T> p = probabilities.tile(run, b), ds = gradients.tile(run, b);
          const matrix_view<const T> seen = p.col_block(0, b.cols), slope = ds.col_block(0, b.cols);
          b.score(factor, rows(q), k.block(first, kv * d, length, d), p);
          detail::gemm_block<T>(T(1), rows(dy), cols(v).transposed(), ds.col_block(0, b.cols),
                                false);
          for (std::size_t i = 0; i < b.rows; ++i)
            softmax_backward(p.row(i), ds.row(i), lse(first + r + i, h),
                             simd::dot(rows(dy).row(i), rows(y).row(i)));
          if (dv) detail::gemm_block<T>(T(1), seen.transposed(), rows(dy), cols(dv), true);
          if (dq) detail::gemm_block<T>(factor, slope, cols(k), rows(dq), true);
          if (dk) detail::gemm_block<T>(factor, slope.transposed(), rows(q), cols(dk), true);
        }
      }
    });
  }

 private:
  static void check(matrix_view<const T> q, matrix_view<const T> k, matrix_view<const T> v,
                    const attention_shape& shape) {
    if (shape.kv_heads == 0 || shape.head_dim == 0 || shape.q_heads % shape.kv_heads != 0)
      throw shape_error("attention: " + std::to_string(shape.q_heads) + " query heads for " +
                        std::to_string(shape.kv_heads) + " key/value heads of " +
                        std::to_string(shape.head_dim) + " elements");
    require_rows(q, q.rows, shape.q_heads * shape.head_dim, "attention: q");
    require_rows(k, q.rows, shape.kv_heads * shape.head_dim, "attention: k");
    require_rows(v, q.rows, shape.kv_heads * shape.head_dim, "attention: v");
  }

  static void scale_row(row_view<T> row, T by) {
    const simd::batch<T> factor(by);
    simd::transform(
        row, [&](const auto& a) { return a * factor; }, row_view<const T>(row));
  }

  /// scores s -> probabilities; dp -> dp's gradient p * (dp - delta) with respect to the scores.
  static void softmax_backward(row_view<T> s, row_view<T> dp, T lse, T delta) {
    const simd::batch<T> shift(lse), mean(delta), zero(T(0));
    simd::transform(
        s, [&](const auto& a) { return xsimd::exp(a - shift); }, row_view<const T>(s));
    // Where p is 0 the padding of dp may hold anything, NaN included.
    simd::transform(
        dp,
        [&](const auto& g, const auto& p) { return xsimd::select(p > zero, p * (g - mean), zero); },
        row_view<const T>(dp), row_view<const T>(s));
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/rowwise.hpp

// How ops whose result sums over rows are split: by blocks of columns, which depend on the shape
// alone. Ops with independent rows use for_each_row.

namespace tern::inline TERN_ABI {

/// f(first, count) for disjoint blocks that cover all columns, each of about 2^15 elements, a
/// multiple of 16 columns wide (the last one less) and at least 128: memory delivers shorter pieces
/// of rows slowly.
template <class F>
void for_column_blocks(std::size_t rows, std::size_t cols, executor_ref ex, F f) {
  const std::size_t wanted = (std::size_t{1} << 15) / std::max<std::size_t>(rows, 1);
  ex.parallel_for(cols, std::max<std::size_t>(128, (wanted + 16) / 16 * 16),
                  [&](std::size_t begin, std::size_t end) { f(begin, end - begin); });
}

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/linear.hpp

// Fully connected layer y = x W^T + b, weights stored (out, in).

namespace tern::inline TERN_ABI {

template <class T>
struct linear {
  /// y = x w^T + bias. x: (N, in), w: (out, in), bias: out elements or null, y: (N, out); each
  /// matrix row- or column-major. Throws shape_error.
  static void forward(matrix_view<const T> x, matrix_view<const T> w, row_view<const T> bias,
                      matrix_view<T> y, executor_ref ex = {}) {
    require_shape(x, y.rows, w.cols, "linear: x");
    require_shape(w, y.cols, x.cols, "linear: w");
    gemm<T>(T(1), x, w.transposed(), y, false, ex);
    if (bias) add_bias(bias, y, ex);
  }

  /// dx += dy w, dw += dy^T x, dbias += column sums of dy; null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, matrix_view<const T> w,
                       matrix_view<T> dx, matrix_view<T> dw, row_view<T> dbias,
                       executor_ref ex = {}) {
    require_shape(x, dy.rows, w.cols, "linear: x");
    require_shape(w, dy.cols, x.cols, "linear: w");
    if (dx) gemm<T>(T(1), dy, w, dx, true, ex);
    if (dw) gemm<T>(T(1), dy.transposed(), x, dw, true, ex);
    if (dbias) add_column_sums(dy, dbias, ex);
  }

  /// y += bias in every row.
  static void add_bias(row_view<const T> bias, matrix_view<T> y, executor_ref ex = {}) {
    require_size(bias.size, y.cols, "linear: bias");
    for_each_row(y.rows, y.cols, ex, [&](std::size_t r) { simd::axpy(T(1), bias, y.row(r)); });
  }

  /// dbias += sum over the rows of dy: the backward of add_bias.
  static void add_column_sums(matrix_view<const T> dy, row_view<T> dbias, executor_ref ex = {}) {
    require_size(dbias.size, dy.cols, "linear: dbias");
    for_column_blocks(dy.rows, dy.cols, ex, [&](std::size_t first, std::size_t count) {
      const row_view<T> out(&dbias[first], count, dbias.stride);
      for (std::size_t r = 0; r < dy.rows; ++r)
        simd::axpy(T(1), dy.col_block(first, count).row(r), out);
    });
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/rms_norm.hpp

// RMSNorm (Zhang and Sennrich 2019): y = x / sqrt(mean(x^2) + eps) * gain over each row. BitNet and
// BitDistill call it SubLN where it stands directly before the output and the down projection.

namespace tern::inline TERN_ABI {

template <class T>
struct rms_norm {
  /// x, y: (N, D), y may be x itself; gain: D elements, or null for ones. inv_rms: N elements kept
  /// for the backward, or null where none follows. To normalise heads pass a (N * H, D) view.
  static void forward(matrix_view<const T> x, row_view<const T> gain, T eps, matrix_view<T> y,
                      row_view<T> inv_rms, executor_ref ex = {}) {
    require_shape(y, x.rows, x.cols, "rms_norm: y");
    if (inv_rms) require_size(inv_rms.size, x.rows, "rms_norm: inv_rms");
    const T one(1);
    gain = or_ones(gain, x.cols, one);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const T mean = simd::dot(x.row(r), x.row(r)) / static_cast<T>(x.cols);
      const T inv = T(1) / std::sqrt(mean + eps);
      if (inv_rms) inv_rms[r] = inv;
      const simd::batch<T> factor(inv);
      simd::transform(
          y.row(r), [&](const auto& v, const auto& g) { return v * factor * g; }, x.row(r), gain);
    });
  }

  /// With u = x inv_rms: dx += inv_rms (dy gain - u mean(dy gain u)), dgain += sum over rows of
  /// dy u. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, row_view<const T> gain,
                       row_view<const T> inv_rms, matrix_view<T> dx, row_view<T> dgain,
                       executor_ref ex = {}) {
    require_shape(dy, x.rows, x.cols, "rms_norm: dy");
    require_size(inv_rms.size, x.rows, "rms_norm: inv_rms");
    if (dx) input_gradient(dy, x, gain, inv_rms, dx, ex);
    if (dgain) gain_gradient(dy, x, inv_rms, dgain, ex);
  }

 private:
  static row_view<const T> or_ones(row_view<const T> gain, std::size_t n, const T& one) {
    if (!gain) return {&one, n, 0};
    require_size(gain.size, n, "rms_norm: gain");
    return gain;
  }

  static void input_gradient(matrix_view<const T> dy, matrix_view<const T> x,
                             row_view<const T> gain, row_view<const T> inv_rms, matrix_view<T> dx,
                             executor_ref ex) {
    require_shape(dx, x.rows, x.cols, "rms_norm: dx");
    const T one(1);
    gain = or_ones(gain, x.cols, one);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const auto product = [](const auto& d, const auto& v, const auto& g) { return d * v * g; };
      const T inv = inv_rms[r], n = static_cast<T>(x.cols);
      const T along = simd::sum(product, dy.row(r), x.row(r), gain) * inv * inv * inv / n;
      const simd::batch<T> a(inv), b(along);
      simd::transform(
          dx.row(r),
          [&](const auto& d, const auto& v, const auto& g, const auto& before) {
            return before + (d * g * a - v * b);
          },
          dy.row(r), x.row(r), gain, row_view<const T>(dx.row(r)));
    });
  }

  static void gain_gradient(matrix_view<const T> dy, matrix_view<const T> x,
                            row_view<const T> inv_rms, row_view<T> dgain, executor_ref ex) {
    require_size(dgain.size, x.cols, "rms_norm: dgain");
    for_column_blocks(x.rows, x.cols, ex, [&](std::size_t first, std::size_t count) {
      const row_view<T> out(&dgain[first], count, dgain.stride);
      for (std::size_t r = 0; r < x.rows; ++r) {
        const simd::batch<T> inv(inv_rms[r]);
        simd::transform(
            out,
            [&](const auto& d, const auto& v, const auto& before) { return before + d * v * inv; },
            dy.col_block(first, count).row(r), x.col_block(first, count).row(r),
            row_view<const T>(out));
      }
    });
  }
};

/// SubLN (BitDistill, section 3.1) is an RMSNorm with a gain, initialised to ones, directly before
/// a quantized projection: the same function under the paper's name.
template <class T>
using sub_ln = rms_norm<T>;

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/bit_linear.hpp

// BitLinear (BitNet b1.58; BitNet Distillation, section 3.1): y = Qa(x) Qw(w)^T + b. The product is
// taken in whole numbers and scaled once, so training, evaluation and packed inference agree to
// the last bit; the backward passes both roundings straight through.

namespace tern::inline TERN_ABI {

/// bit_linear without a norm of its own.
struct no_norm {};

/// WeightQ: a weight_quantizer; ActQ: an activation_quantizer; Norm: no_norm or sub_ln<T>, applied
/// to x first. A warm-up of the quantization is ste on both operands followed by linear.
template <class T, class WeightQ = absmean, class ActQ = absmax_int8, class Norm = no_norm>
struct bit_linear {
  static_assert(require_weight_quantizer<WeightQ, T>() && require_activation_quantizer<ActQ, T>());

  /// What the backward needs: both operands as codes.
  struct saved {
    matrix_view<std::int8_t> x_codes;  ///< (N, K)
    row_view<T> x_scales;              ///< N
    row_view<std::int32_t> x_sums;     ///< N, sums of codes
    matrix_view<std::int8_t> w_codes;  ///< (M, K)
    matrix_view<T> w_scales;           ///< scale_extents of WeightQ; best one column after another
  };

  /// Uninitialised, alive until `memory` is rewound.
  static saved make_saved(arena& memory, std::size_t n, std::size_t k, std::size_t m) {
    const extents scales = scale_extents({m, k}, WeightQ::scale_block(m, k));
    return {memory.matrix<std::int8_t>(n, k),
            {memory.allocate<T>(n), n},
            {memory.allocate<std::int32_t>(n), n},
            memory.matrix<std::int8_t>(m, k),
            memory.matrix<T>(scales.cols, scales.rows).transposed()};
  }

  /// x: (N, K), w: (M, K), bias: M elements or null, y: (N, M). `scratch` holds about
  /// K (M / 4 + N) + 4 N M bytes while it runs. Throws shape_error.
  static void forward(matrix_view<const T> x, matrix_view<const T> w, row_view<const T> bias,
                      matrix_view<T> y, const saved& s, arena& scratch, executor_ref ex = {},
                      const WeightQ& weight_quantizer = {}, const ActQ& activation_quantizer = {}) {
    require_shape(x, y.rows, w.cols, "bit_linear: x");
    require_shape(w, y.cols, x.cols, "bit_linear: w");
    weight_quantizer.template quantize<T>(w, s.w_codes, s.w_scales, ex);
    activation_quantizer.template quantize<T>(x, s.x_codes, s.x_scales, s.x_sums, ex);
    const arena_scope temporaries(scratch);
    const extents block = WeightQ::scale_block(w.rows, w.cols);
    const packed_view<two_bit> shape{nullptr, w.rows, w.cols, block.cols};
    auto* blocks = scratch.allocate<packed_block>(shape.size_bytes() / sizeof(packed_block));
    const output<two_bit> to{pack<two_bit>(s.w_codes, block.cols, blocks, ex), s.w_scales,
                             block.rows, bias, y};
    multiply<two_bit>({s.x_codes, s.x_scales, s.x_sums}, {&to, 1}, scratch, ex);
  }

  /// dx += dy Wq, dw += dy^T Xq, dbias += column sums of dy, where Wq and Xq are the dequantised
  /// operands: the straight-through gradient. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, const saved& s, matrix_view<T> dx,
                       matrix_view<T> dw, row_view<T> dbias, arena& scratch, executor_ref ex = {}) {
    require_shape(dy, s.x_codes.rows, s.w_codes.rows, "bit_linear: dy");
    if (dx) {
      const arena_scope temporaries(scratch);
      if (whole(s))
        add_product<T>(dy, {s.w_codes, row_scales(s)}, dx, scratch, ex);
      else
        gemm<T>(T(1), dy, dequantized_weights(s, scratch, ex), dx, true, ex);
    }
    if (dw) add_product<T>(dy.transposed(), {s.x_codes, s.x_scales}, dw, scratch, ex);
    if (dbias) linear<T>::add_column_sums(dy, dbias, ex);
  }

  /// N tokens as products take them.
  struct tokens {
    matrix_view<const std::int8_t> codes;  ///< (N, K)
    row_view<const T> scales;              ///< N
    row_view<const std::int32_t> sums;     ///< N, sums of codes
  };

  /// Alive until `memory` is rewound. Throws shape_error.
  static tokens quantize(matrix_view<const T> x, arena& memory, executor_ref ex = {},
                         const ActQ& activation_quantizer = {}) {
    const auto codes = memory.matrix<std::int8_t>(x.rows, x.cols);
    const row_view<T> scales(memory.allocate<T>(x.rows), x.rows);
    const row_view<std::int32_t> sums(memory.allocate<std::int32_t>(x.rows), x.rows);
    activation_quantizer.template quantize<T>(x, codes, scales, sums, ex);
    return {codes, scales, sums};
  }

  /// y (N, M) = x w^T + bias of packed w (M, K); bias: M elements or null.
  template <class Format>
  struct output {
    packed_view<Format> w;          ///< (M, K)
    matrix_view<const T> w_scales;  ///< (ceil(M / scale_rows), runs of w)
    std::size_t scale_rows;         ///< of w to a row of w_scales
    row_view<const T> bias;         ///< M elements or null
    matrix_view<T> y;               ///< (N, M)
  };

  /// Several products of the same tokens, side by side; `scratch` holds 4 N M bytes for each and
  /// N K. Throws shape_error.
  template <class Format>
  static void multiply(const tokens& x, std::span<const output<Format>> to, arena& scratch,
                       executor_ref ex = {}) {
    if (to.empty()) return;
    using product = ternary_product<Format, rescale<T>>;
    const arena_scope temporaries(scratch);
    product* const products = scratch.allocate<product>(to.size());
    for (std::size_t i = 0; i < to.size(); ++i)
      std::construct_at(
          products + i,
          product{to[i].w, scratch.matrix<std::int32_t>(to[i].y.rows, to[i].y.cols),
                  rescale<T>(x.scales, to[i].w_scales, to[i].bias, to[i].y, {}, to[i].scale_rows)});
    const std::size_t bytes = ternary_matmul_workspace(to[0].w, x.codes);
    ternary_matmul(std::span<const product>(products, to.size()), x.codes, x.sums,
                   {scratch.allocate<std::byte>(bytes), bytes}, ex);
  }

  /// Inference on packed weights (M, K); the same bits as forward() of the weights they were made
  /// from. `scratch` holds about N (K + 4 M) bytes.
  template <class Format>
  static void forward_packed(matrix_view<const T> x, const ternary_weights_view<Format, T>& w,
                             row_view<const T> bias, matrix_view<T> y, arena& scratch,
                             executor_ref ex = {}, const ActQ& activation_quantizer = {}) {
    const arena_scope temporaries(scratch);
    const output<Format> to{w.trits, w.scales(), w.scale_rows, bias, y};
    multiply<Format>(quantize(x, scratch, ex, activation_quantizer), {&to, 1}, scratch, ex);
  }

 private:
  static matrix_view<T> dequantized_weights(const saved& s, arena& scratch, executor_ref ex) {
    const auto w = scratch.matrix<T>(s.w_codes.rows, s.w_codes.cols);
    dequantize<T>(s.w_codes, s.w_scales, WeightQ::scale_block(w.rows, w.cols), w, ex);
    return w;
  }

  /// Whether the tensor or each of its rows has one scale.
  static bool whole(const saved& s) {
    return s.w_scales.cols == 1 && (s.w_scales.rows == 1 || s.w_scales.rows == s.w_codes.rows);
  }

  static row_view<const T> row_scales(const saved& s) {
    return {s.w_scales.data, s.w_codes.rows, s.w_scales.rows == 1 ? 0 : s.w_scales.row_stride};
  }
};

/// The same with SubLN before the quantization: y = Qa(sub_ln(x)) Qw(w)^T + b.
template <class T, class WeightQ, class ActQ>
struct bit_linear<T, WeightQ, ActQ, sub_ln<T>> {
  using product = bit_linear<T, WeightQ, ActQ>;  ///< without the norm

  /// What the backward needs.
  struct saved {
    typename product::saved codes;  ///< of sub_ln(x) and w
    row_view<T> inv_rms;            ///< N
  };

  /// Uninitialised, alive until `memory` is rewound.
  static saved make_saved(arena& memory, std::size_t n, std::size_t k, std::size_t m) {
    return {product::make_saved(memory, n, k, m), {memory.allocate<T>(n), n}};
  }

  /// As without a norm, of norm(x). Each row is quantized where its norm left it in the cache.
  static typename product::tokens quantize(matrix_view<const T> x, row_view<const T> gain, T eps,
                                           arena& memory, executor_ref ex = {},
                                           const ActQ& activation_quantizer = {}) {
    const auto normed = memory.matrix<T>(x.rows, x.cols);
    const auto codes = memory.matrix<std::int8_t>(x.rows, x.cols);
    const row_view<T> scales(memory.allocate<T>(x.rows), x.rows);
    const row_view<std::int32_t> sums(memory.allocate<std::int32_t>(x.rows), x.rows);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const auto row = normed.block(r, 0, 1, x.cols);
      sub_ln<T>::forward(x.block(r, 0, 1, x.cols), gain, eps, row, {}, {});
      activation_quantizer.template quantize<T>(row, codes.block(r, 0, 1, x.cols), {&scales[r], 1},
                                                {&sums[r], 1}, {});
    });
    return {codes, scales, sums};
  }

  /// gain: K elements, or null for ones; the rest as without a norm.
  static void forward(matrix_view<const T> x, row_view<const T> gain, T eps, matrix_view<const T> w,
                      row_view<const T> bias, matrix_view<T> y, const saved& s, arena& scratch,
                      executor_ref ex = {}, const WeightQ& weight_quantizer = {},
                      const ActQ& activation_quantizer = {}) {
    const arena_scope temporaries(scratch);
    const auto normed = scratch.matrix<T>(x.rows, x.cols);
    sub_ln<T>::forward(x, gain, eps, normed, s.inv_rms, ex);
    product::forward(normed, w, bias, y, s.codes, scratch, ex, weight_quantizer,
                     activation_quantizer);
  }

  /// Needs the x and gain of the forward; dgain: K elements. Null outputs are skipped.
  static void backward(matrix_view<const T> dy, matrix_view<const T> x, row_view<const T> gain,
                       const saved& s, matrix_view<T> dx, row_view<T> dgain, matrix_view<T> dw,
                       row_view<T> dbias, arena& scratch, executor_ref ex = {}) {
    const arena_scope temporaries(scratch);
    const auto dnormed = scratch.matrix<T>(x.rows, x.cols);
    std::fill_n(dnormed.data, dnormed.size(), T(0));
    product::backward(dy, s.codes, dnormed, dw, dbias, scratch, ex);
    sub_ln<T>::backward(dnormed, x, gain, s.inv_rms, dx, dgain, ex);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/cross_entropy.hpp

// Next-token cross-entropy. The gradient comes in blocks of vocabulary columns, so that a caller
// feeds each block straight into the head's products and no second N x V matrix exists.

namespace tern::inline TERN_ABI {

/// mean_i(logsumexp(logits_i) - logits_i[targets_i]) over the rows whose target is not
/// ignore_index. logits: (N, V); targets: (N); lse: (N), the saved log-sum-exp of every row that
/// counts.
template <class T>
struct cross_entropy {
  static constexpr std::int32_t ignore_index = -100;  ///< a target that does not count

  /// Rows that count.
  static std::size_t valid_count(std::span<const std::int32_t> targets) {
    return targets.size() -
           static_cast<std::size_t>(std::count(targets.begin(), targets.end(), ignore_index));
  }

  /// The mean loss, 0 where no row counts. Throws shape_error; config_error where a target is
  /// neither ignore_index nor in [0, V).
  static double forward(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                        row_view<T> lse, executor_ref ex = {}) {
    check(logits, targets, lse.size);
    for_each_row(logits.rows, logits.cols, ex, [&](std::size_t i) {
      if (targets[i] != ignore_index) lse[i] = log_sum_exp<T>(logits.row(i));
    });
    double total = 0;
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (targets[i] != ignore_index)
        total += static_cast<double>(lse[i] - logits(i, static_cast<std::size_t>(targets[i])));
    const std::size_t valid = valid_count(targets);
    return valid == 0 ? 0 : total / static_cast<double>(valid);
  }

  /// block += scale * d loss / d logits for the columns [first_column, first_column + block.cols):
  /// (softmax - onehot) / valid in rows that count. block: (N, C).
  static void backward_columns(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                               row_view<const T> lse, T scale, std::size_t first_column,
                               matrix_view<T> block, executor_ref ex = {}) {
    check(logits, targets, lse.size);
    require_columns(logits, first_column, block, "cross_entropy: block");
    const std::size_t valid = valid_count(targets);
    if (valid == 0) return;
    const T each = scale / static_cast<T>(valid);
    const simd::batch<T> factor(each);
    for_each_row(block.rows, block.cols, ex, [&](std::size_t i) {
      if (targets[i] == ignore_index) return;
      const row_view<T> g = block.row(i);
      const simd::batch<T> shift(lse[i]);
      simd::transform(
          g, [&](const auto& sum, const auto& z) { return sum + factor * xsimd::exp(z - shift); },
          row_view<const T>(g), logits.col_block(first_column, block.cols).row(i));
      const auto target = static_cast<std::size_t>(targets[i]);
      if (target >= first_column && target - first_column < g.size)
        g[target - first_column] -= each;
    });
  }

  /// Throws shape_error unless block has the rows of logits and its columns lie inside them.
  static void require_columns(matrix_view<const T> logits, std::size_t first_column,
                              matrix_view<T> block, const char* what) {
    require_shape(block, logits.rows, block.cols, what);
    if (first_column > logits.cols || block.cols > logits.cols - first_column)
      throw shape_error(std::string(what) + ": columns [" + std::to_string(first_column) + ", " +
                        std::to_string(first_column + block.cols) + ") of " +
                        std::to_string(logits.cols));
  }

 private:
  static void check(matrix_view<const T> logits, std::span<const std::int32_t> targets,
                    std::size_t lse_size) {
    require_size(targets.size(), logits.rows, "cross_entropy: targets");
    require_size(lse_size, logits.rows, "cross_entropy: lse");
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (targets[i] != ignore_index &&
          (targets[i] < 0 || static_cast<std::size_t>(targets[i]) >= logits.cols))
        throw config_error("cross_entropy: target " + std::to_string(targets[i]) + " of row " +
                           std::to_string(i) + " is outside [0, " + std::to_string(logits.cols) +
                           ")");
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/embedding.hpp

// Token embedding: row lookup in a table.

namespace tern::inline TERN_ABI {

template <class T>
struct embedding {
  /// y[i] = scale * table[tokens[i]]. table: (V, D), y: (N, D). Throws shape_error, and
  /// config_error for an id outside [0, V), before anything is written.
  static void forward(std::span<const std::int32_t> tokens, matrix_view<const T> table,
                      matrix_view<T> y, executor_ref ex = {}, T scale = T(1)) {
    require_shape(y, tokens.size(), table.cols, "embedding: y");
    require_ids(tokens, table.rows);
    const simd::batch<T> factor(scale);
    for_each_row(y.rows, y.cols, ex, [&](std::size_t r) {
      simd::transform(
          y.row(r), [&](const auto& v) { return v * factor; }, table.row(index(tokens[r])));
    });
  }

  /// dtable[tokens[i]] += scale * dy[i], in the order of i for every element: repeated tokens add
  /// up the same way with any number of threads. A null dtable is skipped.
  static void backward(matrix_view<const T> dy, std::span<const std::int32_t> tokens,
                       matrix_view<T> dtable, executor_ref ex = {}, T scale = T(1)) {
    if (!dtable) return;
    require_shape(dy, tokens.size(), dtable.cols, "embedding: dy");
    require_ids(tokens, dtable.rows);
    for_column_blocks(dy.rows, dy.cols, ex, [&](std::size_t first, std::size_t count) {
      const matrix_view<const T> from = dy.col_block(first, count);
      const matrix_view<T> to = dtable.col_block(first, count);
      for (std::size_t r = 0; r < dy.rows; ++r)
        simd::axpy(scale, from.row(r), to.row(index(tokens[r])));
    });
  }

  /// Throws config_error for an id outside [0, vocabulary).
  static void require_ids(std::span<const std::int32_t> tokens, std::size_t vocabulary) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] < 0 || index(tokens[i]) >= vocabulary)
        throw config_error("embedding: token " + std::to_string(i) + " has id " +
                           std::to_string(tokens[i]) + ", the table has " +
                           std::to_string(vocabulary) + " rows");
  }

 private:
  static std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/feed_forward.hpp

// The gated feed-forward's pointwise part, y = act(gate) * up (Shazeer, "GLU Variants Improve
// Transformer", 2020): SwiGLU, GeGLU, and the squared ReLU of BitNet b1.58 2B4T.

namespace tern::inline TERN_ABI {

/// Of the gate; gelu_tanh is the approximation by tanh (Hendrycks and Gimpel 2016).
enum class activation {
  silu,       ///< g / (1 + exp(-g))
  gelu_tanh,  ///< the tanh approximation of GELU (Gemma)
  gelu,       ///< g Phi(g), Phi the normal distribution function
  relu2,      ///< max(g, 0)^2
};

namespace detail {

/// Value and derivative of an activation at every lane.
template <class B>
struct value_and_slope {
  B value, slope;
};

template <class B>
B sigmoid(const B& x) {
  return B(1) / (B(1) + xsimd::exp(-x));
}

struct silu {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    const B s = sigmoid(g);
    return {g * s, s * (B(1) + g * (B(1) - s))};
  }
};

struct gelu_tanh {
  /// (1 + tanh(u)) / 2 = sigmoid(2u) with u = sqrt(2/pi) (g + 0.044715 g^3).
  template <class B>
  static value_and_slope<B> at(const B& g) {
    using T = typename B::value_type;
    const B twice(static_cast<T>(2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi));
    const B cubic(static_cast<T>(0.044715)), square = g * g;
    const B s = sigmoid(twice * g * (B(1) + cubic * square));
    return {g * s, s + g * s * (B(1) - s) * twice * (B(1) + B(3) * cubic * square)};
  }
};

struct gelu {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    using T = typename B::value_type;
    constexpr double inv_sqrt2 = 1 / std::numbers::sqrt2;
    const B half(static_cast<T>(0.5)), scaled = g * B(static_cast<T>(inv_sqrt2));
    const B distribution = half * (B(1) + xsimd::erf(scaled));
    const B density =
        B(static_cast<T>(inv_sqrt2 * std::numbers::inv_sqrtpi)) * xsimd::exp(-half * g * g);
    return {g * distribution, distribution + g * density};
  }
};

struct relu2 {
  template <class B>
  static value_and_slope<B> at(const B& g) {
    const B positive = xsimd::max(g, B(0));
    return {positive * positive, positive + positive};
  }
};

/// f(policy) for the policy that `a` names.
template <class F>
void with_activation(activation a, F&& f) {
  switch (a) {
    case activation::silu:
      return f(silu{});
    case activation::gelu_tanh:
      return f(gelu_tanh{});
    case activation::gelu:
      return f(gelu{});
    case activation::relu2:
      return f(relu2{});
  }
  throw config_error("gated_activation: unknown activation");
}

}  // namespace detail

/// y = act(gate) * up, element by element (Shazeer, "GLU variants", 2020).
template <class T>
struct gated_activation {
  /// y = act(gate) * up, all (N, F); y may be gate or up itself.
  static void forward(activation a, matrix_view<const T> gate, matrix_view<const T> up,
                      matrix_view<T> y, executor_ref ex = {}) {
    require_shape(gate, y.rows, y.cols, "gated_activation: gate");
    require_shape(up, y.rows, y.cols, "gated_activation: up");
    detail::with_activation(a, [&](auto act) {
      for_each_row(y.rows, y.cols, ex, [&](std::size_t r) {
        simd::transform(
            y.row(r), [&](const auto& g, const auto& u) { return act.at(g).value * u; },
            gate.row(r), up.row(r));
      });
    });
  }

  /// dgate += dy up act'(gate), dup += dy act(gate); null outputs are skipped.
  static void backward(activation a, matrix_view<const T> dy, matrix_view<const T> gate,
                       matrix_view<const T> up, matrix_view<T> dgate, matrix_view<T> dup,
                       executor_ref ex = {}) {
    require_shape(gate, dy.rows, dy.cols, "gated_activation: gate");
    require_shape(up, dy.rows, dy.cols, "gated_activation: up");
    if (dgate) require_shape(dgate, dy.rows, dy.cols, "gated_activation: dgate");
    if (dup) require_shape(dup, dy.rows, dy.cols, "gated_activation: dup");
    detail::with_activation(a, [&](auto act) {
      for_each_row(dy.rows, dy.cols, ex, [&](std::size_t r) {
        T nowhere(0);
        const auto row = [&](matrix_view<T> m) {
          return m ? m.row(r) : row_view<T>(&nowhere, dy.cols, 0);
        };
        const row_view<T> g_out = row(dgate), u_out = row(dup);
        simd::transform(
            std::array{g_out, u_out},
            [&](const auto& d, const auto& g, const auto& u, const auto& dg, const auto& du) {
              const auto [value, slope] = act.at(g);
              return std::array{simd::batch<T>(dg + d * u * slope), simd::batch<T>(du + d * value)};
            },
            dy.row(r), gate.row(r), up.row(r), row_view<const T>(g_out), row_view<const T>(u_out));
      });
    });
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/rope.hpp

// Rotary position embedding (Su et al., "RoFormer", 2021): pair i of a head of D elements is turned
// by the angle position * theta^(-2i/D), the frequency scaled where a model's context was extended.

namespace tern::inline TERN_ABI {

/// Which elements of a head form pair i.
enum class rope_pairing {
  halves,    ///< (i, i + D/2): Hugging Face Llama, Qwen, Gemma
  adjacent,  ///< (2i, 2i + 1): the RoFormer paper, Meta's Llama, llama2.c
};

/// How a model's context was extended.
enum class rope_scaling_kind {
  none,
  linear,  ///< all frequencies divided by the factor (position interpolation, arXiv 2306.15595)
  llama3,  ///< only those of long waves, the middle ones in part (Llama 3.1)
};

/// How frequencies change for a longer context. The last three are of llama3 alone: waves longer
/// than original_positions / low_freq_factor are divided, those shorter than original_positions /
/// high_freq_factor stay.
struct rope_scaling {
  rope_scaling_kind kind = rope_scaling_kind::none;              ///< what applies
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;  ///< context grows by `factor`
  std::size_t original_positions = 8192;                         ///< context of pretraining

  bool operator==(const rope_scaling&) const = default;

  /// Throws config_error where the factors make no sense.
  void validate() const {
    if (!(factor > 0)) throw config_error("rope_scaling: factor must be positive");
    if (kind == rope_scaling_kind::llama3 &&
        !(low_freq_factor > 0 && high_freq_factor > low_freq_factor && original_positions > 0))
      throw config_error(
          "rope_scaling: llama3 needs 0 < low_freq_factor < high_freq_factor and "
          "original_max_position_embeddings");
  }

  /// What becomes of a frequency, in radians a position.
  [[nodiscard]] double scaled(double frequency) const {
    if (kind == rope_scaling_kind::none) return frequency;
    if (kind == rope_scaling_kind::linear) return frequency / factor;
    const double waves =
        static_cast<double>(original_positions) * frequency / (2 * std::numbers::pi);
    const double kept =
        std::clamp((waves - low_freq_factor) / (high_freq_factor - low_freq_factor), 0.0, 1.0);
    return frequency * (kept + (1 - kept) / factor);
  }
};

/// Cosines and sines of every angle, computed in double.
template <class T>
class rope_table {
 public:
  /// Throws config_error unless head_dim is even and positive and theta is positive.
  rope_table(std::size_t head_dim, double theta, std::size_t positions,
             rope_pairing pairing = rope_pairing::halves, const rope_scaling& scaling = {})
      : head_dim_(head_dim), pairing_(pairing) {
    if (head_dim == 0 || head_dim % 2 != 0)
      throw config_error("rope_table: head_dim must be even, got " + std::to_string(head_dim));
    if (!(theta > 0)) throw config_error("rope_table: theta must be positive");
    scaling.validate();
    for (std::size_t i = 0; i < head_dim / 2; ++i)
      frequencies_.push_back(scaling.scaled(
          std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim))));
    extend(positions);
  }

  /// Makes the table hold at least so many positions; those it has stay as they are.
  void extend(std::size_t positions) {
    for (; positions_ < positions; ++positions_)
      for (const double frequency : frequencies_) {
        const double angle = static_cast<double>(positions_) * frequency;
        cos_.push_back(static_cast<T>(std::cos(angle)));
        sin_.push_back(static_cast<T>(std::sin(angle)));
      }
  }

  [[nodiscard]] std::size_t head_dim() const { return head_dim_; }  ///< even
  /// Positions 0 to this - 1 are there.
  [[nodiscard]] std::size_t max_positions() const { return positions_; }
  [[nodiscard]] rope_pairing pairing() const { return pairing_; }  ///< of the elements of a head
  /// D/2 elements, one to a pair.
  [[nodiscard]] row_view<const T> cosines(std::size_t position) const {
    return {cos_.data() + position * (head_dim_ / 2), head_dim_ / 2};
  }
  [[nodiscard]] row_view<const T> sines(std::size_t position) const {
    return {sin_.data() + position * (head_dim_ / 2), head_dim_ / 2};
  }

 private:
  std::size_t head_dim_, positions_ = 0;
  rope_pairing pairing_;
  std::vector<double> frequencies_;
  std::vector<T> cos_, sin_;
};

template <class T>
struct rope {
  /// Turns every head of x in place. x: (N, heads * head_dim), positions: N entries. Throws
  /// shape_error, and config_error for a position outside the table.
  static void forward(matrix_view<T> x, std::span<const std::int32_t> positions,
                      const rope_table<T>& table, executor_ref ex = {}) {
    rotate(x, positions, table, T(1), ex);
  }

  /// A rotation is orthogonal: the gradient with respect to the output, turned back in place, is
  /// the gradient with respect to the input.
  static void backward(matrix_view<T> dy, std::span<const std::int32_t> positions,
                       const rope_table<T>& table, executor_ref ex = {}) {
    if (dy) rotate(dy, positions, table, T(-1), ex);
  }

 private:
  static void rotate(matrix_view<T> x, std::span<const std::int32_t> positions,
                     const rope_table<T>& table, T direction, executor_ref ex) {
    const std::size_t d = table.head_dim();
    require_size(positions.size(), x.rows, "rope: positions");
    require_size(x.cols % d, 0, "rope: columns of x modulo head_dim");
    for (const std::int32_t p : positions)
      if (p < 0 || static_cast<std::size_t>(p) >= table.max_positions())
        throw config_error("rope: position " + std::to_string(p) + " is outside the table of " +
                           std::to_string(table.max_positions()));
    const bool halves = table.pairing() == rope_pairing::halves;
    const std::size_t stride = x.col_stride * (halves ? 1 : 2);
    for_each_row(x.rows, x.cols, ex, [&](std::size_t r) {
      const auto position = static_cast<std::size_t>(positions[r]);
      for (std::size_t c = 0; c < x.cols; c += d)
        turn({&x(r, c), d / 2, stride}, {&x(r, c + (halves ? d / 2 : 1)), d / 2, stride},
             table.cosines(position), table.sines(position), direction);
    });
  }

  /// (a, b) = (a cos - b sin, b cos + a sin), the sine times `direction`.
  static void turn(row_view<T> a, row_view<T> b, row_view<const T> cosines, row_view<const T> sines,
                   T direction) {
    const simd::batch<T> sign(direction);
    simd::transform(
        std::array{a, b},
        [&](const auto& u, const auto& v, const auto& c, const auto& s) {
          const simd::batch<T> t = sign * s;
          return std::array{simd::batch<T>(u * c - v * t), simd::batch<T>(v * c + u * t)};
        },
        row_view<const T>(a), row_view<const T>(b), cosines, sines);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/distill/logits.hpp

// Distillation of logits (BitDistill, stage 3, L_LD): the student's next-token distribution follows
// the teacher's. Gradients come in blocks of vocabulary columns, as in cross_entropy.hpp.

namespace tern::inline TERN_ABI {

/// The paper has no tau^2 factor (default), the official code multiplies by it.
struct logits_options {
  double tau = 5;            ///< temperature
  bool tau_squared = false;  ///< multiply by tau^2
};

/// mean_i KL(softmax(z_T,i / tau) || softmax(z_S,i / tau)), times tau^2 if asked. student, teacher:
/// (N, V), all rows count; lse_student, lse_teacher: (N), the saved log-sum-exp of z / tau.
template <class T>
struct logits_loss {
  /// The loss, 0 for no rows. Throws shape_error; config_error unless tau > 0.
  static double forward(matrix_view<const T> student, matrix_view<const T> teacher,
                        const logits_options& options, row_view<T> lse_student,
                        row_view<T> lse_teacher, executor_ref ex = {}) {
    check(student, teacher, options, lse_student.size, lse_teacher.size);
    if (student.rows == 0) return 0;
    std::array<double, 64> partial{};
    const std::size_t grain = (student.rows + partial.size() - 1) / partial.size();
    const T factor = static_cast<T>(1 / options.tau);
    ex.parallel_for(student.rows, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const row_view<const T> s = student.row(i), t = teacher.row(i);
        lse_student[i] = log_sum_exp<T>(s, factor);
        lse_teacher[i] = log_sum_exp<T>(t, factor);
        partial[begin / grain] +=
            static_cast<double>(divergence(s, t, factor, lse_student[i], lse_teacher[i]));
      }
    });
    double total = 0;
    for (const double p : partial) total += p;
    return total * weight(options) / static_cast<double>(student.rows);
  }

  /// block += scale * d loss / d student for the columns [first_column, first_column + block.cols):
  /// (softmax_S - softmax_T) / (tau N), times tau^2 if asked. block: (N, C).
  static void backward_columns(matrix_view<const T> student, matrix_view<const T> teacher,
                               const logits_options& options, row_view<const T> lse_student,
                               row_view<const T> lse_teacher, T scale, std::size_t first_column,
                               matrix_view<T> block, executor_ref ex = {}) {
    check(student, teacher, options, lse_student.size, lse_teacher.size);
    cross_entropy<T>::require_columns(student, first_column, block, "logits_loss: block");
    if (student.rows == 0) return;
    const simd::batch<T> factor(static_cast<T>(1 / options.tau)),
        each(static_cast<T>(static_cast<double>(scale) * weight(options) /
                            (options.tau * static_cast<double>(student.rows))));
    for_each_row(block.rows, block.cols, ex, [&](std::size_t i) {
      const simd::batch<T> shift_s(lse_student[i]), shift_t(lse_teacher[i]);
      simd::transform(
          block.row(i),
          [&](const auto& g, const auto& s, const auto& t) {
            return g + each * (xsimd::exp(s * factor - shift_s) - xsimd::exp(t * factor - shift_t));
          },
          row_view<const T>(block.row(i)), student.col_block(first_column, block.cols).row(i),
          teacher.col_block(first_column, block.cols).row(i));
    });
  }

 private:
  static double weight(const logits_options& o) { return o.tau_squared ? o.tau * o.tau : 1; }

  /// sum_j t_j log(t_j / s_j) + s_j - t_j. The last two cancel in the sum, but with them each term
  /// is non-negative and of second order in the difference: no cancellation for close
  /// distributions.
  static T divergence(row_view<const T> student, row_view<const T> teacher, T factor, T lse_s,
                      T lse_t) {
    const simd::batch<T> by(factor), shift_s(lse_s), shift_t(lse_t);
    return simd::sum(
        [&](const auto& zs, const auto& zt) {
          const auto log_s = zs * by - shift_s, log_t = zt * by - shift_t;
          const auto t = xsimd::exp(log_t);
          return t * (log_t - log_s) + (xsimd::exp(log_s) - t);
        },
        student, teacher);
  }

  static void check(matrix_view<const T> student, matrix_view<const T> teacher,
                    const logits_options& options, std::size_t lse_s, std::size_t lse_t) {
    require_shape(teacher, student.rows, student.cols, "logits_loss: teacher");
    require_size(lse_s, student.rows, "logits_loss: lse_student");
    require_size(lse_t, student.rows, "logits_loss: lse_teacher");
    if (!(options.tau > 0)) throw config_error("logits_loss: tau must be positive");
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/distill/relation_options.hpp

// What is compared in the distillation of attention relations, and how it is averaged: where the
// BitDistill paper and its official code disagree, both, by name.

namespace tern::inline TERN_ABI {

/// From states s (T, D) to the rows whose KL divergence is taken.
enum class relation_form {
  cosine,      ///< softmax(s s^T / temperature), rows of s L2-normalised: Algorithm 1, the code
  scaled_dot,  ///< softmax(A A^T / (sqrt(D) temperature)): Eq. 11 and MiniLMv2 at temperature 1
};

/// What a relation loss is averaged over.
enum class relation_normaliser {
  paper,     ///< mean over split heads and rows
  official,  ///< that, further divided by n_layers * split_heads
};

/// Which rows and columns of a relation count.
enum class relation_mask {
  all,     ///< every position, padding too: Algorithm 1
  nonpad,  ///< rows and columns below the sequence's valid length
  causal,  ///< as nonpad, and row t sees columns up to t
};

/// Defaults: Algorithm 1 of the paper.
struct relation_options {
  std::size_t split_heads = 32;  ///< heads that Q, K and V are split into anew; divides their width
  relation_form form = relation_form::cosine;                   ///< of both sides
  relation_normaliser normaliser = relation_normaliser::paper;  ///< of the loss
  std::size_t n_layers = 1;  ///< layers distilled; the official normaliser divides by it
  relation_mask mask = relation_mask::all;  ///< of both sides
  double temperature = 1;                   ///< of both softmaxes
  double clamp = 1e-8;  ///< probabilities of both sides are raised to it before the logarithm
};

}  // namespace tern::inline TERN_ABI

// ==== tern/distill/relation_head.hpp

// One split head of one sequence in the relation loss: its rows, normalised where the form asks,
// the scores between them, and the way back through the normalisation.

namespace tern::inline TERN_ABI {

template <class T>
struct relation_head {
  matrix_view<T> x;     ///< (length, D), dense: rows of the head, of length 1 for cosine
  row_view<T> inverse;  ///< (length) 1 / |row|; null for scaled_dot
  T factor;             ///< scores are factor * x x^T

  /// Elements load() needs for sequences of `longest` tokens.
  static std::size_t size(std::size_t longest, std::size_t d) { return longest * (d + 1); }

  /// Copies rows (length, D) into memory. Like PyTorch's normalize, a row shorter than 1e-12 is
  /// divided by 1e-12.
  static relation_head load(matrix_view<const T> rows, const relation_options& options, T* memory) {
    const bool cosine = options.form == relation_form::cosine;
    const double root = cosine ? 1 : std::sqrt(static_cast<double>(rows.cols));
    relation_head head{
        {memory, rows.rows, rows.cols}, {}, static_cast<T>(1 / (root * options.temperature))};
    if (cosine) head.inverse = {memory + head.x.size(), rows.rows};
    for (std::size_t i = 0; i < rows.rows; ++i) {
      const row_view<const T> row = rows.row(i);
      if (!cosine) {
        std::copy_n(row.data, row.size, head.x.row(i).data);
        continue;
      }
      head.inverse[i] = std::min(max_inverse, 1 / std::sqrt(simd::dot(row, row)));
      const simd::batch<T> by(head.inverse[i]);
      simd::transform(
          head.x.row(i), [&](const auto& a) { return a * by; }, row);
    }
    return head;
  }

  /// z = factor * x x^T in the band.
  void score(const score_band& b, matrix_view<T> z) const {
    const matrix_view<const T> all = x;
    b.score(factor, all.row_block(b.first, b.rows), all, z);
  }

  /// dx += the gradient of the scores for dz, times scale: x is on both sides of the product.
  void score_backward(T scale, const score_band& b, matrix_view<const T> dz,
                      matrix_view<T> dx) const {
    const matrix_view<const T> all = x, seen = dz.col_block(0, b.cols);
    detail::gemm_block<T>(scale * factor, seen, all.row_block(0, b.cols),
                          dx.row_block(b.first, b.rows), true);
    detail::gemm_block<T>(scale * factor, seen.transposed(), all.row_block(b.first, b.rows),
                          dx.row_block(0, b.cols), true);
  }

  /// drows += the gradient through the normalisation, (dx - x (x . dx)) / |row|.
  void load_backward(matrix_view<const T> dx, matrix_view<T> drows) const {
    for (std::size_t i = 0; i < dx.rows; ++i) {
      const T scale = inverse ? inverse[i] : T(1);
      simd::axpy<T>(scale, dx.row(i), drows.row(i));
      if (inverse && scale < max_inverse)
        simd::axpy<T>(-scale * simd::dot(x.row(i), dx.row(i)), x.row(i), drows.row(i));
    }
  }

 private:
  static constexpr T max_inverse = T(1e12);
};

}  // namespace tern::inline TERN_ABI

// ==== tern/distill/relation.hpp

// Distillation of attention relations (BitDistill, stage 3, L_AD; MiniLMv2): which tokens the
// student's Q, K or V vectors of a layer resemble follows the teacher's. Only relations are
// compared, so widths and head counts may differ. Tiled like attention: memory is linear in
// sequence length.

namespace tern::inline TERN_ABI {

/// One of Q, K, V of one layer: c * sum_a sum_t KL(R_T[a,t,:] || R_S[a,t,:]), c = 1 / (split_heads
/// * rows that count). Columns are cut into split_heads groups of D; group a of a sequence gives
/// the relation matrix R[a] of its tokens. With clamped r = max(R, clamp) the divergence of a row
/// is sum_j r_T log(r_T / r_S), and its gradient is that of this formula: a student's probability
/// below the clamp receives none through the logarithm (it still takes part in the softmax).
/// student: (N, ds), teacher: (N, dt), both widths multiples of split_heads; offsets: (B + 1);
/// lengths: (B) valid tokens, empty for full. Rows must be contiguous.
/// Scratch: below 32 * T * ((2 ds + dt) / split_heads + 131) elements, T the longest sequence
/// rounded up to 16; released again.
template <class T>
struct relation_loss {
  /// Columns of `stats` (N rows): the log-sum-exp of each row of R_S[a], then of each of R_T[a].
  static std::size_t stats_columns(const relation_options& options) {
    return 2 * options.split_heads;
  }

  /// The loss, 0 where no row counts. Throws shape_error and config_error.
  static double forward(matrix_view<const T> student, matrix_view<const T> teacher,
                        std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                        const relation_options& options, matrix_view<T> stats, arena& scratch,
                        executor_ref ex = {}) {
    const problem p(student, teacher, offsets, lengths, options, stats);
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, false);
    const divergence kl(options);
    std::array<double, sequence_tasks::most_runs> partial{};
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t a,
                             std::size_t run) {
      const std::size_t length = p.valid(sequence);
      const head s = head::load(p.rows(student, first, length, a), options, memory.student(run)),
                 t = head::load(p.rows(teacher, first, length, a), options, memory.teacher(run));
      for (std::size_t r = 0; r < length; r += score_band::most_rows) {
        const score_band b(r, length, p.causal());
        const matrix_view<T> zs = memory.student_scores.tile(run, b),
                             zt = memory.teacher_scores.tile(run, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i) {
          T& lse_s = stats(first + r + i, a);
          T& lse_t = stats(first + r + i, options.split_heads + a);
          lse_s = log_sum_exp<T>(zs.row(i));
          lse_t = log_sum_exp<T>(zt.row(i));
          partial[run] += static_cast<double>(kl.value(zs.row(i), zt.row(i), lse_s, lse_t));
        }
      }
    });
    return std::accumulate(partial.begin(), partial.end(), 0.0) * p.weight();
  }

  /// dstudent += scale * d loss / d student, with stats as forward left them; null: nothing to do.
  static void backward(matrix_view<const T> student, matrix_view<const T> teacher,
                       std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                       const relation_options& options, matrix_view<const T> stats, T scale,
                       matrix_view<T> dstudent, arena& scratch, executor_ref ex = {}) {
    if (!dstudent) return;
    const problem p(student, teacher, offsets, lengths, options, stats);
    require_rows(dstudent, student.rows, student.cols, "relation_loss: dstudent");
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, true);
    const divergence kl(options);
    const T each = static_cast<T>(static_cast<double>(scale) * p.weight());
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t a,
                             std::size_t run) {
      const std::size_t length = p.valid(sequence);
      const head s = head::load(p.rows(student, first, length, a), options, memory.student(run)),
                 t = head::load(p.rows(teacher, first, length, a), options, memory.teacher(run));
      const matrix_view<T> ds = memory.gradient(run).row_block(0, length);
      std::fill_n(ds.data, ds.size(), T(0));
      for (std::size_t r = 0; r < length; r += score_band::most_rows) {
        const score_band b(r, length, p.causal());
        const matrix_view<T> zs = memory.student_scores.tile(run, b),
                             zt = memory.teacher_scores.tile(run, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i)
          kl.gradient(zs.row(i), zt.row(i), stats(first + r + i, a),
                      stats(first + r + i, options.split_heads + a));
        s.score_backward(each, b, zs, ds);
      }
      s.load_backward(ds, p.rows(dstudent, first, length, a));
    });
  }

 private:
  using head = relation_head<T>;

  /// The operands, checked, and how they fall into tasks.
  struct problem {
    std::span<const std::size_t> offsets, lengths;
    const relation_options& options;
    std::size_t longest, student_width, teacher_width;
    sequence_tasks tasks;

    problem(matrix_view<const T> student, matrix_view<const T> teacher,
            std::span<const std::size_t> offsets_, std::span<const std::size_t> lengths_,
            const relation_options& o, matrix_view<const T> stats)
        : offsets(offsets_),
          lengths(lengths_),
          options(o),
          longest(longest_sequence(offsets_, student.rows, "relation_loss")),
          student_width(width(student, student.rows, o, "relation_loss: student")),
          teacher_width(width(teacher, student.rows, o, "relation_loss: teacher")),
          tasks(offsets_, o.split_heads) {
      require_shape(stats, student.rows, stats_columns(o), "relation_loss: stats");
      if (!(o.temperature > 0) || !(o.clamp >= 0) || o.n_layers == 0)
        throw config_error("relation_loss: temperature and n_layers must be positive, clamp >= 0");
      if (lengths.empty()) return;
      require_size(lengths.size(), offsets.size() - 1, "relation_loss: lengths");
      for (std::size_t i = 0; i < lengths.size(); ++i)
        if (lengths[i] > offsets[i + 1] - offsets[i])
          throw shape_error("relation_loss: length of sequence " + std::to_string(i) +
                            " is above its size");
    }

    [[nodiscard]] bool causal() const { return options.mask == relation_mask::causal; }

    /// Rows and columns of a sequence that take part.
    [[nodiscard]] std::size_t valid(std::size_t sequence) const {
      return lengths.empty() || options.mask == relation_mask::all
                 ? offsets[sequence + 1] - offsets[sequence]
                 : lengths[sequence];
    }

    /// Split head a of the tokens [first, first + length).
    template <class U>
    matrix_view<U> rows(matrix_view<U> m, std::size_t first, std::size_t length,
                        std::size_t a) const {
      const std::size_t d = m.cols / options.split_heads;
      return m.block(first, a * d, length, d);
    }

    [[nodiscard]] double weight() const {
      std::size_t rows = 0;
      for (std::size_t i = 0; i + 1 < offsets.size(); ++i) rows += valid(i);
      if (rows == 0) return 0;
      const auto heads = static_cast<double>(options.split_heads);
      const double mean = 1 / (heads * static_cast<double>(rows));
      return options.normaliser == relation_normaliser::paper
                 ? mean
                 : mean / (static_cast<double>(options.n_layers) * heads);
    }

    static std::size_t width(matrix_view<const T> m, std::size_t rows, const relation_options& o,
                             const char* what) {
      require_rows(m, rows, m.cols, what);
      if (o.split_heads == 0 || m.cols % o.split_heads != 0)
        throw shape_error(std::string(what) + ": width " + std::to_string(m.cols) +
                          " is no multiple of split_heads " + std::to_string(o.split_heads));
      return m.cols / o.split_heads;
    }
  };

  /// Scratch of all runs: a tile of scores of each side, both heads, the gradient of the student's.
  class workspace {
   public:
    const score_tiles<T> student_scores, teacher_scores;

    workspace(arena& memory, const problem& p, bool with_gradient)
        : student_scores(memory, p.tasks.runs(), p.longest),
          teacher_scores(memory, p.tasks.runs(), p.longest),
          longest_(p.longest),
          student_width_(p.student_width),
          student_(head::size(p.longest, p.student_width)),
          teacher_(head::size(p.longest, p.teacher_width)),
          run_(student_ + teacher_ + (with_gradient ? student_ : 0)),
          data_(memory.template allocate<T>(p.tasks.runs() * run_)) {}

    [[nodiscard]] T* student(std::size_t run) const { return data_ + run * run_; }
    [[nodiscard]] T* teacher(std::size_t run) const { return student(run) + student_; }
    [[nodiscard]] matrix_view<T> gradient(std::size_t run) const {
      return {teacher(run) + teacher_, longest_, student_width_};
    }

   private:
    std::size_t longest_, student_width_, student_, teacher_, run_;
    T* data_;
  };

  /// KL(R_T || R_S) of one row of scores with clamped probabilities.
  struct divergence {
    simd::batch<T> least, low;  // the clamp and its logarithm, finite even for a clamp of 0

    explicit divergence(const relation_options& o)
        : least(static_cast<T>(o.clamp)),
          low(o.clamp > 0 ? static_cast<T>(std::log(o.clamp)) : std::numeric_limits<T>::lowest()) {}

    /// R_S - R_T, whose sum is 0, is added to each term: without the clamp each is then
    /// non-negative and of second order, so close relations do not cancel.
    T value(row_view<const T> zs, row_view<const T> zt, T lse_s, T lse_t) const {
      const simd::batch<T> shift_s(lse_s), shift_t(lse_t);
      return simd::sum(
          [&](const auto& a, const auto& b) {
            const auto log_s = a - shift_s, log_t = b - shift_t;
            const auto s = xsimd::exp(log_s), t = xsimd::exp(log_t);
            return xsimd::max(t, least) * (xsimd::max(log_t, low) - xsimd::max(log_s, low)) +
                   (s - t);
          },
          zs, zt);
    }

    /// zs <- d KL / d zs = R_S sum_k m_k - m, where m_j = max(R_T, clamp) if R_S >= clamp, else 0.
    void gradient(row_view<T> zs, row_view<T> zt, T lse_s, T lse_t) const {
      const simd::batch<T> shift_s(lse_s), shift_t(lse_t), zero(T(0));
      const row_view<const T> s = zs, t = zt;
      simd::transform(
          zt,
          [&](const auto& a, const auto& b) {
            return xsimd::select(a - shift_s >= low, xsimd::max(xsimd::exp(b - shift_t), least),
                                 zero);
          },
          s, t);
      const simd::batch<T> mass(simd::sum(t));
      simd::transform(
          zs, [&](const auto& a, const auto& m) { return xsimd::exp(a - shift_s) * mass - m; }, s,
          t);
    }
  };
};

}  // namespace tern::inline TERN_ABI

// ==== tern/grad/tape.hpp

// Reverse-mode recording: each op appends the closure that runs its backward. Values, gradients
// and closures lie in one arena that is rewound after the step, so a steady state allocates
// nothing.

namespace tern::inline TERN_ABI {

/// A value of the graph and where its gradient accumulates; a null gradient means "not wanted".
template <class T>
struct variable {
  matrix_view<T> value, grad;  ///< of one shape; a null grad: none is wanted

  /// Of the value.
  [[nodiscard]] std::size_t rows() const { return value.rows; }
  [[nodiscard]] std::size_t cols() const { return value.cols; }
};

template <class T>
class tape {
 public:
  /// `ex`: what runs the ops; `recording`: see there.
  explicit tape(executor_ref ex = {}, bool recording = true) : ex_(ex), recording_(recording) {}

  /// Whether gradients are wanted; a tape that does not record is an inference workspace.
  [[nodiscard]] bool recording() const { return recording_; }
  /// What ops of this tape run on.
  [[nodiscard]] executor_ref executor() const { return ex_; }
  /// Holds values, gradients and closures; rewound by reset().
  [[nodiscard]] arena& memory() { return arena_; }

  /// An uninitialised value with a zeroed gradient (none if not recording), alive until reset().
  variable<T> make(std::size_t rows, std::size_t cols) {
    variable<T> v{arena_.matrix<T>(rows, cols), {}};
    if (recording_) v.grad = zeros(rows, cols);
    return v;
  }

  /// A matrix of zeros from the tape's arena.
  matrix_view<T> zeros(std::size_t rows, std::size_t cols) {
    const matrix_view<T> m = arena_.matrix<T>(rows, cols);
    ex_.parallel_for(m.size(), std::size_t{1} << 15, [&](std::size_t begin, std::size_t end) {
      std::fill(m.data + begin, m.data + end, T(0));
    });
    return m;
  }

  /// Appends `backward`, a callable without arguments whose captures are plain data in this
  /// tape's arena or outlive the step. Dropped when not recording.
  template <class F>
  void record(F backward) {
    static_assert(std::is_trivially_destructible_v<F>, "capture views and numbers, not owners");
    if (!recording_) return;
    F* closure = new (arena_.allocate<F>(1)) F(backward);
    last_ = new (arena_.allocate<node>(1))
        node{last_, closure, [](void* f) { (*static_cast<F*>(f))(); }};
    ++size_;
  }

  /// Runs every recorded closure, last first. Temporaries of a closure are released after it.
  void backward() {
    for (; last_ != nullptr; last_ = last_->previous) {
      const arena_scope temporaries(arena_);
      last_->run(last_->closure);
    }
    size_ = 0;
  }

  /// Forgets the step; memory stays for the next one.
  void reset() {
    last_ = nullptr;
    size_ = 0;
    arena_.rewind();
  }

  [[nodiscard]] std::size_t size() const { return size_; }  ///< closures recorded

 private:
  struct node {
    node* previous;
    void* closure;
    void (*run)(void*);
  };

  executor_ref ex_;
  bool recording_;
  arena arena_;
  node* last_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/distill/objective.hpp

// The objective of stage 3 (arXiv 2510.13998, Eq. 13): L = CE + lambda * LD + gamma * AD, recorded
// on the student's tape. The gradient with respect to the logits exists one block of vocabulary
// columns at a time.

namespace tern::inline TERN_ABI {

/// The terms of a loss; `total` is weighted, the others are not.
struct loss_terms {
  double total = 0, ce = 0;  ///< ce: cross-entropy
  double ld = 0, ad = 0;     ///< distillation of logits, of attention relations

  /// Adds `share` times the terms of `o`.
  void add(const loss_terms& o, double share) {
    total += share * o.total;
    ce += share * o.ce;
    ld += share * o.ld;
    ad += share * o.ad;
  }
};

/// A loss on a tape, ready for backward(), and how many tokens went through the model.
struct recorded_loss {
  loss_terms terms;        ///< of the step, or of the micro-batch
  std::size_t tokens = 0;  ///< of its batch
};

/// Which tokens logits distillation averages over.
enum class distilled_tokens {
  all,     ///< every token of the batch, prompts too: the official code
  answer,  ///< only those that have a target
};

/// Weights and forms of the terms.
struct objective_options {
  double lambda = 10.0;  ///< weight of logits distillation
  double gamma = 1e5;    ///< weight of attention-relation distillation
  /// Balance instead: lambda and gamma are then the share of each term relative to CE, held by
  /// dividing by running means (gamma at small scale otherwise makes AD 1e3 times CE).
  bool balance = false;
  logits_options logits;                            ///< of the logits term
  distilled_tokens tokens = distilled_tokens::all;  ///< of the logits term
  relation_options relation;                        ///< of the attention-relation term
  std::array<double, 3> alpha{1.0, 1.0, 1.0};       ///< weights of the Q, K and V relations
};

/// What a teacher computed for the same batch: logits of the same rows, and its Q, K, V (tokens,
/// any width) of the distilled layer. Null views switch a term off.
template <class T>
struct teacher_outputs {
  matrix_view<const T> logits;                ///< (N, V); null: no logits distillation
  std::array<matrix_view<const T>, 3> qkv{};  ///< (tokens, width) each; null: no relations
};

template <class T>
class objective {
 public:
  /// Starts without running means.
  explicit objective(const objective_options& options = {}) : options_(options) {}

  /// Running means behind `balance`, for checkpoints: CE, LD, AD and how many steps they saw.
  using running_means = std::array<double, 4>;
  [[nodiscard]] const objective_options& options() const { return options_; }  ///< as given
  [[nodiscard]] const running_means& means() const { return means_; }          ///< for a checkpoint
  void restore(const running_means& m) { means_ = m; }  ///< from a checkpoint

  /// Cross-entropy of `hidden` (N, d) through `table` (V, d) against `targets` (N; -100 = ignore),
  /// plus the distillation terms the teacher has outputs for. `qkv`: the student's taps over the
  /// whole batch whose sequences `offsets` delimits. This object, the targets and the teacher's
  /// outputs must outlive the step.
  loss_terms record(tape<T>& t, variable<T> hidden, variable<T> table,
                    std::span<const std::int32_t> targets, const teacher_outputs<T>& teacher = {},
                    const std::array<variable<T>, 3>& qkv = {},
                    std::span<const std::size_t> offsets = {}) {
    loss_terms terms;
    if (teacher.qkv[0]) terms.ad = record_relations(t, teacher, qkv, offsets);
    record_head(t, hidden, table, targets, teacher.logits, terms);
    set_weights(terms);
    terms.total = terms.ce + weight_ld_ * terms.ld + weight_ad_ * terms.ad;
    return terms;
  }

 private:
  static constexpr std::size_t vocabulary_block = 4096;

  void record_head(tape<T>& t, variable<T> h, variable<T> table,
                   std::span<const std::int32_t> targets, matrix_view<const T> teacher_logits,
                   loss_terms& terms) {
    const executor_ref ex = t.executor();
    const std::size_t n = h.rows(), v = table.rows();
    const auto row = [&] { return row_view<T>(t.memory().template allocate<T>(n), n); };
    const matrix_view<T> logits = t.memory().template matrix<T>(n, v);
    gemm<T>(T(1), h.value, table.value.transposed(), logits, false, ex);
    const row_view<T> lse = row(), lse_student = row(), lse_teacher = row();
    terms.ce = cross_entropy<T>::forward(logits, targets, lse, ex);
    if (teacher_logits)
      terms.ld = logits_loss<T>::forward(logits, teacher_logits, options_.logits, lse_student,
                                         lse_teacher, ex);
    t.record([=, this, &t] {
      for (std::size_t c = 0; c < v; c += vocabulary_block) {
        const arena_scope temporaries(t.memory());
        const std::size_t width = std::min(vocabulary_block, v - c);
        const matrix_view<T> g = t.zeros(n, width);
        cross_entropy<T>::backward_columns(logits, targets, lse, T(1), c, g, ex);
        if (teacher_logits)
          logits_loss<T>::backward_columns(logits, teacher_logits, options_.logits, lse_student,
                                           lse_teacher, static_cast<T>(weight_ld_), c, g, ex);
        gemm<T>(T(1), g, table.value.row_block(c, width), h.grad, true, ex);
        if (table.grad)
          gemm<T>(T(1), g.transposed(), h.value, table.grad.row_block(c, width), true, ex);
      }
    });
  }

  double record_relations(tape<T>& t, const teacher_outputs<T>& teacher,
                          const std::array<variable<T>, 3>& qkv,
                          std::span<const std::size_t> offsets) {
    double sum = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      if (options_.alpha[j] == 0) continue;
      const variable<T> student = qkv[j];
      const matrix_view<const T> target = teacher.qkv[j];
      const double alpha = options_.alpha[j];
      const matrix_view<T> saved = t.memory().template matrix<T>(
          student.rows(), relation_loss<T>::stats_columns(options_.relation));
      sum += alpha * relation_loss<T>::forward(student.value, target, offsets, {},
                                               options_.relation, saved, t.memory(), t.executor());
      t.record([=, this, &t] {
        relation_loss<T>::backward(student.value, target, offsets, {}, options_.relation, saved,
                                   static_cast<T>(alpha * weight_ad_), student.grad, t.memory(),
                                   t.executor());
      });
    }
    return sum;
  }

  void set_weights(const loss_terms& terms) {
    weight_ld_ = options_.lambda;
    weight_ad_ = options_.gamma;
    if (!options_.balance) return;
    const double rate = 1.0 / std::min(++means_[3], 50.0);
    means_[0] += rate * (terms.ce - means_[0]);
    means_[1] += rate * (terms.ld - means_[1]);
    means_[2] += rate * (terms.ad - means_[2]);
    weight_ld_ *= means_[1] > 0 ? means_[0] / means_[1] : 0.0;
    weight_ad_ *= means_[2] > 0 ? means_[0] / means_[2] : 0.0;
  }

  objective_options options_;
  running_means means_{};
  double weight_ld_ = 0, weight_ad_ = 0;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/config.hpp

// What a decoder is made of: the fields of a Hugging Face config.json that tern understands, and
// how far stage 1 of BitDistill has been applied to it.

namespace tern::inline TERN_ABI {

/// Where stage 1 puts an RMSNorm with a gain directly before quantized linears.
enum class norm_placement {
  none,
  subln,  ///< before o_proj and down_proj: the paper, and the default of surgery
  all,    ///< before every quantized linear: the official code's configuration
};

/// Architecture of a decoder (Hugging Face's names; all sizes in elements). The defaults are those
/// of Qwen3; model_family.hpp has what other families change.
struct model_config {
  std::string model_type = "qwen3";  ///< family: a row of model_family.hpp
  /// Tokens; width; width between up and down.
  std::size_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  /// Layers; heads of Q; heads of K and V.
  std::size_t num_hidden_layers = 0, num_attention_heads = 0, num_key_value_heads = 0;
  std::size_t head_dim = 0, max_position_embeddings = 2048;  ///< width of a head; tokens
  /// Eps of every norm but those of stage 1; base of RoPE; standard deviation of new weights.
  double rms_norm_eps = 1e-6, rope_theta = 1e6, initializer_range = 0.02;
  activation hidden_act = activation::silu;  ///< of the gate
  /// Biases of q, k and v; norms of each head of q and k; head = embedding.
  bool attention_bias = false, qk_norm = true, tie_word_embeddings = true;

  bool output_bias = false;           ///< o_proj has a bias (attention_bias: q, k and v)
  bool unit_offset = false;           ///< norms multiply by 1 + weight, those of stage 1 by weight
  bool output_norms = false;          ///< norms behind attention and feed-forward, too
  bool scaled_embedding = false;      ///< embeddings are multiplied by sqrt(hidden_size)
  tern::rope_scaling rope_scaling{};  ///< of the layers that see everything
  double rope_local_theta = 0;        ///< of the layers with a window; 0: they turn like the others
  std::vector<bool> sliding_layers{};     ///< one a layer; empty: none has a window
  std::size_t sliding_window = 0;         ///< tokens that such a layer sees, the own one the last
  std::size_t query_pre_attn_scalar = 0;  ///< scores are divided by its root; 0: head_dim

  // Stage 1 (surgery.hpp).
  bool ternary = false;  ///< the linears of all blocks are quantized in the forward pass
  norm_placement sub_ln = norm_placement::none;  ///< where
  double sub_ln_eps = 1e-5;                      ///< of those norms
  double quantizer_eps = 0;                      ///< `eps` of the quantizer policies; 0: their own

  /// Of q, of k and of v: heads * head_dim.
  [[nodiscard]] std::size_t q_width() const { return num_attention_heads * head_dim; }
  [[nodiscard]] std::size_t kv_width() const { return num_key_value_heads * head_dim; }

  /// Whether attention of the layer has the window.
  [[nodiscard]] bool sliding(std::size_t layer) const {
    return !sliding_layers.empty() && sliding_layers[layer];
  }
  /// Norms multiply by this + weight.
  [[nodiscard]] double norm_offset() const { return unit_offset ? 1 : 0; }
  /// Embeddings are multiplied by this.
  [[nodiscard]] double embedding_scale() const {
    return scaled_embedding ? std::sqrt(static_cast<double>(hidden_size)) : 1;
  }

  /// Of attention scores; 0 stands for 1/sqrt(head_dim).
  [[nodiscard]] double attention_scale() const {
    return query_pre_attn_scalar == 0 ? 0
                                      : 1 / std::sqrt(static_cast<double>(query_pre_attn_scalar));
  }

  /// Throws config_error where sizes are missing or contradict one another.
  void validate() const {
    const auto positive = [](std::size_t n, const char* key) {
      if (n == 0) throw config_error(std::string("config: ") + key + " must be positive");
    };
    positive(vocab_size, "vocab_size");
    positive(hidden_size, "hidden_size");
    positive(intermediate_size, "intermediate_size");
    positive(num_hidden_layers, "num_hidden_layers");
    positive(num_attention_heads, "num_attention_heads");
    positive(num_key_value_heads, "num_key_value_heads");
    positive(max_position_embeddings, "max_position_embeddings");
    if (head_dim == 0 || head_dim % 2 != 0)
      throw config_error("config: head_dim must be positive and even, got " +
                         std::to_string(head_dim));
    if (num_attention_heads % num_key_value_heads != 0)
      throw config_error("config: num_attention_heads (" + std::to_string(num_attention_heads) +
                         ") must be a multiple of num_key_value_heads (" +
                         std::to_string(num_key_value_heads) + ")");
    if (!sliding_layers.empty() && sliding_layers.size() != num_hidden_layers)
      throw config_error("config: " + std::to_string(sliding_layers.size()) +
                         " layer types for num_hidden_layers (" +
                         std::to_string(num_hidden_layers) + ")");
    if (!sliding_layers.empty()) positive(sliding_window, "sliding_window");
    rope_scaling.validate();
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/attention_taps.hpp

// What attention-relation distillation sees of one layer.

namespace tern::inline TERN_ABI {

/// Q and K after norm and RoPE, V raw, (tokens, heads * head_dim), filled by decoder::hidden. On a
/// tape that records they are the graph's own variables.
template <class T>
struct attention_taps {
  std::size_t layer = 0;               ///< of the decoder
  variable<T> q = {}, k = {}, v = {};  ///< of that layer; null until it ran

  /// Room for copies where nothing is recorded: there a layer's own memory does not outlive it.
  void reserve(tape<T>& t, std::size_t tokens, std::size_t q_width, std::size_t kv_width) {
    if (t.recording()) return;
    q = t.make(tokens, q_width);
    k = t.make(tokens, kv_width);
    v = t.make(tokens, kv_width);
  }

  /// Called by the decoder with the variables of `layer`; copies where nothing is recorded.
  void fill(tape<T>& t, variable<T> q_, variable<T> k_, variable<T> v_) {
    if (t.recording()) {
      q = q_;
      k = k_;
      v = v_;
      return;
    }
    for (const auto& [from, to] : {std::pair(q_, q), {k_, k}, {v_, v}})
      std::copy_n(from.value.data, from.value.size(), to.value.data);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/pack/shared_weights.hpp

// Packed weights of a format that is known when the program runs: those of a model file, say. What
// they lie in, memory of their own or a mapped file, is shared among copies.

namespace tern::inline TERN_ABI {

template <class T = float>
class shared_weights {
 public:
  /// Takes the memory over.
  template <class Format>
  explicit shared_weights(ternary_weights<Format, T> weights) {
    const auto owner = std::make_shared<ternary_weights<Format, T>>(std::move(weights));
    view_ = owner->view();
    owner_ = owner;
  }

  /// What serialize() wrote; `owner` keeps the bytes alive. Throws as view_bytes().
  shared_weights(std::span<const std::byte> bytes, std::shared_ptr<const void> owner)
      : owner_(std::move(owner)) {
    const std::uint8_t id = read_packed_header(bytes).format;
    if (!(view_as<two_bit>(id, bytes) || view_as<base3>(id, bytes) ||
          view_as<four_bit>(id, bytes) || view_as<eight_bit>(id, bytes)))
      throw format_error("packed weights: unknown format " + std::to_string(id));
  }

  /// Of the matrix, (out, in).
  [[nodiscard]] std::size_t rows() const {
    return visit([](const auto& w) { return w.rows(); });
  }
  [[nodiscard]] std::size_t cols() const {
    return visit([](const auto& w) { return w.cols(); });
  }
  /// Of blocks and scales.
  [[nodiscard]] std::size_t size_bytes() const {
    return visit([](const auto& w) { return w.size_bytes(); });
  }

  /// f(ternary_weights_view<Format, T>)
  template <class F>
  decltype(auto) visit(F&& f) const {
    return std::visit(std::forward<F>(f), view_);
  }

  /// Null where they are of another format.
  template <class Format>
  [[nodiscard]] const ternary_weights_view<Format, T>* view_if() const {
    return std::get_if<ternary_weights_view<Format, T>>(&view_);
  }

 private:
  template <class Format>
  bool view_as(std::uint8_t id, std::span<const std::byte> bytes) {
    if (id == Format::id) view_ = view_bytes<Format, T>(bytes);
    return id == Format::id;
  }

  std::shared_ptr<const void> owner_;
  std::variant<ternary_weights_view<two_bit, T>, ternary_weights_view<base3, T>,
               ternary_weights_view<four_bit, T>, ternary_weights_view<eight_bit, T>>
      view_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/parameter.hpp

// A trainable matrix with its name and gradient, and the projections made of them.

namespace tern::inline TERN_ABI {

/// One trainable matrix; a vector (a gain, a bias) is a matrix of one row. The gradient exists
/// only while training: see decoder::train().
template <matrix_owner Owner>
struct parameter {
  using scalar = scalar_of<Owner>;  ///< of an element

  std::string name;  ///< as in a Hugging Face checkpoint, "model.layers.0.mlp.up_proj.weight"
  extents shape;     ///< kept where there is no value: before a model is loaded, or when packed
  Owner value = tensor_traits<Owner>::make(0, 0);  ///< of `shape`, or empty
  Owner grad = tensor_traits<Owner>::make(0, 0);   ///< of `shape`, or empty

  parameter() = default;
  /// Zeros, or nothing yet.
  parameter(std::string name_, std::size_t rows, std::size_t cols, bool allocated = true)
      : name(std::move(name_)), shape{rows, cols} {
    if (allocated) allocate();
  }

  /// Zeros of `shape`.
  void allocate() { value = tensor_traits<Owner>::make(shape.rows, shape.cols); }
  void release() { value = tensor_traits<Owner>::make(0, 0); }  ///< name and shape stay

  /// Of the value.
  [[nodiscard]] matrix_view<scalar> view() { return value; }
  [[nodiscard]] matrix_view<const scalar> view() const { return value; }
  /// A gain or a bias.
  [[nodiscard]] bool is_vector() const { return shape.rows == 1; }

  /// As a node of the graph; without a gradient where there is none.
  [[nodiscard]] tern::variable<scalar> variable() {
    const matrix_view<scalar> g = grad;
    return {view(), g.size() == view().size() ? g : matrix_view<scalar>{}};
  }

  /// Every element becomes x.
  void fill(scalar x) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c) v(r, c) = x;
  }

  /// Elements become normal of mean 0, row after row.
  void fill_normal(double deviation, philox random) {
    const matrix_view<scalar> v = value;
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c)
        v(r, c) = static_cast<scalar>(deviation * random.normal());
  }
};

/// y = x W^T + b, in full precision or ternary, with an optional norm before it (SubLN). A packed
/// projection serves inference only: its `weight` keeps name and shape and has no value. Embedding
/// and head are projections, too, that no stage makes ternary.
template <matrix_owner Owner>
struct projection {
  parameter<Owner> weight;                     ///< (out, in)
  std::optional<parameter<Owner>> bias, norm;  ///< (1, out), (1, in)
  bool ternary = false;                        ///< its forward rounds weights and activations
  std::optional<shared_weights<scalar_of<Owner>>> packed;  ///< instead of the weight's value

  /// Without a value where there is none.
  [[nodiscard]] variable<scalar_of<Owner>> bias_variable() {
    return bias ? bias->variable() : variable<scalar_of<Owner>>{};
  }

  /// Takes packed weights (out, in); the value is released.
  void pack(shared_weights<scalar_of<Owner>> weights) {
    packed.emplace(std::move(weights));
    weight.release();
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/block.hpp

// One block of a decoder: its parameters under Hugging Face's names.

namespace tern::inline TERN_ABI {

/// x += output_norm(attention(norm(x))), then the same with the feed-forward; output norms where
/// the configuration has them.
template <matrix_owner Owner>
struct decoder_block {
  using gain_type = parameter<Owner>;         ///< of a norm
  using projection_type = projection<Owner>;  ///< of a linear

  gain_type attention_norm, feed_forward_norm;  ///< (1, hidden_size)
  /// The first two (1, hidden_size), the others (1, head_dim).
  std::optional<gain_type> attention_output_norm, feed_forward_output_norm, q_norm, k_norm;
  projection_type q, k, v, o, gate, up, down;  ///< Hugging Face's q_proj ... down_proj
  bool sliding = false;                        ///< attention has a window

  /// Zero weights (none yet unless `allocated`), norms that multiply by one; stage 1 is not
  /// applied.
  static decoder_block make(const model_config& c, std::size_t index, bool allocated = true) {
    const std::string at = "model.layers." + std::to_string(index) + ".";
    const std::size_t d = c.hidden_size, f = c.intermediate_size;
    const auto norm = [&](const char* name, std::size_t n) {
      return gain(c, at + name + ".weight", n);
    };
    const auto project = [&](const std::string& name, std::size_t out, std::size_t in, bool bias) {
      projection_type p{{at + name + ".weight", out, in, allocated}, {}, {}, false, {}};
      if (bias) p.bias.emplace(at + name + ".bias", 1, out);
      return p;
    };
    decoder_block b;
    b.attention_norm = norm("input_layernorm", d);
    b.q = project("self_attn.q_proj", c.q_width(), d, c.attention_bias);
    b.k = project("self_attn.k_proj", c.kv_width(), d, c.attention_bias);
    b.v = project("self_attn.v_proj", c.kv_width(), d, c.attention_bias);
    b.o = project("self_attn.o_proj", d, c.q_width(), c.output_bias);
    b.gate = project("mlp.gate_proj", f, d, false);
    b.up = project("mlp.up_proj", f, d, false);
    b.down = project("mlp.down_proj", d, f, false);
    b.sliding = c.sliding(index);
    // Gemma calls "post" what stands behind attention, the others what stands between it and the
    // feed-forward.
    b.feed_forward_norm =
        norm(c.output_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm", d);
    if (c.output_norms) {
      b.attention_output_norm = norm("post_attention_layernorm", d);
      b.feed_forward_output_norm = norm("post_feedforward_layernorm", d);
    }
    if (c.qk_norm) {
      b.q_norm = norm("self_attn.q_norm", c.head_dim);
      b.k_norm = norm("self_attn.k_norm", c.head_dim);
    }
    return b;
  }

  /// A norm's weight that multiplies by one.
  static gain_type gain(const model_config& c, const std::string& name, std::size_t n) {
    gain_type p(name, 1, n);
    p.fill(static_cast<scalar_of<Owner>>(1 - c.norm_offset()));
    return p;
  }

  /// Norms of gain 1 directly before projections, replacing any.
  void place_norms(norm_placement placement) {
    for_each_projection([&](projection_type& p) {
      p.norm.reset();
      if (placement == norm_placement::all) put_norm(p, parent(p.weight.name) + "rms_norm.weight");
    });
    if (placement != norm_placement::subln) return;
    put_norm(o, parent(parent(o.weight.name)) + "attn_sub_norm.weight");
    put_norm(down, parent(parent(down.weight.name)) + "ffn_sub_norm.weight");
  }

  /// f(projection&) for q, k, v, o, gate, up and down, in this order.
  template <class F>
  void for_each_projection(F&& f) {
    for (projection_type* p : {&q, &k, &v, &o, &gate, &up, &down}) f(*p);
  }

  /// f(parameter&), always in the same order.
  template <class F>
  void for_each_parameter(F&& f) {
    const auto maybe = [&](std::optional<gain_type>& p) {
      if (p) f(*p);
    };
    f(attention_norm);
    maybe(q_norm);
    maybe(k_norm);
    maybe(attention_output_norm);
    f(feed_forward_norm);
    maybe(feed_forward_output_norm);
    for_each_projection([&](projection_type& p) {
      maybe(p.norm);
      f(p.weight);
      maybe(p.bias);
    });
  }

 private:
  /// "model.layers.0.mlp.down_proj." of "model.layers.0.mlp.down_proj.weight"
  static std::string parent(const std::string& name) {
    return name.substr(0, name.find_last_of('.', name.size() - 2) + 1);
  }

  static void put_norm(projection_type& p, const std::string& name) {
    p.norm.emplace(name, 1, p.weight.shape.cols);
    p.norm->fill(1);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/token_batch.hpp

// Token sequences of any lengths, packed one after another without padding.

namespace tern::inline TERN_ABI {

/// `tokens` and `positions` have one entry a token; sequence s is [offsets[s], offsets[s + 1]).
struct token_batch {
  std::vector<std::int32_t> tokens, positions;  ///< both of one size
  std::vector<std::size_t> offsets{0};          ///< ascending from 0

  [[nodiscard]] std::size_t sequences() const { return offsets.size() - 1; }  ///< of the batch

  /// `first`: position of its first token.
  void add(std::span<const std::int32_t> sequence, std::size_t first = 0) {
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
    for (std::size_t i = 0; i < sequence.size(); ++i)
      positions.push_back(static_cast<std::int32_t>(first + i));
    offsets.push_back(tokens.size());
  }

  /// No sequences; keeps the memory.
  void clear() {
    tokens.clear();
    positions.clear();
    offsets.assign(1, 0);
  }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/nn/graph.hpp

// The ops on a tape: each function computes the value, records the matching backward and keeps
// what that needs in the tape's arena. Glue only; the mathematics is in the op headers.

namespace tern::inline TERN_ABI::graph {

/// Row of a 1 x n variable, null where the view is null.
template <class T>
row_view<T> vector_of(matrix_view<T> m) {
  return m ? m.row(0) : row_view<T>{};
}

/// y[i] = scale * table[tokens[i]]. `tokens` must outlive the step.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens, variable<T> table,
                      T scale = T(1)) {
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::forward(tokens, table.value, y.value, t.executor(), scale);
  t.record([=, ex = t.executor()] {
    tern::embedding<T>::backward(y.grad, tokens, table.grad, ex, scale);
  });
  return y;
}

/// The same from a packed table. Inference only.
template <class T>
variable<T> embedding(tape<T>& t, std::span<const std::int32_t> tokens,
                      const shared_weights<T>& table, T scale = T(1)) {
  if (t.recording()) throw config_error("packed weights cannot be trained");
  variable<T> y = t.make(tokens.size(), table.cols());
  tern::embedding<T>::require_ids(tokens, table.rows());
  table.visit([&](const auto& view) {
    for_each_row(y.rows(), y.cols(), t.executor(), [&](std::size_t r) {
      const row_view<T> row = y.value.row(r);
      dequantize_row(view, static_cast<std::size_t>(tokens[r]), row);
      for (std::size_t c = 0; c < row.size; ++c) row[c] *= scale;
    });
  });
  return y;
}

/// y = x W^T + b; a null b stands for none.
template <class T>
variable<T> linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {}) {
  variable<T> y = t.make(x.rows(), w.rows());
  tern::linear<T>::forward(x.value, w.value, vector_of(b.value), y.value, t.executor());
  t.record([=, ex = t.executor()] {
    tern::linear<T>::backward(y.grad, x.value, w.value, x.grad, w.grad, vector_of(b.grad), ex);
  });
  return y;
}

/// y = Qa(x) Qw(W)^T + b, straight through in the backward; a null b stands for none.
template <class T, class WeightQ, class ActQ>
variable<T> bit_linear(tape<T>& t, variable<T> x, variable<T> w, variable<T> b = {},
                       const WeightQ& weight_quantizer = {},
                       const ActQ& activation_quantizer = {}) {
  using op = tern::bit_linear<T, WeightQ, ActQ>;
  variable<T> y = t.make(x.rows(), w.rows());
  const auto saved = op::make_saved(t.memory(), x.rows(), x.cols(), w.rows());
  op::forward(x.value, w.value, vector_of(b.value), y.value, saved, t.memory(), t.executor(),
              weight_quantizer, activation_quantizer);
  t.record([=, &t] {
    op::backward(y.grad, saved, x.grad, w.grad, vector_of(b.grad), t.memory(), t.executor());
  });
  return y;
}

/// Packed W and a bias, or none.
template <class T>
struct packed_operand {
  const shared_weights<T>& w;  ///< (out, in)
  variable<T> bias;            ///< (1, out) or null
};

/// What a norm multiplies by: offset + gain.
template <class T>
row_view<const T> norm_factors(tape<T>& t, variable<T> gain, double offset) {
  if (offset == 0) return vector_of(gain.value);
  const row_view<T> factors(t.memory().template allocate<T>(gain.cols()), gain.cols());
  for (std::size_t i = 0; i < factors.size; ++i)
    factors[i] = static_cast<T>(offset) + gain.value(0, i);
  return factors;
}

/// A norm in front of packed_linear, as rms_norm over whole rows; none where gain is null.
template <class T>
struct norm_operand {
  variable<T> gain;            ///< (1, K)
  double eps = 0, offset = 0;  ///< offset + gain multiplies
};

/// y_i = Qa(norm(x)) W_i^T + b_i with packed ternary W_i: the same bits as bit_linear. x is
/// quantized once, each row where its norm left it in the cache, and neighbours of one format are
/// multiplied side by side. Inference only.
template <class T, class ActQ, std::size_t N>
std::array<variable<T>, N> packed_linear(tape<T>& t, variable<T> x,
                                         const std::array<packed_operand<T>, N>& operands,
                                         const ActQ& activation_quantizer = {},
                                         const norm_operand<T>& norm = {}) {
  using op = tern::bit_linear<T, absmean, ActQ>;
  using normed = tern::bit_linear<T, absmean, ActQ, sub_ln<T>>;
  if (t.recording()) throw config_error("packed weights cannot be trained");
  std::array<variable<T>, N> y;
  for (std::size_t i = 0; i < N; ++i) y[i] = t.make(x.rows(), operands[i].w.rows());
  const arena_scope temporaries(t.memory());
  const auto tokens = norm.gain.value
                          ? normed::quantize(x.value, norm_factors(t, norm.gain, norm.offset),
                                             static_cast<T>(norm.eps), t.memory(), t.executor(),
                                             activation_quantizer)
                          : op::quantize(x.value, t.memory(), t.executor(), activation_quantizer);
  for (std::size_t done = 0; done < N;)
    operands[done].w.visit([&]<class Format>(const ternary_weights_view<Format, T>& first) {
      std::array<typename op::template output<Format>, N> to;
      std::size_t n = 0;
      for (; done < N; ++done, ++n) {
        const auto* const w = operands[done].w.template view_if<Format>();
        if (w == nullptr || w->trits.run != first.trits.run) break;
        to[n] = {w->trits, w->scales(), w->scale_rows, vector_of(operands[done].bias.value),
                 y[done].value};
      }
      op::template multiply<Format>(tokens, std::span(to).first(n), t.memory(), t.executor());
    });
  return y;
}

/// RMSNorm over the last `gain.cols()` elements of each row: x may hold several heads a row. What
/// multiplies is offset + gain (Gemma: 1), which leaves the gain's gradient as it is.
template <class T>
variable<T> rms_norm(tape<T>& t, variable<T> x, variable<T> gain, double eps, double offset = 0) {
  const auto per_group = [&](matrix_view<T> m) {
    return m ? matrix_view<T>(m.data, m.size() / gain.cols(), gain.cols()) : m;
  };
  variable<T> y = t.make(x.rows(), x.cols());
  const variable<T> in{per_group(x.value), per_group(x.grad)};
  const variable<T> out{per_group(y.value), per_group(y.grad)};
  const row_view<T> inv_rms(t.memory().template allocate<T>(in.rows()), in.rows());
  const row_view<const T> factors = norm_factors(t, gain, offset);
  tern::rms_norm<T>::forward(in.value, factors, static_cast<T>(eps), out.value, inv_rms,
                             t.executor());
  t.record([=, ex = t.executor()] {
    tern::rms_norm<T>::backward(out.grad, in.value, factors, inv_rms, in.grad, vector_of(gain.grad),
                                ex);
  });
  return y;
}

/// Rotates x in place; its earlier value is gone, so x must not be needed by a recorded backward.
template <class T>
void rope(tape<T>& t, variable<T> x, std::span<const std::int32_t> positions,
          const rope_table<T>& table) {
  tern::rope<T>::forward(x.value, positions, table, t.executor());
  t.record(
      [=, &table, ex = t.executor()] { tern::rope<T>::backward(x.grad, positions, table, ex); });
}

/// Causal grouped-query attention within each sequence. `offsets` must outlive the step.
template <class T>
variable<T> attention(tape<T>& t, variable<T> q, variable<T> k, variable<T> v,
                      std::span<const std::size_t> offsets, attention_shape shape) {
  variable<T> y = t.make(q.rows(), q.cols());
  const matrix_view<T> lse = t.memory().template matrix<T>(q.rows(), shape.q_heads);
  tern::attention<T>::forward(q.value, k.value, v.value, offsets, shape, y.value, lse, t.memory(),
                              t.executor());
  t.record([=, &t] {
    tern::attention<T>::backward(y.grad, q.value, k.value, v.value, y.value, lse, offsets, shape,
                                 q.grad, k.grad, v.grad, t.memory(), t.executor());
  });
  return y;
}

/// y = act(gate) * up
template <class T>
variable<T> gated_activation(tape<T>& t, activation act, variable<T> gate, variable<T> up) {
  variable<T> y = t.make(gate.rows(), gate.cols());
  tern::gated_activation<T>::forward(act, gate.value, up.value, y.value, t.executor());
  t.record([=, ex = t.executor()] {
    tern::gated_activation<T>::backward(act, y.grad, gate.value, up.value, gate.grad, up.grad, ex);
  });
  return y;
}

/// to += from, for any two matrices of one shape.
template <class T>
void accumulate(matrix_view<const T> from, matrix_view<T> to, executor_ref ex) {
  for_each_row(to.rows, to.cols, ex,
               [&](std::size_t r) { simd::axpy<T>(T(1), from.row(r), to.row(r)); });
}

/// y = a + b (residual connection)
template <class T>
variable<T> add(tape<T>& t, variable<T> a, variable<T> b) {
  variable<T> y = t.make(a.rows(), a.cols());
  const executor_ref ex = t.executor();
  for_each_row(y.rows(), y.cols(), ex, [&](std::size_t r) {
    simd::transform(
        y.value.row(r), [](const auto& u, const auto& v) { return u + v; },
        row_view<const T>(a.value.row(r)), row_view<const T>(b.value.row(r)));
  });
  t.record([=] {
    if (a.grad) accumulate<T>(y.grad, a.grad, ex);
    if (b.grad) accumulate<T>(y.grad, b.grad, ex);
  });
  return y;
}

/// x + branch(x). On a tape that does not record x itself becomes the sum, and the memory that the
/// branch took is free again: a model of many layers needs that of one.
template <class T, class F>
variable<T> residual(tape<T>& t, variable<T> x, F&& branch) {
  if (t.recording()) return add(t, x, branch(x));
  const arena_scope temporaries(t.memory());
  accumulate<T>(branch(x).value, x.value, t.executor());
  return x;
}

/// y[i] = x[rows[i]]. `rows` must outlive the step.
template <class T>
variable<T> gather_rows(tape<T>& t, variable<T> x, std::span<const std::size_t> rows) {
  variable<T> y = t.make(rows.size(), x.cols());
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.value.row(rows[i]).data, x.cols(), y.value.row(i).data);
  t.record([=] {
    for (std::size_t i = 0; x.grad && i < rows.size(); ++i)
      simd::axpy<T>(T(1), y.grad.row(i), x.grad.row(rows[i]));
  });
  return y;
}

}  // namespace tern::inline TERN_ABI::graph

// ==== tern/model/decoder.hpp

// A decoder-only transformer: pre-norm blocks, grouped-query attention with RoPE, gated
// feed-forward; model_config says what else. The same text runs training (a recording tape),
// evaluation, full-precision and ternary models.

namespace tern::inline TERN_ABI {

template <matrix_owner Owner = matrix<float>, class WeightQ = absmean, class ActQ = absmax_int8>
class decoder {
 public:
  using owner = Owner;                        ///< of every matrix
  using scalar = scalar_of<Owner>;            ///< of an element
  using weight_quantizer_type = WeightQ;      ///< of ternary linears
  using parameter_type = parameter<Owner>;    ///< see model/parameter.hpp
  using projection_type = projection<Owner>;  ///< see model/parameter.hpp
  using block = decoder_block<Owner>;         ///< see model/block.hpp

  /// Zero weights, norms that multiply by one. Without `allocated` the weights of embedding, head
  /// and projections have a shape and no value yet. Throws config_error.
  explicit decoder(const model_config& config, bool allocated = true)
      : config_((config.validate(), config)),
        rope_(config.head_dim, config.rope_theta, 0, rope_pairing::halves, config.rope_scaling),
        embedding_(table_of("model.embed_tokens.weight", allocated)),
        norm_(block::gain(config, "model.norm.weight", config.hidden_size)) {
    if (config.rope_local_theta != 0)
      local_rope_.emplace(config.head_dim, config.rope_local_theta, 0);
    for (std::size_t i = 0; i < config.num_hidden_layers; ++i)
      blocks_.push_back(block::make(config, i, allocated));
    if (!config.tie_word_embeddings) lm_head_ = table_of("lm_head.weight", allocated);
    place_norms(config.sub_ln, config.sub_ln_eps);
    set_ternary(config.ternary);
  }

  /// Matrices from N(0, initializer_range); each parameter has its own random stream.
  void initialize(std::uint64_t seed) {
    std::uint64_t stream = 0;
    for_each_parameter([&](parameter_type& p) {
      ++stream;
      if (!p.is_vector()) p.fill_normal(config_.initializer_range, philox(seed, stream));
    });
  }

  [[nodiscard]] const model_config& config() const { return config_; }  ///< as surgery left it
  [[nodiscard]] std::vector<block>& blocks() { return blocks_; }        ///< one a layer
  /// Token ids to vectors, (vocab_size, hidden_size).
  [[nodiscard]] projection_type& embedding() { return embedding_; }
  /// Hidden states to logits, of the same shape: lm_head, or the tied embedding.
  [[nodiscard]] projection_type& head_projection() { return lm_head_ ? *lm_head_ : embedding_; }
  [[nodiscard]] parameter_type& head() { return head_projection().weight; }  ///< its weight
  /// What makes the logit of a token: hidden_size weights, also where they are packed.
  void head_row(std::size_t token, row_view<scalar> out) {
    const projection_type& p = head_projection();
    if (p.packed) return p.packed->visit([&](const auto& w) { dequantize_row(w, token, out); });
    const auto row = p.weight.view().row(token);
    for (std::size_t i = 0; i < row.size; ++i) out[i] = row[i];
  }

  /// The policies, with the eps of the configuration where it has one.
  [[nodiscard]] WeightQ weight_quantizer() const { return with_eps(WeightQ{}); }
  [[nodiscard]] ActQ activation_quantizer() const { return with_eps(ActQ{}); }

  /// Norms of gain 1 directly before projections, replacing any; see surgery.hpp.
  void place_norms(norm_placement placement, double eps) {
    for (block& b : blocks_) b.place_norms(placement);
    config_.sub_ln = placement;
    config_.sub_ln_eps = eps;
  }

  /// Whether the seven linears of every block are quantized in the forward pass.
  void set_ternary(bool enabled) {
    for (block& b : blocks_)
      b.for_each_projection([&](projection_type& p) { p.ternary = enabled; });
    config_.ternary = enabled;
  }

  /// f(parameter&) for every parameter, always in the same order.
  template <class F>
  void for_each_parameter(F&& f) {
    f(embedding_.weight);
    for (block& b : blocks_) b.for_each_parameter(f);
    f(norm_);
    if (lm_head_) f(lm_head_->weight);
  }

  /// f(projection&) for those of all blocks, then embedding and lm_head.
  template <class F>
  void for_each_projection(F&& f) {
    for (block& b : blocks_) b.for_each_projection(f);
    f(embedding_);
    if (lm_head_) f(*lm_head_);
  }

  /// Gives every parameter a zeroed gradient, or takes them all away.
  void train(bool enabled) {
    for_each_parameter([&](parameter_type& p) {
      const auto v = p.view();
      p.grad =
          enabled ? tensor_traits<Owner>::make(v.rows, v.cols) : tensor_traits<Owner>::make(0, 0);
    });
  }

  /// Angles of so many positions, cut to what the model allows, so that no call computes them
  /// later: they are made when first needed, since few models see the length they allow.
  void reserve_positions(std::size_t n) {
    n = std::min(n, config_.max_position_embeddings);
    rope_.extend(n);
    if (local_rope_) local_rope_->extend(n);
  }

  /// Final hidden states after the last norm, for `rows` of the batch only (ascending; empty for
  /// all): (rows, hidden_size). `batch` and `rows` must outlive the step.
  variable<scalar> hidden(tape<scalar>& t, const token_batch& batch,
                          std::span<const std::size_t> rows = {},
                          attention_taps<scalar>* taps = nullptr) {
    if (taps != nullptr)
      taps->reserve(t, batch.tokens.size(), config_.q_width(), config_.kv_width());
    return forward(t, batch, rows,
                   [&](std::size_t layer, variable<T> q, variable<T> k, variable<T> v,
                       const attention_shape& shape) {
                     if (taps != nullptr && taps->layer == layer) taps->fill(t, q, k, v);
                     return graph::attention<T>(t, q, k, v, batch.offsets, shape);
                   });
  }

  /// The same with an attention of the caller, of the new tokens over those of a cache, say:
  /// attend(layer, q, k, v, attention_shape) returns what graph::attention does. Q and K come after
  /// RoPE at batch.positions.
  template <class Attend>
  variable<scalar> forward(tape<scalar>& t, const token_batch& batch,
                           std::span<const std::size_t> rows, Attend&& attend) {
    if (!batch.positions.empty())
      reserve_positions(static_cast<std::size_t>(std::max(0, std::ranges::max(batch.positions))) +
                        1);
    variable<T> x = embed(t, batch.tokens);
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      block& b = blocks_[i];
      x = graph::residual(t, x,
                          [&](variable<T> in) { return attention(t, b, in, batch, i, attend); });
      x = graph::residual(t, x, [&](variable<T> in) { return feed_forward(t, b, in); });
    }
    if (!rows.empty()) x = graph::gather_rows(t, x, rows);
    return normalize(t, x, norm_);
  }

  /// (n, vocab_size) of hidden states (n, hidden_size).
  variable<scalar> logits(tape<scalar>& t, variable<scalar> hidden) {
    return project(t, head_projection(), hidden);
  }

 private:
  using T = scalar;

  [[nodiscard]] projection_type table_of(const char* name, bool allocated) const {
    return {{name, config_.vocab_size, config_.hidden_size, allocated}, {}, {}, false, {}};
  }

  variable<T> embed(tape<T>& t, std::span<const std::int32_t> tokens) {
    const T scale = static_cast<T>(config_.embedding_scale());
    return embedding_.packed ? graph::embedding<T>(t, tokens, *embedding_.packed, scale)
                             : graph::embedding<T>(t, tokens, embedding_.weight.variable(), scale);
  }

  template <class Q>
  Q with_eps(Q quantizer) const {
    if constexpr (requires { quantizer.eps = 1e-5; })
      if (config_.quantizer_eps != 0) quantizer.eps = config_.quantizer_eps;
    return quantizer;
  }

  variable<T> normalize(tape<T>& t, variable<T> x, parameter_type& gain) {
    return graph::rms_norm(t, x, gain.variable(), config_.rms_norm_eps, config_.norm_offset());
  }
  variable<T> normalize(tape<T>& t, variable<T> x, std::optional<parameter_type>& gain) {
    return gain ? normalize(t, x, *gain) : x;
  }

  variable<T> project(tape<T>& t, projection_type& p, variable<T> x) {
    const variable<T> bias = p.bias_variable();
    if (p.packed)
      return graph::packed_linear(
          t, x, std::array{graph::packed_operand<T>{*p.packed, bias}}, activation_quantizer(),
          {p.norm ? p.norm->variable() : variable<T>{}, config_.sub_ln_eps})[0];
    if (p.norm) x = graph::rms_norm(t, x, p.norm->variable(), config_.sub_ln_eps);
    return p.ternary ? graph::bit_linear<T>(t, x, p.weight.variable(), bias, weight_quantizer(),
                                            activation_quantizer())
                     : graph::linear(t, x, p.weight.variable(), bias);
  }

  /// Projections of one norm(x); packed ones without a norm of their own quantize it once.
  template <class... P>
  std::array<variable<T>, sizeof...(P)> project_all(tape<T>& t, variable<T> x, parameter_type& gain,
                                                    P&... p) {
    if (((p.packed && !p.norm) && ...))
      return graph::packed_linear(
          t, x, std::array{graph::packed_operand<T>{*p.packed, p.bias_variable()}...},
          activation_quantizer(),
          graph::norm_operand<T>{gain.variable(), config_.rms_norm_eps, config_.norm_offset()});
    x = normalize(t, x, gain);
    return {project(t, p, x)...};
  }

  template <class Attend>
  variable<T> attention(tape<T>& t, block& b, variable<T> x, const token_batch& batch,
                        std::size_t layer, Attend& attend) {
    const auto [q_raw, k_raw, v] = project_all(t, x, b.attention_norm, b.q, b.k, b.v);
    const variable<T> q = normalize(t, q_raw, b.q_norm), k = normalize(t, k_raw, b.k_norm);
    const rope_table<T>& angles = b.sliding && local_rope_ ? *local_rope_ : rope_;
    graph::rope<T>(t, q, batch.positions, angles);
    graph::rope<T>(t, k, batch.positions, angles);
    const attention_shape shape{config_.num_attention_heads, config_.num_key_value_heads,
                                config_.head_dim, config_.attention_scale(),
                                b.sliding ? config_.sliding_window : 0};
    const variable<T> y = attend(layer, q, k, v, shape);
    return normalize(t, project(t, b.o, y), b.attention_output_norm);
  }

  variable<T> feed_forward(tape<T>& t, block& b, variable<T> x) {
    const auto [gate, up] = project_all(t, x, b.feed_forward_norm, b.gate, b.up);
    const variable<T> y =
        project(t, b.down, graph::gated_activation(t, config_.hidden_act, gate, up));
    return normalize(t, y, b.feed_forward_output_norm);
  }

  model_config config_;
  rope_table<T> rope_;
  std::optional<rope_table<T>> local_rope_;
  projection_type embedding_;
  parameter_type norm_;
  std::optional<projection_type> lm_head_;
  std::vector<block> blocks_;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/model/surgery.hpp

// Stage 1 of BitDistill (arXiv 2510.13998, section 3.1): SubLN before the output projections of
// attention and feed-forward, and every linear of the blocks ternary. Weights are inherited.

namespace tern::inline TERN_ABI {

/// Adds norms with gain 1 directly before projections. The model's function changes: continual
/// pre-training repairs it. Throws config_error if the model has such norms already.
template <class Owner, class W, class A>
void insert_sub_ln(decoder<Owner, W, A>& model, norm_placement placement = norm_placement::subln,
                   double eps = 1e-5) {
  if (model.config().sub_ln != norm_placement::none)
    throw config_error("insert_sub_ln: the model has SubLN already");
  model.place_norms(placement, eps);
}

/// Quantizes the seven linears of every block in the forward pass; embedding and head stay.
template <class Owner, class W, class A>
void make_ternary(decoder<Owner, W, A>& model) {
  model.set_ternary(true);
}

/// Gives packed projections master weights, so that a deployed model can be trained on. They
/// quantize to the codes they come from, and to their scale but for its last bit: with a fraction p
/// of codes that are not 0, weights of code * scale / p have the mean `scale`.
template <class Owner, class A>
void restore_masters(decoder<Owner, absmean, A>& model) {
  using T = scalar_of<Owner>;
  for (auto& block : model.blocks())
    block.for_each_projection([](projection<Owner>& p) {
      if (!p.packed) return;
      p.weight.allocate();
      const matrix_view<T> w = p.weight.view();
      p.packed->visit([&](const auto& packed) { dequantize(packed, w); });
      std::size_t used = 0;
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) used += w(r, c) != 0;
      const auto share = static_cast<T>(static_cast<double>(std::max<std::size_t>(1, used)) /
                                        static_cast<double>(w.size()));
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) w(r, c) /= share;
      p.packed.reset();
    });
}

}  // namespace tern::inline TERN_ABI

// ==== tern/train/adamw.hpp

// AdamW (Loshchilov and Hutter 2019) over the parameters of a model, with clipping of the global
// gradient norm. Masters and moments have the scalar of the owner type (fp32 by default: bf16
// masters lose the small updates of ternary training).

namespace tern::inline TERN_ABI {

/// Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
struct adamw_options {
  /// Decay rates of the two moments; what is added to the root of the second.
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.01;  ///< matrices only; gains and biases are never decayed
};

template <matrix_owner Owner>
class adamw {
 public:
  using T = scalar_of<Owner>;  ///< of an element

  /// First and second moment of one parameter, in the order of for_each_parameter.
  struct moments {
    Owner m, v;  ///< mean of gradients, of their squares
  };

  /// Zeroed moments for every parameter of `model`.
  template <class Model>
  adamw(Model& model, const adamw_options& options) : options_(options) {
    model.for_each_parameter([&](parameter<Owner>& p) {
      const auto s = p.view();
      moments_.push_back(
          {tensor_traits<Owner>::make(s.rows, s.cols), tensor_traits<Owner>::make(s.rows, s.cols)});
    });
  }

  /// One update with learning rate `rate` and decay factor `decay`; gradients are multiplied by
  /// `gradient_scale` (clipping, accumulation) and zeroed.
  template <class Model>
  void step(Model& model, double rate, double decay, double gradient_scale, executor_ref ex = {}) {
    ++steps_;
    std::size_t index = 0;
    model.for_each_parameter([&](parameter<Owner>& p) {
      update(p, moments_[index++], rate, p.is_vector() ? 0.0 : options_.weight_decay * decay,
             gradient_scale, ex);
    });
  }

  /// Updates done so far: the bias correction's exponent.
  [[nodiscard]] std::size_t steps() const { return steps_; }
  void restore_steps(std::size_t n) { steps_ = n; }  ///< from a checkpoint
  /// One a parameter, for checkpoints.
  [[nodiscard]] std::vector<moments>& state() { return moments_; }

 private:
  void update(parameter<Owner>& p, moments& s, double rate, double decay, double gradient_scale,
              executor_ref ex) {
    using batch = simd::batch<T>;
    const matrix_view<T> w = p.value, g = p.grad, m = s.m, v = s.v;
    const auto n = static_cast<double>(steps_);
    const batch scale(static_cast<T>(gradient_scale));
    const batch b1(static_cast<T>(options_.beta1)), c1(static_cast<T>(1 - options_.beta1));
    const batch b2(static_cast<T>(options_.beta2)), c2(static_cast<T>(1 - options_.beta2));
    const batch lr(static_cast<T>(rate / (1 - std::pow(options_.beta1, n))));
    const batch inv_v(static_cast<T>(1 / (1 - std::pow(options_.beta2, n))));
    const batch eps(static_cast<T>(options_.eps)), keep(static_cast<T>(1 - rate * decay));
    for_each_row(w.rows, w.cols, ex, [&](std::size_t r) {
      const row_view<T> wr = w.row(r), gr = g.row(r), mr = m.row(r), vr = v.row(r);
      simd::transform(
          std::array{mr, vr, wr, gr},
          [&](const batch& m0, const batch& v0, const batch& w0, const batch& d) {
            const batch x = scale * d, m1 = b1 * m0 + c1 * x, v1 = b2 * v0 + c2 * (x * x);
            const batch w1 = keep * w0 - lr * m1 / (xsimd::sqrt(v1 * inv_v) + eps);
            return std::array{m1, v1, w1, batch(T(0))};
          },
          mr, vr, wr, gr);
    });
  }

  adamw_options options_;
  std::vector<moments> moments_;
  std::size_t steps_ = 0;
};

/// Euclidean norm of all gradients together. Rows add up in chunks that depend on the shape alone.
template <class Model>
double gradient_norm(Model& model, executor_ref ex = {}) {
  double total = 0;
  model.for_each_parameter([&](auto& p) {
    const matrix_view<typename Model::scalar> g = p.grad;
    std::array<double, 64> partial{};
    const std::size_t grain =
        std::max(rows_per_chunk(g.cols), (g.rows + partial.size() - 1) / partial.size());
    ex.parallel_for(g.rows, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r)
        partial[begin / grain] += static_cast<double>(simd::dot(g.row(r), g.row(r)));
    });
    total = std::accumulate(partial.begin(), partial.end(), total);
  });
  return std::sqrt(total);
}

}  // namespace tern::inline TERN_ABI

// ==== tern/train/schedule.hpp

// Learning rate and weight decay as functions of the step.

namespace tern::inline TERN_ABI {

/// Shape of the learning rate after the warm-up.
enum class schedule_kind {
  constant,
  linear,     ///< to min_ratio at the last step
  cosine,     ///< half a cosine to min_ratio at the last step
  two_stage,  ///< BitNet's: linear, and from half-way on a second, lower line without weight decay
};

/// Factors in [0, 1] on the peak learning rate and on the weight decay.
struct schedule {
  schedule_kind kind = schedule_kind::cosine;  ///< after the warm-up
  std::size_t steps = 1;                       ///< optimizer steps in all
  std::size_t warmup_steps = 0;                ///< linear rise to the peak
  double min_ratio = 0.0;                      ///< where linear and cosine end
  double second_stage_ratio = 0.5;  ///< two_stage: height of the second line relative to the first

  /// Learning-rate factor of step 0, 1, ..., steps - 1.
  [[nodiscard]] double rate(std::size_t step) const {
    if (step < warmup_steps)
      return static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
    const double length =
        static_cast<double>(std::max<std::size_t>(steps - std::min(steps, warmup_steps), 1));
    const double done = std::min(static_cast<double>(step - warmup_steps) / length, 1.0);
    switch (kind) {
      case schedule_kind::constant:
        return 1.0;
      case schedule_kind::linear:
        return 1.0 - (1.0 - min_ratio) * done;
      case schedule_kind::cosine:
        return min_ratio + (1.0 - min_ratio) * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
      case schedule_kind::two_stage: {
        const double line = 1.0 - (1.0 - min_ratio) * done;
        return second_stage(step) ? line * second_stage_ratio : line;
      }
    }
    throw config_error("schedule: unknown kind");
  }

  /// Weight-decay factor of a step.
  [[nodiscard]] double decay(std::size_t step) const {
    return kind == schedule_kind::two_stage && second_stage(step) ? 0.0 : 1.0;
  }

 private:
  [[nodiscard]] bool second_stage(std::size_t step) const { return 2 * step >= steps; }
};

}  // namespace tern::inline TERN_ABI

// ==== tern/train/ternary_health.hpp

// Whether ternary training is alive: how many weights are zero, how many change their code in one
// update, how far the scales have moved.

namespace tern::inline TERN_ABI {

struct ternary_health {
  bool measured = false;   ///< the others tell something
  double zeros = 0;        ///< fraction of codes that are 0 (about 1/3 for Gaussian weights)
  double flips = 0;        ///< fraction of codes that this update changed
  double scale_drift = 0;  ///< mean weight scale relative to the stage's start, minus 1
};

namespace detail {

/// Codes of every ternary weight of the model one after another, and the mean of all scales.
template <class Model>
double collect_codes(Model& model, std::vector<std::int8_t>& codes) {
  using T = typename Model::scalar;
  const auto quantizer = model.weight_quantizer();
  codes.clear();
  double scale_sum = 0;
  std::size_t scale_count = 0;
  for (auto& block : model.blocks()) {
    block.for_each_projection([&](auto& p) {
      if (!p.ternary) return;
      const matrix_view<const T> w = p.weight.view();
      const auto [bh, bw] = quantizer.scale_block(w.rows, w.cols);
      const std::size_t start = codes.size();
      codes.resize(start + w.size());
      std::vector<T> scales((w.rows + bh - 1) / bh * ((w.cols + bw - 1) / bw));
      quantizer.template quantize<T>(
          w, matrix_view<std::int8_t>(codes.data() + start, w.rows, w.cols),
          matrix_view<T>(scales.data(), (w.rows + bh - 1) / bh, (w.cols + bw - 1) / bw), {});
      for (const T s : scales) scale_sum += static_cast<double>(s);
      scale_count += scales.size();
    });
  }
  return scale_count == 0 ? 0.0 : scale_sum / static_cast<double>(scale_count);
}

}  // namespace detail

/// Mean weight scale of a ternary model; 0 of one that is not.
template <class Model>
double measure_scale(Model& model) {
  std::vector<std::int8_t> codes;
  return model.config().ternary ? detail::collect_codes(model, codes) : 0.0;
}

/// Runs `update` and tells what it did to the codes of a ternary model.
template <class Model, class Update>
ternary_health measure_health(Model& model, double initial_scale, Update&& update) {
  std::vector<std::int8_t> before, after;
  detail::collect_codes(model, before);
  update();
  const double scale = detail::collect_codes(model, after);
  std::size_t zeros = 0, flips = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    zeros += after[i] == 0;
    flips += after[i] != before[i];
  }
  const double n = after.empty() ? 1.0 : static_cast<double>(after.size());
  return {true, static_cast<double>(zeros) / n, static_cast<double>(flips) / n,
          initial_scale > 0 ? scale / initial_scale - 1 : 0.0};
}

}  // namespace tern::inline TERN_ABI

// ==== tern/train/trainer.hpp

// The mechanics of a training stage: micro-batches, clipping, AdamW on a schedule, reports. What a
// batch holds and which loss it has is the caller's: a function of the step number alone, so a
// stage continued from a checkpoint sees the data an unbroken one would have seen.

namespace tern::inline TERN_ABI {

/// What the steps of a stage have in common.
struct trainer_options {
  double learning_rate = 1e-3;  ///< peak
  schedule plan;                ///< plan.steps optimizer steps in all
  std::size_t accumulate = 1;   ///< micro-batches per optimizer step
  double clip = 1.0;            ///< largest global gradient norm; 0 = no clipping
  adamw_options optimizer;      ///< rates of AdamW
  std::size_t log_every = 20;   ///< steps between reports that carry ternary health

  /// Throws config_error.
  void validate() const {
    if (!(learning_rate > 0)) throw config_error("trainer: learning_rate must be positive");
    if (plan.steps == 0) throw config_error("trainer: steps must be positive");
    if (plan.warmup_steps > plan.steps)
      throw config_error("trainer: warmup_steps (" + std::to_string(plan.warmup_steps) +
                         ") exceed steps (" + std::to_string(plan.steps) + ")");
    if (accumulate == 0) throw config_error("trainer: accumulate must be positive");
    if (!(clip >= 0)) throw config_error("trainer: clip must not be negative");
    if (log_every == 0) throw config_error("trainer: log_every must be positive");
  }
};

/// What one optimizer step did.
struct step_report {
  std::size_t step = 0, steps = 0;  ///< done so far, in all
  loss_terms loss;                  ///< mean over the micro-batches
  /// Norm before clipping; rate of the step; wall clock.
  double gradient_norm = 0, learning_rate = 0, seconds = 0;
  std::size_t tokens = 0;  ///< that went through the model
  bool logged = false;     ///< a multiple of log_every, the first or the last step
  ternary_health health;   ///< only where logged, and only of ternary models
};

template <class Model>
class trainer {
 public:
  using T = typename Model::scalar;     ///< of an element
  using owner = typename Model::owner;  ///< of its matrices

  /// Gives the model gradients; they are taken away when the trainer goes.
  trainer(Model& model, const trainer_options& options, executor_ref ex = {})
      : model_(model),
        options_((options.validate(), options)),
        optimizer_(model, options.optimizer),
        tape_(ex) {
    model_.train(true);
    initial_scale_ = measure_scale(model_);  // NOLINT: after train()
  }
  trainer(const trainer&) = delete;
  trainer& operator=(const trainer&) = delete;
  ~trainer() { model_.train(false); }

  [[nodiscard]] std::size_t step() const { return optimizer_.steps(); }  ///< optimizer steps done
  /// Whether all steps of the plan are done.
  [[nodiscard]] bool done() const { return step() >= options_.plan.steps; }
  [[nodiscard]] const trainer_options& options() const { return options_; }  ///< as given
  [[nodiscard]] Model& model() { return model_; }                            ///< as given
  [[nodiscard]] adamw<owner>& optimizer() { return optimizer_; }             ///< for checkpoints
  [[nodiscard]] tape<T>& graph() { return tape_; }  ///< of the last micro-batch
  /// Mean weight scale when the stage began: what scale drift is measured against.
  [[nodiscard]] double initial_scale() const { return initial_scale_; }
  void restore_initial_scale(double s) { initial_scale_ = s; }  ///< from a checkpoint

  /// One optimizer step. `record(tape, micro)` builds micro-batch number `micro` (counted from the
  /// start of the stage), records its loss on the tape and returns a recorded_loss. Throws
  /// numeric_error if the loss or the gradient is not finite; the weights are then untouched.
  template <class Record>
  step_report advance(Record&& record) {
    const auto start = std::chrono::steady_clock::now();
    step_report report{step() + 1, options_.plan.steps, {}, 0, 0, 0, 0, false, {}};
    const double share = 1.0 / static_cast<double>(options_.accumulate);
    for (std::size_t i = 0; i < options_.accumulate; ++i) {
      tape_.reset();
      const recorded_loss recorded = record(tape_, step() * options_.accumulate + i);
      report.loss.add(recorded.terms, share);
      report.tokens += recorded.tokens;
      require_finite(recorded.terms.total, "loss", report.step);
      tape_.backward();
    }
    report.gradient_norm = gradient_norm(model_, tape_.executor()) * share;
    require_finite(report.gradient_norm, "gradient norm", report.step);
    report.learning_rate = options_.learning_rate * options_.plan.rate(step());
    report.logged = report.step == 1 || report.step % options_.log_every == 0 ||
                    report.step == options_.plan.steps;
    apply(report, share * clip_factor(report.gradient_norm));
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  static void require_finite(double x, const char* what, std::size_t step) {
    if (!std::isfinite(x))
      throw numeric_error(std::string(what) + " is not finite at step " + std::to_string(step) +
                          "; lower the learning rate or check the data");
  }

  [[nodiscard]] double clip_factor(double norm) const {
    return options_.clip > 0 && norm > options_.clip ? options_.clip / norm : 1.0;
  }

  void apply(step_report& report, double gradient_scale) {
    const double decay = options_.plan.decay(step());
    const auto update = [&] {
      optimizer_.step(model_, report.learning_rate, decay, gradient_scale, tape_.executor());
    };
    if (report.logged && model_.config().ternary)
      report.health = measure_health(model_, initial_scale_, update);
    else
      update();
  }

  Model& model_;
  trainer_options options_;
  adamw<owner> optimizer_;
  tape<T> tape_;
  double initial_scale_ = 0;
};

}  // namespace tern::inline TERN_ABI

// ==== tern/tern.hpp

// The library core in one include: all that needs Eigen and xsimd only, as the target tern::tern.
// Files, text and the pipeline (io/, data/, text/, model/checkpoint.hpp, train/pipeline.hpp) have
// dependencies of their own and are included one by one.

// Foundations

// Owners

// Quantizers, packed weights, integer products

// Ops, each a forward and a backward

// Distillation

// Glue: the ops on a tape, models made of them, their training
