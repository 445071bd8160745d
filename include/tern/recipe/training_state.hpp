// The state of a stage in one file with a checksum: master weights, moments of the optimizer, the
// step, which determines the position in the data and the random streams, and the running means of
// the objective. A stage that goes on from it ends with the same bits as one that was not stopped.
#pragma once

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tern/io/safetensors.hpp"
#include "tern/io/safetensors_writer.hpp"
#include "tern/recipe/moment_exchange.hpp"
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
/// With several ranks, rank 0 calls it while the others are in serve_moments().
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
    const std::size_t i = index++;
    file.add_matrix<T>("weight." + p.name, p.value);
    detail::for_each_moment_matrix(
        t.optimizer().moments()[i], i,
        [&]<class U>(const moment_place& place, const std::string& suffix, matrix_view<U> own) {
          file.add_parts(
              kinds[place.moment].name + suffix + "." + p.name, dtype_of<U>(),
              {t.optimizer().shard().shape(i).rows, own.cols}, [&t, place, own](const auto& sink) {
                gather_moment(t, place, own,
                              [&](std::span<const U> rows) { sink(std::as_bytes(rows)); });
              });
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

/// Restores what save_training_state wrote for the same stage, with any number of ranks. Throws
/// io_error, or format_error where the file is damaged, of another kind, of another stage or of
/// other shapes. With several ranks, rank 0 calls it while the others are in serve_moments(), which
/// gives them their moments; share_training_state() brings them the rest.
template <class Model>
void load_training_state(trainer<Model>& t, objective<typename Model::scalar>& loss,
                         const std::string& stage, const std::filesystem::path& path) {
  using T = typename Model::scalar;
  const safetensors_file file(path);
  detail::require_state_of(file, stage, path);
  const auto kinds = t.optimizer().moment_kinds();
  std::size_t index = 0;
  t.model().for_each_parameter([&](auto& p) {
    const std::size_t i = index++;
    read_matrix<T>(file.at("weight." + p.name), matrix_view<T>(p.value));
    detail::for_each_moment_matrix(
        t.optimizer().moments()[i], i,
        [&]<class U>(const moment_place& place, const std::string& suffix, matrix_view<U> own) {
          const auto& tensor = file.at(kinds[place.moment].name + suffix + "." + p.name);
          require_stored_shape(tensor, {t.optimizer().shard().shape(i).rows, own.cols});
          tensor.template require_readable_as<U>();
          scatter_moment(t, place, own, [&](std::size_t first, std::span<U> elements) {
            tensor.decode(first, elements);
          });
        });
  });
  std::array<double, 2> numbers{};
  read_row<double>(file.at("trainer"), numbers);
  t.optimizer().restore_steps(static_cast<std::size_t>(numbers[0]));
  t.restore_initial_scale(numbers[1]);
  loss.restore(read_values<double>(file.at("means")));
}

}  // namespace tern::inline TERN_ABI
