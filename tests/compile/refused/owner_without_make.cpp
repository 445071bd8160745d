// refused: matrix_owner|class template 'parameter'
#include "tern/model/parameter.hpp"

tern::parameter<tern::matrix_view<float>> weights;
