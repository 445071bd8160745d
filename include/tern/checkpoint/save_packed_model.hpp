// Writing a model in the form in which it is run: a folder like Hugging Face's whose
// model.safetensors holds packed weights as tensors of bytes. They begin at multiples of 64, so
// that they can be used where the file is mapped.
#pragma once

#include <cstddef>
#include <filesystem>
#include <utility>

#include "tern/checkpoint/config_json.hpp"
#include "tern/checkpoint/make_folder.hpp"
#include "tern/checkpoint/torch_name.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/json/write_json.hpp"
#include "tern/model/decoder.hpp"
#include "tern/pack/packed_bytes.hpp"

namespace tern::inline TERN_ABI {

/// Writes model.safetensors and then config.json to `directory`, each atomically; makes the
/// directory where it is missing. Packed projections are stored as they are (see pack_model.hpp),
/// other matrices as `dense`, gains and biases exactly. Throws io_error, and config_error where a
/// ternary projection is not packed.
template <class Owner, class WeightQ, class ActQ>
void save_packed_model(decoder<Owner, WeightQ, ActQ>& model, const std::filesystem::path& directory,
                       dtype dense = dtype::f16) {
  using T = scalar_of<Owner>;
  make_folder(directory);
  safetensors_writer file;
  file.metadata("format", "pt");
  model.for_each_projection([&](projection<Owner>& p) {
    if (p.ternary && !p.packed)
      throw config_error("save_packed_model: '" + p.weight.name + "' is not packed");
    if (!p.packed) return;
    const std::size_t bytes = p.packed->visit([](const auto& w) { return header_of(w).total; });
    file.add_parts(p.weight.name, bytes, sizeof(packed_line), [w = *p.packed](const auto& sink) {
      w.visit([&](const auto& view) { for_each_part(view, sink); });
    });
  });
  model.for_each_parameter([&](parameter<Owner>& p) {
    if (p.view().size() == 0) return;
    if (p.is_vector())
      file.add_row<T>(p.name, std::as_const(p).view().row(0));
    else
      file.add_matrix<T>(p.name, p.value, dense);
  });
  file.write(directory / "model.safetensors");
  auto config = to_json(model.config(), torch_name(dense));
  config["quantization_config"] = {{"quant_method", "tern"}};
  write_json(directory / "config.json", config);
}

}  // namespace tern::inline TERN_ABI
