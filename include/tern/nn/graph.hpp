// All ops on a tape. Each function computes the value of an op, records its backward pass, and
// keeps what that needs in the tape's arena. The mathematics is in the op that the function wraps.
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
#include "tern/nn/graph/scaled_bit_linear.hpp"
#include "tern/nn/graph/ste.hpp"
