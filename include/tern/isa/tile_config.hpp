// What the tile registers of AMX are set up with: shared by the kernels that use them.
#pragma once

#include <cstdint>

#include "tern/version.hpp"

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
