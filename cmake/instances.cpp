// Our own builds instantiate these templates once instead of in every unit (see TERN_EXTERN_GEMM).
#include "tern/kernel/matmul.hpp"
#include "tern/linalg/gemm.hpp"

namespace tern::inline TERN_ABI {

template void gemm<float>(float, matrix_view<const float>, matrix_view<const float>,
                          matrix_view<float>, bool, executor_ref, precision);
template void gemm<double>(double, matrix_view<const double>, matrix_view<const double>,
                           matrix_view<double>, bool, executor_ref, precision);
TERN_PRODUCTS()

}  // namespace tern::inline TERN_ABI
