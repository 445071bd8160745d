// Element types as PyTorch calls them.
#pragma once

#include <string>

#include "tern/io/dtype.hpp"

namespace tern::inline TERN_ABI {

/// The value of "torch_dtype" in a config.json.
inline std::string torch_name(dtype type) {
  return type == dtype::f16    ? "float16"
         : type == dtype::bf16 ? "bfloat16"
         : type == dtype::f64  ? "float64"
                               : "float32";
}

}  // namespace tern::inline TERN_ABI
