// A calibration that was stopped goes on where it was.
#include "tern/recipe/calibration_run.hpp"

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/rank_threads.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

token_batch text() {
  token_batch batch;
  philox random(5);
  for (std::size_t s = 0; s < 8; ++s) {
    std::vector<std::int32_t> tokens(20);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.below(31));
    batch.add(tokens);
  }
  return batch;
}

/// Reports of the last calibration.
std::vector<nlohmann::json> reports;

/// Calibrates, is stopped behind layer `stop`, and returns the layers that were calibrated.
std::vector<std::size_t> calibrate(decoder<>& model, const std::filesystem::path& folder,
                                   const std::string& identity, std::size_t stop = 100) {
  std::vector<std::size_t> layers;
  reports.clear();
  try {
    calibrate_model(model, text(), {}, folder, identity,
                    [&](const layer_calibration& report, std::size_t all, bool restored) {
                      CHECK(all == 2);
                      CHECK(report.layer == reports.size());
                      reports.push_back(write_fields(report));
                      if (restored) return;
                      layers.push_back(report.layer);
                      if (report.layer == stop) throw std::runtime_error("stop");
                    });
  } catch (const std::runtime_error& e) {
    CHECK(e.what() == std::string("stop"));
  }
  return layers;
}

std::vector<matrix<float>> parameters_of(decoder<>& model) {
  std::vector<matrix<float>> values;
  model.for_each_parameter([&](auto& p) { values.push_back(p.value); });
  return values;
}

using numbers = std::vector<std::size_t>;

}  // namespace

TEST_CASE("a stopped calibration goes on with the next layer and ends with the same bits") {
  const tern_test::scratch_dir scratch;
  auto whole = tern_test::small_decoder(31, 3), first = tern_test::small_decoder(31, 3),
       second = tern_test::small_decoder(31, 3);
  CHECK(calibrate(whole, scratch.path() / "whole", "a") == numbers{0, 1});
  const auto all_reports = reports;
  CHECK(calibrate(first, scratch.path() / "parts", "a", 0) == numbers{0});
  CHECK(calibrate(second, scratch.path() / "parts", "a") == numbers{1});
  CHECK(parameters_of(second) == parameters_of(whole));
  CHECK(reports == all_reports);
  CHECK(reports[0]["calibrated"][6] > 0);
}

TEST_CASE("ranks go on with a calibration that one process began") {
  const tern_test::scratch_dir scratch;
  auto whole = tern_test::small_decoder(31, 3), first = tern_test::small_decoder(31, 3);
  calibrate(whole, scratch.path() / "whole", "a");
  calibrate(first, scratch.path() / "parts", "a", 0);
  std::vector<std::vector<matrix<float>>> values(3);
  std::vector<std::size_t> restored(3);
  tern_test::on_ranks(3, [&](reducer& ranks) {
    auto model = tern_test::small_decoder(31, 3);
    const auto folder = ranks.rank() == 0 ? scratch.path() / "parts" : scratch.path() / "nowhere";
    calibrate_model(
        model, text(), {}, folder, "a",
        [&](const layer_calibration&, std::size_t, bool was_there) {
          if (was_there) ++restored[ranks.rank()];
        },
        {}, ranks);
    values[ranks.rank()] = parameters_of(model);
  });
  for (const auto& each : values) CHECK(each == parameters_of(whole));
  CHECK(restored == numbers{1, 1, 1});
  CHECK(!std::filesystem::exists(scratch.path() / "nowhere"));
  CHECK(std::filesystem::exists(scratch.path() / "parts" / "layer-1.safetensors"));
}

TEST_CASE("layers of another calibration are not taken") {
  const tern_test::scratch_dir scratch;
  auto first = tern_test::small_decoder(31, 3), second = tern_test::small_decoder(31, 3);
  calibrate(first, scratch.path() / "parts", "a", 0);
  CHECK(calibrate(second, scratch.path() / "parts", "b") == numbers{0, 1});
}

TEST_CASE("a damaged layer is calibrated again") {
  const tern_test::scratch_dir scratch;
  auto first = tern_test::small_decoder(31, 3), second = tern_test::small_decoder(31, 3);
  calibrate(first, scratch.path() / "parts", "a");
  const auto file = scratch.path() / "parts" / "layer-0.safetensors";
  const auto size = std::filesystem::file_size(file);
  {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(static_cast<std::streamoff>(size) - 3);
    damaged.put('\x7f');
  }
  CHECK(calibrate(second, scratch.path() / "parts", "a") == numbers{0, 1});
  CHECK(parameters_of(second) == parameters_of(first));
}
