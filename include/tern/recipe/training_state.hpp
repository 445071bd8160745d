// The state of a stage in one file with a checksum: master weights, moments of the optimizer, the
// step, which determines the position in the data and the random streams, and the running means of
// the objective. A stage that goes on from it ends with the same bits as one that was not stopped.
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

/// What a state belongs to.
struct state_identity {
  std::string stage;        ///< name of the stage
  std::string fingerprint;  ///< fingerprint of the stage as text; see recipe/fingerprint.hpp
};

namespace detail {

inline std::string state_metadata(const safetensors_file& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

/// Throws format_error where the file is damaged, of another kind or of another stage.
inline void require_state_of(const safetensors_file& file, const std::string& stage,
                             const std::filesystem::path& path) {
  if (!file.verify() || state_metadata(file, "format") != "tern.training_state")
    throw format_error(path.string() + ": not a training state of tern");
  if (const auto found = state_metadata(file, "stage"); found != stage)
    throw format_error(path.string() + ": expected the state of stage '" + stage + "', got '" +
                       found + "'");
}

}  // namespace detail

/// Writes the state. The file appears whole or not at all, and carries a checksum. Throws io_error.
template <class Model>
void save_training_state(trainer<Model>& t, const objective<typename Model::scalar>& loss,
                         const state_identity& identity, const std::filesystem::path& path) {
  using T = typename Model::scalar;
  safetensors_writer file;
  file.metadata("format", "tern.training_state");
  file.metadata("stage", identity.stage);
  file.metadata("fingerprint", identity.fingerprint);
  const auto kinds = t.optimizer().moment_kinds();
  std::size_t index = 0;
  t.model().for_each_parameter([&](auto& p) {
    auto& moments = t.optimizer().moments()[index++];
    file.add_matrix<T>("weight." + p.name, p.value);
    for (std::size_t i = 0; i < moments.size(); ++i)
      moments[i].for_each_matrix([&]<class U>(const std::string& suffix, matrix_view<U> m) {
        file.add_matrix<U>(kinds[i].name + suffix + "." + p.name, m);
      });
  });
  const std::array<double, 2> numbers{static_cast<double>(t.step()), t.initial_scale()};
  file.add_row<double>("trainer", numbers);
  file.add_row<double>("means", loss.means());
  file.write(path);
}

/// Whether a file holds a state that the stage may go on from. Throws io_error, and format_error
/// where the file is damaged, of another kind or of another stage; the message then says what to
/// do.
inline bool is_state_of(const std::filesystem::path& path, const state_identity& identity) try {
  const safetensors_file file(path);
  detail::require_state_of(file, identity.stage, path);
  return detail::state_metadata(file, "fingerprint") == identity.fingerprint;
} catch (const format_error& e) {
  throw format_error(std::string(e.what()) + ": remove " + path.string() +
                     ", and the stage begins with its first step");
}

/// Restores what save_training_state wrote for the same stage. Throws io_error, or format_error
/// where the file is damaged, of another kind, of another stage or of other shapes.
template <class Model>
void load_training_state(trainer<Model>& t, objective<typename Model::scalar>& loss,
                         const std::string& stage, const std::filesystem::path& path) {
  using T = typename Model::scalar;
  const safetensors_file file(path);
  detail::require_state_of(file, stage, path);
  const auto kinds = t.optimizer().moment_kinds();
  std::size_t index = 0;
  t.model().for_each_parameter([&](auto& p) {
    auto& moments = t.optimizer().moments()[index++];
    read_matrix<T>(file.at("weight." + p.name), matrix_view<T>(p.value));
    for (std::size_t i = 0; i < moments.size(); ++i)
      moments[i].for_each_matrix([&]<class U>(const std::string& suffix, matrix_view<U> m) {
        read_matrix<U>(file.at(kinds[i].name + suffix + "." + p.name), m);
      });
  });
  std::array<double, 2> numbers{};
  read_row<double>(file.at("trainer"), numbers);
  t.optimizer().restore_steps(static_cast<std::size_t>(numbers[0]));
  t.restore_initial_scale(numbers[1]);
  loss.restore(read_values<double>(file.at("means")));
}

}  // namespace tern::inline TERN_ABI
