// All ops on a tape. Each function computes the value, records the matching backward and keeps what
// that needs in the tape's arena; the mathematics is in the op that it wraps.
#pragma once

#include "tern/nn/graph/add.hpp"
#include "tern/nn/graph/attention.hpp"
#include "tern/nn/graph/bit_linear.hpp"
#include "tern/nn/graph/embedding.hpp"
#include "tern/nn/graph/gated_activation.hpp"
#include "tern/nn/graph/gather_rows.hpp"
#include "tern/nn/graph/linear.hpp"
#include "tern/nn/graph/packed_linear.hpp"
#include "tern/nn/graph/rms_norm.hpp"
#include "tern/nn/graph/rope.hpp"
