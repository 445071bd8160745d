// refused: a weight quantizer needs: extents scale_block
#include "tern/nn/bit_linear.hpp"

struct policy {
  template <class T>
  void quantize(tern::matrix_view<const T>, tern::matrix_view<std::int8_t>, tern::matrix_view<T>,
                tern::executor_ref) const {}
};

void f(tern::arena& memory) { tern::bit_linear<float, policy>::make_saved(memory, 1, 2, 3); }
