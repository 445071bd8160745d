// Calibrating a model with a folder that holds the finished layers, so that a calibration which was
// stopped goes on with the next layer and ends with the same bits.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>

#include "tern/calibrate/model_calibration.hpp"
#include "tern/core/error.hpp"
#include "tern/core/os_error.hpp"
#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/model/token_batch.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline std::filesystem::path layer_file(const std::filesystem::path& folder, std::size_t layer) {
  return folder / ("layer-" + std::to_string(layer) + ".safetensors");
}

/// Whether the file is whole and belongs to the same calibration.
inline bool is_layer_of(const std::filesystem::path& path, const std::string& identity) {
  if (!path_exists(path)) return false;
  try {
    const safetensors_file file(path);
    const auto found = file.metadata().find("calibration");
    return found != file.metadata().end() && found->second == identity && file.verify();
  } catch (const format_error&) {
    return false;  // a damaged layer is calibrated again
  }
}

template <class T, class Layer>
void save_layer(Layer& layer, const std::filesystem::path& path, const std::string& identity) {
  safetensors_writer file;
  file.metadata("calibration", identity);
  layer.for_each_parameter([&](auto& p) { file.template add_matrix<T>(p.name, p.value); });
  file.write(path);
}

template <class T, class Layer>
void load_layer(Layer& layer, const std::filesystem::path& path) {
  const safetensors_file file(path);
  layer.for_each_parameter([&](auto& p) { read_matrix<T>(file.at(p.name), p.view()); });
}

}  // namespace detail

/// Calibrates a whole model. Layers that `folder` holds from a calibration of the same `identity`,
/// a text that stands for model, tokens and options, are taken from there; each further one is
/// stored there. The caller removes the folder when it has saved the model. `done(report, layers)`
/// is called behind every layer that is calibrated. Throws as model_calibration does, and io_error.
template <class Model, class Done>
void calibrate_model(Model& model, token_batch batch, const calibration_options& options,
                     const std::filesystem::path& folder, const std::string& identity, Done&& done,
                     executor_ref ex = {}) {
  using T = typename Model::scalar;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw io_error("cannot make '" + folder.string() + "': " + error.message());
  model_calibration<Model> calibration(model, std::move(batch), options, ex);
  bool replaying = true;
  while (!calibration.finished()) {
    const std::size_t index = calibration.layers_done();
    const auto file = detail::layer_file(folder, index);
    replaying = replaying && detail::is_layer_of(file, identity);
    if (replaying) {
      calibration.replay_next([&](auto& layer) { detail::load_layer<T>(layer, file); });
      continue;
    }
    const layer_calibration report = calibration.calibrate_next();
    detail::save_layer<T>(model.layers()[index], file, identity);
    done(report, model.layers().size());
  }
}

}  // namespace tern::inline TERN_ABI
