// refused: pack_format|class template 'packed_matrix'
#include "tern/pack/packed_matrix.hpp"

struct format {
  static constexpr std::size_t rows = 16, cols = 16;
  static constexpr int least_code = -1, max_digit = 2;
  static std::uint64_t pack(const std::int8_t*, std::size_t, tern::packed_line&);
};

tern::packed_matrix<format> packed;
