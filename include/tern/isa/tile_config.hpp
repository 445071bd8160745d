// The configuration of the tile registers of AMX, for all kernels that use them.
#pragma once

#include <cstdint>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI::isa {

/// The layout that `ldtilecfg` reads. By default all eight tiles have 16 rows of 64 bytes.
struct alignas(64) tile_config {
  /// The names are Intel's. The last eight sizes belong to no tile.
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(tile_config) == 64);

}  // namespace tern::inline TERN_ABI::isa
