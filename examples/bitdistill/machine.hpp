// What generate, bench and export share: models made ready to run.
#pragma once

#include "options.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/io/dtype.hpp"
#include "tern/model/decoder.hpp"
#include "tern/quant/absmax_groups.hpp"

namespace bitdistill {

tern::kv_storage kv_storage_of(const options& o);

/// Of embedding and head.
template <int Bits>
using head_groups = tern::absmax_groups<Bits, 256>;

/// Packs embedding or head as o.head_bits says, if at all.
void pack_table(tern::projection<tern::matrix<float>>& table, const options& o,
                tern::executor_ref ex);

/// Packs ternary projections in the first of o.formats, embedding and head as o.head_bits says.
void pack(tern::decoder<>& model, const options& o, tern::executor_ref ex);

/// How matrices are stored that stay dense.
tern::dtype dense_type(const options& o);

}  // namespace bitdistill
