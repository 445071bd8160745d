// Everything a stage needs to go on bit-identically: master weights, both moments, the step (which
// names the data position and the random streams) and the running means, in one checked file.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/train/trainer.hpp"

namespace tern::inline TERN_ABI {

/// Writes atomically, with a checksum. `stage` names what the state belongs to.
template <class Model>
void save_training_state(trainer<Model>& t, const objective<typename Model::scalar>* loss,
                         const std::string& stage, const std::filesystem::path& path) {
  using T = typename Model::scalar;
  safetensors_writer file;
  file.metadata("format", "tern.training_state");
  file.metadata("stage", stage);
  std::size_t index = 0;
  t.model().for_each_parameter([&](auto& p) {
    const auto& moments = t.optimizer().state()[index++];
    file.add_matrix<T>("weight." + p.name, p.value);
    file.add_matrix<T>("m." + p.name, moments.m);
    file.add_matrix<T>("v." + p.name, moments.v);
  });
  const auto means = loss != nullptr ? loss->means() : typename objective<T>::running_means{};
  const std::array<double, 6> numbers{
      static_cast<double>(t.step()), t.initial_scale(), means[0], means[1], means[2], means[3]};
  file.add_row<double>("trainer", numbers);
  file.write(path);
}

/// Restores what save_training_state wrote for the same stage and model shapes. Throws io_error, or
/// format_error where the file is damaged, of another kind or of another stage.
template <class Model>
void load_training_state(trainer<Model>& t, objective<typename Model::scalar>* loss,
                         const std::string& stage, const std::filesystem::path& path) {
  using T = typename Model::scalar;
  const safetensors_file file(path);
  if (!file.verify()) throw format_error(path.string() + ": not a training state of tern");
  const auto value = [&](const std::string& key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  if (value("format") != "tern.training_state")
    throw format_error(path.string() + ": not a training state of tern");
  if (value("stage") != stage)
    throw format_error(path.string() + ": expected the state of stage '" + stage + "', got '" +
                       value("stage") + "'");
  std::size_t index = 0;
  t.model().for_each_parameter([&](auto& p) {
    auto& moments = t.optimizer().state()[index++];
    read_matrix<T>(file.at("weight." + p.name), matrix_view<T>(p.value));
    read_matrix<T>(file.at("m." + p.name), matrix_view<T>(moments.m));
    read_matrix<T>(file.at("v." + p.name), matrix_view<T>(moments.v));
  });
  std::array<double, 6> numbers{};
  read_row<double>(file.at("trainer"), numbers);
  t.optimizer().restore_steps(static_cast<std::size_t>(numbers[0]));
  t.restore_initial_scale(numbers[1]);
  if (loss != nullptr) loss->restore({numbers[2], numbers[3], numbers[4], numbers[5]});
}

}  // namespace tern::inline TERN_ABI
