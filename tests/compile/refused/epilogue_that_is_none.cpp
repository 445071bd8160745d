// refused: an epilogue needs: void operator
#include "tern/kernel/matmul.hpp"

struct epilogue {
  void operator()(float) const;
};

void f(tern::packed_view<tern::two_bit> w, tern::matrix_view<const std::int8_t> x,
       tern::matrix_view<std::int32_t> y) {
  tern::ternary_matmul(w, x, {}, y, {}, {}, tern::isa::active(), epilogue{});
}
