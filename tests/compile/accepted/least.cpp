// flags: -fno-rtti
// Types with exactly the members that the concepts require, used in everything that takes them.
#include <cstddef>
#include <cstdint>
#include <span>

#include "tern/grad/ste.hpp"
#include "tern/grad/tape.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/model/parameter.hpp"
#include "tern/nn/bit_linear.hpp"

class image {
 public:
  image(image&&) = default;
  image& operator=(image&&) = default;

 private:
  friend tern::tensor_traits<image>;
  image(float* cells, unsigned short size) : cells_(cells), size_(size) {}

  float* cells_;
  unsigned short size_;
};

template <>
struct tern::tensor_traits<image> {
  using scalar = float;
  static unsigned short rows(const image& i) { return i.size_; }
  static unsigned short cols(const image& i) { return i.size_; }
  static unsigned short row_stride(const image& i) { return i.size_; }
  static unsigned short col_stride(const image&) { return 1; }
  static const float* data(const image& i) { return i.cells_; }
  static float* data(image& i) { return i.cells_; }
  static image make(std::size_t rows, std::size_t cols) {
    return {new float[rows * cols](), static_cast<unsigned short>(rows)};
  }
};

namespace {

struct weights {
  static tern::extents scale_block(std::size_t rows, std::size_t cols) { return {rows, cols}; }
  template <class T>
  void quantize(tern::matrix_view<const T>, tern::matrix_view<std::int8_t>, tern::matrix_view<T>,
                tern::executor_ref) const {}
};

struct activations {
  template <class T>
  void quantize(tern::matrix_view<const T>, tern::matrix_view<std::int8_t>, tern::row_view<T>,
                tern::row_view<std::int32_t>, tern::executor_ref) const {}
};

struct threads {
  void parallel_for(std::size_t n, std::size_t, tern::range_function f) { f(0, n); }
};

struct epilogue {
  void operator()(const tern::sum_block&) const {}
};

struct format {
  static constexpr int rows = 16, cols = 4;
  static constexpr int least_code = -1, max_digit = 2;
  static std::uint64_t pack(const std::int8_t*, std::size_t, tern::packed_line&) { return 0; }
  static void unpack(const tern::packed_line&, std::int8_t*, std::size_t) {}
};

}  // namespace

template <class T>
void train(tern::matrix_view<const T> x, tern::matrix_view<T> y, tern::arena& memory) {
  using layer = tern::bit_linear<T, weights, activations>;
  threads ex;
  const auto saved = layer::make_saved(memory, x.rows, x.cols, y.cols);
  layer::forward(x, x, {}, y, saved, memory, ex);
  layer::backward(y, saved, y, y, {}, memory, ex);
  tern::ste<weights, T>::forward(x, y, memory, 1, ex);
  tern::ste<activations, T>::forward(x, y, memory, 1, ex);
}

void use(const image& x, image& y, tern::arena& memory) {
  train<float>(x, y, memory);
  train<double>({}, {}, memory);
  tern::parameter<image>{};
  tern::tape<float>().record([view = tern::matrix_view<float>(y)] { static_cast<void>(view); });
}

void multiply(std::span<const std::int8_t> codes, std::span<std::byte> workspace) {
  const tern::matrix_view<const std::int8_t> x(codes.data(), 4, 4);
  const tern::packed_matrix<format> stored(x);
  const tern::packed_matrix<tern::two_bit> packed(x);
  tern::ternary_matmul(packed, x, {}, {}, workspace, {}, tern::isa::active(), epilogue{});
}
