// Scales of ternary weights as parameters of a model.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "tern/model/surgery.hpp"
#include "tern/train/trainer.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

decoder<> tiny_model() {
  auto model = tern_test::small_decoder(31, 3);
  make_ternary(model);
  return model;
}

}  // namespace

TEST_CASE("learned scales begin at 1.5 times the mean magnitude of their block") {
  auto model = tiny_model();
  const auto [granularity, group, rows, cols] =
      GENERATE(table<scale_granularity, std::size_t, std::size_t, std::size_t>({
          {scale_granularity::tensor, 0, 16, 24},
          {scale_granularity::row, 0, 1, 24},
          {scale_granularity::group, 16, 1, 16},
      }));
  learn_scales(model, granularity, group);
  const projection<matrix<float>>& down = model.layers()[1].down;
  const matrix_view<const float> w = down.weight.view(), scales = down.scales->view();
  REQUIRE(scales.rows == (16 + rows - 1) / rows);
  REQUIRE(scales.cols == (24 + cols - 1) / cols);
  for (std::size_t i = 0; i < scales.rows; ++i)
    for (std::size_t j = 0; j < scales.cols; ++j) {
      double sum = 0, count = 0;
      for (std::size_t r = i * rows; r < std::min<std::size_t>(16, (i + 1) * rows); ++r)
        for (std::size_t c = j * cols; c < std::min<std::size_t>(24, (j + 1) * cols); ++c, ++count)
          sum += std::abs(w(r, c));
      CHECK(scales(i, j) == Approx(1.5 * sum / count));
    }
}

TEST_CASE("scales are parameters beside their weight, and can be taken away again") {
  auto model = tiny_model();
  learn_scales(model, scale_granularity::row);
  std::vector<std::string> names;
  model.for_each_parameter([&](auto& p) {
    if (p.kind == parameter_kind::scales) names.push_back(p.name);
  });
  REQUIRE(names.size() == 14);
  CHECK(names[0] == "model.layers.0.self_attn.q_proj.scales");
  learn_scales(model, scale_granularity::none);
  model.for_each_parameter([&](auto& p) { CHECK(p.kind != parameter_kind::scales); });
}

TEST_CASE("a step of training moves the scales and the weights") {
  auto model = tiny_model();
  learn_scales(model, scale_granularity::row);
  const matrix<float> scales = model.layers()[0].up.scales->value,
                      weights = model.layers()[0].up.weight.value;
  token_batch batch;
  batch.add(std::vector<std::int32_t>{1, 30, 7, 7, 0});
  trainer_options options;
  options.plan.steps = 1;
  options.plan.kind = schedule_kind::constant;
  {
    trainer<decoder<>> training(model, options);
    training.advance([&](tape<float>& t, std::size_t) {
      const variable<float> h = model.hidden(t, batch);
      t.record([h] {
        for (std::size_t r = 0; r < h.rows(); ++r) h.grad(r, 0) += 1;
      });
      recorded_loss loss;
      loss.tokens = 5;
      return loss;
    });
  }
  CHECK(model.layers()[0].up.scales->value != scales);
  CHECK(model.layers()[0].up.weight.value != weights);
}

TEST_CASE("clipped weights get no gradient where a stage says so") {
  auto model = tiny_model();
  learn_scales(model, scale_granularity::row);
  auto& up = model.layers()[0].up;
  const matrix_view<float> w = up.weight.view(), scales = up.scales->view();
  const float limit = 1.5f * scales(0, 0);
  w(0, 0) = 1.1f * limit;
  w(0, 1) = 0.9f * limit;
  const auto gradient_of_row = [&](clipped_gradient clipped) {
    model.set_clipped_gradient(clipped);
    model.train(true);
    tape<float> t;
    token_batch batch;
    batch.add(std::vector<std::int32_t>{1, 30, 7, 7, 0});
    const variable<float> h = model.hidden(t, batch);
    for (std::size_t r = 0; r < h.rows(); ++r) h.grad(r, 0) = 1;
    t.backward();
    return std::pair(up.weight.grad(0, 0), up.weight.grad(0, 1));
  };
  const auto [all, inside] = gradient_of_row(clipped_gradient::straight);
  CHECK(all != 0);
  CHECK(gradient_of_row(clipped_gradient::none) == std::pair(0.0f, inside));
}

TEST_CASE("the size of a group belongs to scales of groups alone") {
  auto model = tiny_model();
  CHECK(tern_test::message_of<config_error>([&] {
          learn_scales(model, scale_granularity::group);
        }).starts_with("config: scale_group (0) must be positive"));
  CHECK_THROWS_AS(learn_scales(model, scale_granularity::row, 64), config_error);
}
