// Functions that generate, bench and export share: they make models ready to run.
#pragma once

#include "options.hpp"
#include "tern/infer/kv_cache.hpp"
#include "tern/io/dtype.hpp"
#include "tern/model/decoder.hpp"
#include "tern/quant/absmax_groups.hpp"

namespace bitdistill {

/// The type in which keys and values are kept, from --kv.
tern::kv_storage kv_storage_of(const options& o);

/// The quantizer of embedding and head.
template <int Bits>
using head_groups = tern::absmax_groups<Bits, 256>;

/// Packs embedding or head where o.head_bits is 4 or 8.
void pack_table(tern::projection<tern::matrix<float>>& table, const options& o,
                tern::executor_ref ex);

/// Packs the ternary projections in the first format of o.formats, and embedding and head as
/// pack_table() does.
void pack(tern::decoder<>& model, const options& o, tern::executor_ref ex);

/// The type in which matrices that are not packed are stored.
tern::dtype dense_type(const options& o);

}  // namespace bitdistill
