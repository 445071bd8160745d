#include "machine.hpp"

#include "tern/model/pack_model.hpp"

namespace bitdistill {

tern::kv_storage kv_storage_of(const options& o) {
  return o.kv == "f32"   ? tern::kv_storage::f32
         : o.kv == "f16" ? tern::kv_storage::f16
                         : tern::kv_storage::int8;
}

void pack_table(tern::projection<tern::matrix<float>>& table, const options& o,
                tern::executor_ref ex) {
  if (table.packed) return;
  if (o.head_bits == 4) tern::pack_projection<tern::four_bit>(table, head_groups<4>{}, ex);
  if (o.head_bits == 8) tern::pack_projection<tern::eight_bit>(table, head_groups<8>{}, ex);
}

void pack(tern::decoder<>& model, const options& o, tern::executor_ref ex) {
  if (o.formats.front() == "two_bit")
    tern::pack_ternary<tern::two_bit>(model, ex);
  else
    tern::pack_ternary<tern::base3>(model, ex);
  for (auto* table : {&model.embedding(), &model.head_projection()}) pack_table(*table, o, ex);
}

tern::dtype dense_type(const options& o) {
  return o.head_bits == 32 ? tern::dtype::f32 : tern::dtype::f16;
}

}  // namespace bitdistill
