// Calibration of a whole model: what the streams compute, errors, sinks, norms, replay, refusals.
#include "tern/calibrate/model_calibration.hpp"

#include <limits>
#include <string>
#include <vector>

#include "tern/core/thread_pool.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/pack/base3.hpp"
#include "tests/message.hpp"
#include "tests/rank_threads.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

decoder<> full_precision() { return tern_test::small_decoder(31, 3); }

token_batch text(std::size_t sequences = 12) {
  token_batch batch;
  philox random(5);
  for (std::size_t s = 0; s < sequences; ++s) {
    std::vector<std::int32_t> ids(20 + s % 3);
    for (auto& token : ids) token = static_cast<std::int32_t>(random.below(31));
    batch.add(ids);
  }
  return batch;
}

matrix<float> copy_of(matrix_view<const float> m) {
  return Eigen::Map<const matrix<float>>(m.data, static_cast<Eigen::Index>(m.rows),
                                         static_cast<Eigen::Index>(m.cols));
}

matrix<float> hidden(decoder<>& model, const token_batch& batch) {
  tape<float> t({}, false);
  return copy_of(model.hidden(t, batch).value);
}

struct calibrated_decoder {
  decoder<> model = full_precision();
  std::vector<layer_calibration> reports;
  matrix<float> reference, quantized;

  explicit calibrated_decoder(const calibration_options& options = {}, executor_ref ex = {}) {
    model_calibration<decoder<>> c(model, text(), options, ex);
    while (!c.finished()) reports.push_back(c.calibrate_next());
    reference = copy_of(c.reference());
    quantized = copy_of(c.quantized());
  }
};

double stream_error(const calibrated_decoder& c) {
  return (c.quantized - c.reference).squaredNorm() / c.reference.squaredNorm();
}

}  // namespace

TEST_CASE("both streams end as the hidden states of their models") {
  const auto [granularity, group] =
      GENERATE(table<scale_granularity, std::size_t>({{scale_granularity::tensor, 0},
                                                      {scale_granularity::row, 0},
                                                      {scale_granularity::group, 8}}));
  calibration_options options;
  options.scales = granularity;
  options.scale_group = group;
  calibrated_decoder c(options);
  tape<float> t({}, false);
  auto source = full_precision();
  CHECK(copy_of(source.final_norm(t, {c.reference, {}}).value) == hidden(source, text()));
  const matrix<float> expected = copy_of(c.model.final_norm(t, {c.quantized, {}}).value);
  CHECK(hidden(c.model, text()) == expected);
  CHECK(c.model.config().ternary);
  CHECK(c.model.config().learned_scales == granularity);
  pack_ternary<base3>(c.model);
  CHECK(hidden(c.model, text()) == expected);
}

TEST_CASE("calibration loses less than rounding to nearest, and each of its parts helps") {
  calibration_options nearest, without_target;
  nearest.rounding = calibration_rounding::nearest;
  without_target.correct_target = false;
  const double all = stream_error(calibrated_decoder()),
               some = stream_error(calibrated_decoder(without_target)),
               none = stream_error(calibrated_decoder(nearest));
  CAPTURE(all, some, none);
  CHECK(all < some);
  CHECK(some < none);
}

namespace {

/// A model some of whose channels are far more active than others: those behind the norms of a
/// layer, and those in front of o and down where `inside` says so.
decoder<> uneven_model(bool unit_offset, bool inside, bool shared_values = true) {
  model_config config = tern_test::small_config(31);
  config.attention_bias = true;
  if (shared_values) config.num_key_value_heads = 1;
  config.unit_offset = unit_offset;
  decoder<> model(config);
  model.initialize(3);
  philox random(17);
  const auto factor = [&] { return std::exp(1.5f * static_cast<float>(random.normal())); };
  for (auto& layer : model.layers()) {
    for (auto* gain : {&layer.attention_norm, &layer.feed_forward_norm})
      for (float& x : gain->value.reshaped()) x = factor() - (unit_offset ? 1.0f : 0.0f);
    for (float& x : layer.v.bias->value.reshaped()) x = factor() - 1;
    if (!inside) continue;
    for (auto* maker : {&layer.v, &layer.up})  // they make the inputs of o and down
      for (auto row : maker->weight.value.rowwise()) row *= factor();
  }
  return model;
}

void calibrate_all(decoder<>& model, const calibration_options& options) {
  model_calibration<decoder<>> c(model, text(), options);
  while (!c.finished()) c.calibrate_next();
}

}  // namespace

TEST_CASE("the factors of AWQ change no model in full precision") {
  const bool unit_offset = GENERATE(false, true), shared_values = GENERATE(false, true);
  const auto placement = GENERATE(norm_placement::none, norm_placement::subln, norm_placement::all);
  calibration_options plain;
  plain.rounding = calibration_rounding::nearest;
  plain.sub_ln = placement;
  calibration_options scaled = plain;
  scaled.awq = true;
  auto expected = uneven_model(unit_offset, true, shared_values),
       model = uneven_model(unit_offset, true, shared_values);
  calibrate_all(expected, plain);
  calibrate_all(model, scaled);
  for (auto* m : {&expected, &model}) m->set_ternary(false);
  const matrix<float> a = hidden(expected, text()), b = hidden(model, text());
  CHECK((a - b).norm() < 1e-4f * a.norm());
  bool o = false, down = false, outer = false;
  for (std::size_t i = 0; i < 2; ++i) {
    auto &before = expected.layers()[i], &after = model.layers()[i];
    const auto changed = [](const auto& x, const auto& y) {
      return x.weight.value != y.weight.value;
    };
    outer |= changed(before.q, after.q) || changed(before.up, after.up);
    o |= changed(before.o, after.o);
    down |= changed(before.down, after.down);
  }
  CHECK(outer);
  CHECK(down);
  CHECK(o == (placement != norm_placement::none || !shared_values));
}

TEST_CASE("AWQ scales no rows of up and v where these share a scale") {
  const auto granularity = GENERATE(scale_granularity::tensor, scale_granularity::row);
  calibration_options plain;
  plain.rounding = calibration_rounding::nearest;
  plain.scales = granularity;
  calibration_options scaled = plain;
  scaled.awq = true;
  auto before = uneven_model(false, true, false), after = uneven_model(false, true, false);
  calibrate_all(before, plain);
  calibrate_all(after, scaled);
  const bool each_row = granularity == scale_granularity::row;
  bool changed = false;
  for (std::size_t i = 0; i < 2; ++i) {
    auto &a = before.layers()[i], &b = after.layers()[i];
    CHECK(a.q.weight.value != b.q.weight.value);
    changed |= a.down.weight.value != b.down.weight.value || a.o.weight.value != b.o.weight.value;
  }
  CHECK(changed == each_row);
}

TEST_CASE("AWQ makes the error of rounding to nearest smaller where channels differ") {
  const auto errors = [](bool awq) {
    calibration_options options;
    options.awq = awq;
    auto model = uneven_model(false, false);
    model_calibration<decoder<>> c(model, text(), options);
    return c.calibrate_next();
  };
  const layer_calibration plain = errors(false), scaled = errors(true);
  for (const std::size_t q_k_v : {0u, 1u, 2u}) {
    CAPTURE(q_k_v, plain.nearest[q_k_v], scaled.nearest[q_k_v], plain.now[q_k_v],
            scaled.now[q_k_v]);
    CHECK(scaled.nearest[q_k_v] < 0.9 * plain.nearest[q_k_v]);
  }
}

TEST_CASE("the report of a layer has an error for each projection, smaller than to nearest") {
  const calibrated_decoder c;
  REQUIRE(c.reports.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(c.reports[i].layer == i);
    CHECK(c.reports[i].hidden > 0);
    for (std::size_t p = 0; p < 7; ++p) {
      CAPTURE(i, p, c.reports[i].now[p], c.reports[i].nearest[p]);
      CHECK(c.reports[i].now[p] > 0);
      CHECK(c.reports[i].now[p] < c.reports[i].nearest[p]);
    }
  }
}

TEST_CASE("calibration has the same bits for any number of threads") {
  const calibrated_decoder serial;
  thread_pool three(3);
  const calibrated_decoder parallel({}, three);
  CHECK(parallel.quantized == serial.quantized);
  CHECK(parallel.reports[1].now == serial.reports[1].now);
}

namespace {

/// A model whose widest projections have several tasks of rows, and inputs with several stripes.
decoder<> wide_model() {
  model_config config = tern_test::small_config(31);
  config.intermediate_size = 600;
  decoder<> model(config);
  model.initialize(3);
  return model;
}

std::vector<matrix<float>> parameters_of(decoder<>& model) {
  std::vector<matrix<float>> values;
  model.for_each_parameter([&](auto& p) { values.push_back(p.value); });
  return values;
}

}  // namespace

TEST_CASE("calibration has the same bits for any number of ranks") {
  calibration_options options;
  options.scales = GENERATE(scale_granularity::row, scale_granularity::tensor);
  options.awq = GENERATE(false, true);
  const auto calibrate = [&](decoder<>& model, reducer& ranks) {
    std::vector<layer_calibration> reports;
    model_calibration<decoder<>> c(model, text(), options, {}, ranks);
    while (!c.finished()) reports.push_back(c.calibrate_next());
    return reports;
  };
  decoder<> alone = wide_model();
  const auto expected = calibrate(alone, one_rank());
  const std::size_t n = GENERATE(2u, 5u);
  std::vector<std::vector<matrix<float>>> values(n);
  std::vector<std::vector<layer_calibration>> reports(n);
  std::vector<std::size_t> sent(n);
  tern_test::on_ranks(n, [&](reducer& ranks) {
    decoder<> model = wide_model();
    reports[ranks.rank()] = calibrate(model, ranks);
    values[ranks.rank()] = parameters_of(model);
    sent[ranks.rank()] = ranks.sent();
  });
  for (std::size_t r = 0; r < n; ++r) {
    CAPTURE(n, r);
    CHECK(values[r] == parameters_of(alone));
    CHECK(reports[r][1].now == expected[1].now);
    CHECK(reports[r][1].nearest == expected[1].nearest);
  }
  CHECK(sent[1] > 600 * 300 * sizeof(float));  // it had a part of the moments of down's input
}

TEST_CASE("a layer that is replayed goes on as it was calibrated") {
  calibrated_decoder before;
  auto model = full_precision();
  model_calibration<decoder<>> c(model, text(), {});
  c.replay_next([&](decoder_layer<matrix<float>>& layer) {
    std::vector<matrix<float>> values;
    before.model.layers()[0].for_each_parameter([&](auto& p) { values.push_back(p.value); });
    std::size_t next = 0;
    layer.for_each_parameter([&](auto& p) { p.value = values[next++]; });
  });
  CHECK(c.layers_done() == 1);
  const layer_calibration report = c.calibrate_next();
  CHECK(report.now == before.reports[1].now);
  CHECK(copy_of(c.quantized()) == before.quantized);
}

TEST_CASE("tokens with huge activations are sinks") {
  auto model = full_precision();
  model.embedding().weight.value.row(7) *= 1000.0f;  // token 7 has a huge hidden state
  token_batch batch = text();
  const auto huge = static_cast<std::size_t>(std::ranges::count(batch.tokens, 7));
  REQUIRE(huge > 3);
  const auto [ratio, expected] =
      GENERATE_COPY(table<double, std::size_t>({{10.0, huge}, {0.0, std::size_t{0}}}));
  calibration_options options;
  options.sink_ratio = ratio;
  model_calibration<decoder<>> c(model, batch, options);
  CHECK(c.calibrate_next().sinks == expected);
}

TEST_CASE("the gain of an inserted norm is the median root mean square of its input") {
  calibration_options options;
  options.rounding = calibration_rounding::nearest;
  options.sub_ln = GENERATE(norm_placement::subln, norm_placement::all);
  const bool everywhere = options.sub_ln == norm_placement::all;
  auto source = full_precision();
  calibrated_decoder c(options);
  tape<float> t({}, false);
  const token_batch batch = text();
  stream_recorder<float> inputs;
  source.layer_forward(t, 0, source.embed(t, batch.tokens), batch, inputs);
  const auto& layer = c.model.layers()[0];
  std::size_t index = 0;
  for (const auto* p :
       {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
    INFO(p->weight.name);
    const std::size_t i = index++;
    REQUIRE(p->norm.has_value() == (everywhere || i == 3 || i == 6));
    if (!p->norm) continue;
    auto rms = row_rms(inputs.of(i));
    std::ranges::sort(rms);
    CHECK(p->norm->value.minCoeff() == rms[rms.size() / 2]);
    CHECK(p->norm->value.maxCoeff() == rms[rms.size() / 2]);
  }
  CHECK(c.model.config().sub_ln == options.sub_ln);
}

TEST_CASE("rounding to nearest keeps the weights, and may leave scales to the quantizer") {
  calibration_options options;
  options.rounding = calibration_rounding::nearest;
  options.scales = scale_granularity::none;
  calibrated_decoder c(options);
  auto source = full_precision();
  CHECK(c.model.layers()[1].up.weight.value == source.layers()[1].up.weight.value);
  CHECK_FALSE(c.model.layers()[1].up.scales);
  make_ternary(source);
  CHECK(hidden(c.model, text()) == hidden(source, text()));
}

TEST_CASE("a model that cannot be calibrated is refused") {
  const auto [name, change, reason] =
      GENERATE(table<std::string, void (*)(decoder<>&), std::string>({
          {"a ternary model", [](decoder<>& m) { make_ternary(m); },
           "calibration needs a full-precision model without SubLN"},
          {"a model with SubLN", [](decoder<>& m) { insert_sub_ln(m); },
           "calibration needs a full-precision model without SubLN"},
          {"a weight that is no number",
           [](decoder<>& m) {
             m.layers()[1].v.weight.value(2, 3) = std::numeric_limits<float>::quiet_NaN();
           },
           "calibration of 'model.layers.1.self_attn.v_proj.weight': "},
      }));
  INFO(name);
  auto model = full_precision();
  change(model);
  const auto message = tern_test::message_of([&] {
    model_calibration<decoder<>> c(model, text(), {});
    while (!c.finished()) c.calibrate_next();
  });
  INFO(message);
  CHECK(message.starts_with(reason));
}

TEST_CASE("options out of range are refused") {
  const auto [name, change,
              reason] = GENERATE(table<std::string, void (*)(calibration_options&), std::string>({
      {"gptq without scales", [](calibration_options& o) { o.scales = scale_granularity::none; },
       "calibration: gptq needs scales"},
      {"groups without a size", [](calibration_options& o) { o.scales = scale_granularity::group; },
       "calibration: scale_group must be positive"},
      {"a negative ridge", [](calibration_options& o) { o.ridge = -1; },
       "calibration: ridge and damping"},
      {"a negative ratio", [](calibration_options& o) { o.sink_ratio = -1; },
       "calibration: sink_ratio"},
  }));
  INFO(name);
  calibration_options options;
  change(options);
  auto model = full_precision();
  const auto message = tern_test::message_of<config_error>(
      [&] { model_calibration<decoder<>>(model, text(), options); });
  INFO(message);
  CHECK(message.starts_with(reason));
}
