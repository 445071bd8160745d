// How the hidden states of a text become one vector, its embedding. Files of embedding models say
// it, and infer/pool.hpp does it.
#pragma once

#include "tern/core/enum_names.hpp"
#include "tern/version.hpp"

namespace tern::inline TERN_ABI {

/// Which hidden states of a text make its embedding.
enum class pooling {
  last,   ///< that of the last token, which alone has seen the whole text
  mean,   ///< the mean of all tokens
  first,  ///< that of the first token
};

/// How an embedding is made of the hidden states behind the last norm of a model.
struct pooling_rule {
  pooling kind = pooling::last;  ///< the hidden states that count
  bool normalize = true;         ///< the embedding is divided by its L2 norm

  bool operator==(const pooling_rule&) const = default;
};

/// The names of pooling on the command line and in messages.
inline constexpr enum_names<pooling> pooling_names = {
    {"last", pooling::last}, {"mean", pooling::mean}, {"first", pooling::first}};

}  // namespace tern::inline TERN_ABI
