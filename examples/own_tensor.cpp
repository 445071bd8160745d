// Your own matrix type can hold a whole model, and the model is trained in it, once tensor_traits
// tells tern its shape and memory. The rows of this type are padded to 64 bytes.
#include <iostream>
#include <vector>

#include "tern/model/decoder.hpp"
#include "tern/train/trainer.hpp"

struct padded {
  std::size_t rows = 0, cols = 0, stride = (cols + 15) / 16 * 16;
  std::vector<float> memory = std::vector<float>(rows * stride);
};

template <>
struct tern::tensor_traits<padded> {
  using scalar = float;
  static std::size_t rows(const padded& m) { return m.rows; }
  static std::size_t cols(const padded& m) { return m.cols; }
  static std::size_t row_stride(const padded& m) { return m.stride; }
  static std::size_t col_stride(const padded&) { return 1; }
  static const float* data(const padded& m) { return m.memory.data(); }
  static float* data(padded& m) { return m.memory.data(); }
  static padded make(std::size_t rows, std::size_t cols) { return {rows, cols}; }
};

int main() {
  tern::model_config config;
  config.vocab_size = 11, config.hidden_size = 24, config.intermediate_size = 40;
  config.num_hidden_layers = 2, config.num_attention_heads = 3, config.num_key_value_heads = 1;
  config.head_dim = 8, config.ternary = true, config.sub_ln = tern::norm_placement::subln;
  tern::decoder<padded> model(config);
  model.initialize(1);

  const std::vector<std::int32_t> text{1, 2, 3, 4, 5, 6, 7, 8}, next{2, 3, 4, 5, 6, 7, 8, 9};
  tern::token_batch batch;
  batch.add(text);
  tern::objective<float> loss;
  tern::trainer_options options;
  options.learning_rate = 1e-2;
  options.plan.steps = 40;
  tern::trainer trainer(model, options);
  double first = 0, last = 0;
  while (!trainer.done()) {
    const auto report = trainer.advance([&](tern::tape<float>& t, std::size_t) {
      const auto hidden = model.hidden(t, batch);
      return tern::recorded_loss{loss.record(t, hidden, model.head().variable(), next), 8};
    });
    (report.step == 1 ? first : last) = report.loss.total;
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first / 2 ? 0 : 1;
}
