// A whole training step in which every matrix has an owner type that tern does not know: a ternary
// layer with SubLN, both distillation losses, AdamW. Its weights are those of the same step with
// tern's own matrix type.
#include <cstddef>
#include <span>
#include <tuple>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/adapt/shaped.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/distill/logits.hpp"
#include "tern/distill/relation.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/train/adamw.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tests/support.hpp"

namespace {

/// An owner that tern does not know. Its rows are far apart, with other numbers between them.
template <class T>
struct padded {
  std::size_t rows = 0, cols = 0;
  std::vector<T> memory = std::vector<T>(rows * (cols + 5), T(99));
};

}  // namespace

template <class Scalar>
struct tern::tensor_traits<padded<Scalar>> {
  using scalar = Scalar;
  static std::size_t rows(const padded<Scalar>& m) { return m.rows; }
  static std::size_t cols(const padded<Scalar>& m) { return m.cols; }
  static std::size_t row_stride(const padded<Scalar>& m) { return m.cols + 5; }
  static std::size_t col_stride(const padded<Scalar>&) { return 1; }
  static const Scalar* data(const padded<Scalar>& m) { return m.memory.data(); }
  static Scalar* data(padded<Scalar>& m) { return m.memory.data(); }
  static padded<Scalar> make(std::size_t rows, std::size_t cols) {
    padded<Scalar> m{rows, cols};
    for (std::size_t r = 0; r < rows; ++r)
      std::fill_n(m.memory.begin() + static_cast<std::ptrdiff_t>(r * (cols + 5)), cols, Scalar(0));
    return m;
  }
};

namespace {

/// y = bit_linear(sub_ln(x)), the smallest model that the optimizer takes.
template <class Owner>
struct student {
  using scalar = tern::scalar_of<Owner>;
  tern::parameter<Owner> weight{"weight", 48, 40}, gain{"gain", 1, 40};

  student() {
    weight.grad = tern::tensor_traits<Owner>::make(48, 40);
    gain.grad = tern::tensor_traits<Owner>::make(1, 40);
    weight.fill_normal(0.1, tern::philox(7, 0));
    gain.fill(1);
  }
  template <class F>
  void for_each_parameter(F f) {
    f(weight), f(gain);
  }
};

/// Everything that a step changes.
struct outcome {
  double logits = 0, relations = 0;
  std::vector<double> parameters;
  bool operator==(const outcome&) const = default;
};

template <class Owner>
Owner random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  tern::parameter<Owner> p("", rows, cols);
  p.fill_normal(1, tern::philox(seed, 1));
  return std::move(p.value);
}

/// One step of `model` towards the teacher's logits and relations of 12 tokens.
template <class Owner>
outcome train(student<Owner>& model, tern::adamw<Owner>& optimizer, tern::executor_ref ex) {
  using T = tern::scalar_of<Owner>;
  using traits = tern::tensor_traits<Owner>;
  using layer = tern::bit_linear<T, tern::absmean, tern::absmax_int8, tern::sub_ln<T>>;
  using view = tern::matrix_view<T>;
  const std::vector<std::size_t> offsets{0, 5, 12};
  const auto x = random_matrix<Owner>(12, 40, 1), teacher = random_matrix<Owner>(12, 48, 2);
  const tern::row_view<const T> gain = view(model.gain.value).row(0);
  Owner y = traits::make(12, 48), dy = traits::make(12, 48), dx = traits::make(12, 40);

  tern::arena memory;
  const auto saved = layer::make_saved(memory, 12, 40, 48);
  layer::forward(x, gain, T(1e-5), model.weight.value, {}, y, saved, memory, ex);

  outcome result;
  const tern::logits_options soft;
  tern::relation_options relation;
  relation.split_heads = 4;
  std::vector<T> lse_student(12), lse_teacher(12);
  Owner stats = traits::make(12, tern::relation_loss<T>::stats_columns(relation));
  result.logits = tern::logits_loss<T>::forward(y, teacher, soft, lse_student, lse_teacher, ex);
  result.relations =
      tern::relation_loss<T>::forward(y, teacher, offsets, {}, relation, stats, memory, ex);
  tern::logits_loss<T>::backward_columns(y, teacher, soft, lse_student, lse_teacher, T(10), 0, dy,
                                         ex);
  tern::relation_loss<T>::backward(y, teacher, offsets, {}, relation, stats, T(1), dy, memory, ex);
  layer::backward(dy, x, gain, saved, dx, view(model.gain.grad).row(0), model.weight.grad, {},
                  memory, ex);
  optimizer.step(model, 1e-2, 1, 1 / tern::gradient_norm(model, ex), ex);

  model.for_each_parameter([&](const tern::parameter<Owner>& p) {
    const auto v = p.view();
    for (std::size_t r = 0; r < v.rows; ++r)
      for (std::size_t c = 0; c < v.cols; ++c)
        result.parameters.push_back(static_cast<double>(v(r, c)));
  });
  return result;
}

template <class Owner>
std::vector<outcome> train() {
  student<Owner> model;
  tern::adamw<Owner> optimizer(model, {});
  tern::thread_pool threads(2);
  std::vector<outcome> steps;
  for (int i = 0; i < 5; ++i) steps.push_back(train(model, optimizer, threads));
  return steps;
}

}  // namespace

TEMPLATE_TEST_CASE("a training step with a foreign owner has the bits of tern's own", "[adapt]",
                   float, double) {
  const auto own = train<tern::matrix<TestType>>();
  CHECK(own.back().logits < own.front().logits);
  CHECK(own.back().relations < own.front().relations);
  CHECK(train<padded<TestType>>() == own);
  CHECK(train<tern::shaped<std::vector<TestType>>>() == own);
}
