// Calibrating a model with a folder that holds the finished layers, so that a calibration which was
// stopped goes on with the next layer and ends with the same bits.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "tern/calibrate/model_calibration.hpp"
#include "tern/core/error.hpp"
#include "tern/core/os_error.hpp"
#include "tern/core/together.hpp"
#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/json/read_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/json/write_fields.hpp"
#include "tern/model/token_batch.hpp"
#include "tern/recipe/share_model.hpp"

namespace tern::inline TERN_ABI {

namespace detail {

inline std::filesystem::path layer_file(const std::filesystem::path& folder, std::size_t layer) {
  return folder / ("layer-" + std::to_string(layer) + ".safetensors");
}

/// The report about a layer whose file is whole and belongs to the same calibration; nothing where
/// there is no such file.
inline std::optional<layer_calibration> report_of(const std::filesystem::path& path,
                                                  const std::string& identity) {
  if (!path_exists(path)) return {};
  try {
    const safetensors_file file(path);
    const auto& metadata = file.metadata();
    const auto found = metadata.find("calibration"), report = metadata.find("report");
    if (found == metadata.end() || report == metadata.end() || found->second != identity ||
        !file.verify())
      return {};
    layer_calibration result;
    read_fields(result, json_fields(parse_json(report->second, path.string()), path.string()));
    return result;
  } catch (const format_error&) {
    return {};  // a damaged layer is calibrated again
  }
}

template <class T, class Layer>
void save_layer(Layer& layer, const layer_calibration& report, const std::filesystem::path& path,
                const std::string& identity) {
  safetensors_writer file;
  file.metadata("calibration", identity);
  file.metadata("report", write_fields(report).dump());
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
/// stored there. The caller removes the folder when it has saved the model. `done(report, layers,
/// restored)` is called behind every layer; `restored` says that its file was there. Of several
/// ranks, which share the work, rank 0 alone uses the folder, and gets reports of restored layers.
/// Throws as model_calibration does, and io_error.
template <class Model, class Done>
void calibrate_model(Model& model, token_batch batch, const calibration_options& options,
                     const std::filesystem::path& folder, const std::string& identity, Done&& done,
                     executor_ref ex = {}, reducer& ranks = one_rank()) {
  using T = typename Model::scalar;
  const auto lead = [&](auto&& f) {
    together(ranks, [&] {
      if (ranks.rank() == 0) f();
    });
  };
  lead([&] {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw io_error("cannot make '" + folder.string() + "': " + error.message());
  });
  model_calibration<Model> calibration(model, std::move(batch), options, ex, ranks);
  bool replaying = true;
  while (!calibration.finished()) {
    const std::size_t index = calibration.layers_done();
    const auto file = detail::layer_file(folder, index);
    layer_calibration report;
    lead([&] {
      const auto found = replaying ? detail::report_of(file, identity) : std::nullopt;
      replaying = found.has_value();
      if (replaying) report = *found;
    });
    replaying = any_rank(ranks, replaying && ranks.rank() == 0);
    if (replaying) {
      calibration.replay_next([&](auto& layer) {
        lead([&] { detail::load_layer<T>(layer, file); });
        layer.for_each_parameter([&](auto& p) { share_matrix(ranks, p.view()); });
      });
    } else {
      report = calibration.calibrate_next();
      lead([&] { detail::save_layer<T>(model.layers()[index], report, file, identity); });
    }
    done(report, model.layers().size(), replaying);
  }
}

}  // namespace tern::inline TERN_ABI
