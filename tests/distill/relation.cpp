#include "tern/distill/relation.hpp"

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "../gradient_check.hpp"
#include "../oracle/losses.inc"
#include "../oracle/wave.hpp"
#include "tern/core/thread_pool.hpp"

using namespace tern;
using namespace tern_test;

namespace {

/// Operands, saved values and gradient of one call.
template <class T>
struct relation_call {
  relation_options options;
  std::vector<std::size_t> offsets, lengths;
  matrix<T> student, teacher, stats, dstudent;
  arena scratch;

  relation_call(const relation_options& o, std::vector<std::size_t> bounds,
                std::size_t student_width, std::size_t teacher_width)
      : options(o),
        offsets(std::move(bounds)),
        student(random_matrix<T>(offsets.back(), student_width, 1)),
        teacher(random_matrix<T>(offsets.back(), teacher_width, 2)),
        stats(student.rows(), static_cast<Eigen::Index>(relation_loss<T>::stats_columns(o))),
        dstudent(matrix<T>::Zero(student.rows(), student.cols())) {}

  double forward(executor_ref ex = {}) {
    return relation_loss<T>::forward(student, teacher, offsets, lengths, options, stats, scratch,
                                     ex);
  }
  void backward(T scale, executor_ref ex = {}) {
    relation_loss<T>::backward(student, teacher, offsets, lengths, options, stats, scale, dstudent,
                               scratch, ex);
  }
};

relation_options with(relation_form form, relation_mask mask, std::size_t heads = 2) {
  relation_options o;
  o.split_heads = heads;
  o.form = form;
  o.mask = mask;
  return o;
}

/// A case of oracle/losses.py.
struct oracle_row {
  const char* name;
  relation_form form;
  relation_mask mask;
  double loss;
  std::span<const double> gradient;
  std::optional<double> official;  ///< the loss with the official normaliser
  double amplitude = 1;            ///< amplitude of the operands

  /// The operands that the script uses.
  template <class T>
  [[nodiscard]] relation_call<T> operands() const {
    relation_call<T> c(with(form, mask), {0, 3, 4, 11}, 8, 12);
    c.options.temperature = 0.7;
    c.lengths = {2, 1, 5};
    c.student = wave<T>(11, 8, 3, amplitude);
    c.teacher = wave<T>(11, 12, 4, amplitude);
    return c;
  }
};

#define ROW(form, mask)                                                                     \
  oracle_row {                                                                              \
    #form " " #mask, relation_form::form, relation_mask::mask, form##_##mask##_paper::loss, \
        form##_##mask##_paper::gradient, form##_##mask##_official::loss                     \
  }
const std::array oracle_rows{
    ROW(cosine, all),
    ROW(cosine, nonpad),
    ROW(cosine, causal),
    ROW(scaled_dot, all),
    ROW(scaled_dot, nonpad),
    ROW(scaled_dot, causal),
    oracle_row{"probabilities below the clamp", relation_form::scaled_dot, relation_mask::all,
               clamped::loss, clamped::gradient, std::nullopt, 6},
};
#undef ROW

template <class T>
constexpr double oracle_tolerance = sizeof(T) == 4 ? 5e-6 : 1e-12;

}  // namespace

TEST_CASE("relation_loss's gradient agrees with central differences") {
  const auto form = GENERATE(relation_form::cosine, relation_form::scaled_dot);
  const auto mask = GENERATE(relation_mask::all, relation_mask::nonpad, relation_mask::causal);
  relation_call<double> c(with(form, mask), {0, 1, 6, 75}, 6, 10);
  c.options.temperature = form == relation_form::cosine ? 0.5 : 2;  // far from the clamp
  c.lengths = {1, 3, 68};
  const auto loss = [&] { return 3 * c.forward(); };
  CHECK(loss() > 0);
  c.backward(3);
  check_gradient(loss, c.student, c.dstudent);
}

TEMPLATE_TEST_CASE("relation_loss equals PyTorch in every form and mask", "", float, double) {
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  INFO(row.name);
  auto c = row.operands<TestType>();
  CHECK(c.forward() == Approx(row.loss).epsilon(oracle_tolerance<TestType>));
}

TEMPLATE_TEST_CASE("relation_loss's gradient equals PyTorch's in every form and mask", "", float,
                   double) {
  using T = TestType;
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  INFO(row.name);
  auto c = row.operands<T>();
  c.forward();
  c.backward(2);
  CHECK(distance<T>(c.dstudent / T(2), row.gradient) < oracle_tolerance<T> * row.amplitude);
}

TEMPLATE_TEST_CASE("relation_loss equals PyTorch with the official normaliser", "", float, double) {
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  if (!row.official) return;
  INFO(row.name);
  auto c = row.operands<TestType>();
  c.options.normaliser = relation_normaliser::official;
  c.options.n_layers = 3;
  CHECK(c.forward() == Approx(*row.official).epsilon(oracle_tolerance<TestType>));
}

TEMPLATE_TEST_CASE("relation_loss's gradient is divided by the official normaliser, too", "", float,
                   double) {
  const oracle_row& row = GENERATE(from_range(oracle_rows));
  INFO(row.name);
  auto c = row.operands<TestType>();
  c.forward();
  c.backward(2);
  c.options.normaliser = relation_normaliser::official;
  c.options.n_layers = 3;
  c.backward(-12);  // 3 layers of 2 heads
  CHECK(c.dstudent.cwiseAbs().maxCoeff() < 10 * oracle_tolerance<TestType>);
}

TEST_CASE("relation_loss reads columns of wider matrices") {
  relation_call<double> c(with(relation_form::cosine, relation_mask::all), {0, 5, 30}, 8, 12);
  const double loss = c.forward();
  matrix<double> both(30, 20);
  both << c.student, c.teacher;
  const matrix_view<double> view = both;
  CHECK(relation_loss<double>::forward(view.col_block(0, 8), view.col_block(8, 12), c.offsets, {},
                                       c.options, c.stats, c.scratch) == loss);
}

TEST_CASE("relation_loss adds its gradient to columns of a wider matrix") {
  relation_call<double> c(with(relation_form::cosine, relation_mask::all), {0, 5, 30}, 8, 12);
  c.forward();
  c.backward(1);
  matrix<double> d = matrix<double>::Ones(30, 20);
  relation_loss<double>::backward(c.student, c.teacher, c.offsets, {}, c.options, c.stats, 1,
                                  matrix_view<double>(d).col_block(0, 8), c.scratch);
  CHECK((d.leftCols(8) - c.dstudent).isOnes(1e-12));
  CHECK(d.rightCols(12).isOnes(0));
}

TEST_CASE("relation_loss is 0 for equal relations") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 9}, 8, 8);
  c.student = 3 * c.teacher;
  CHECK(c.forward() == Approx(0).margin(1e-8));
}

TEST_CASE("relation_loss and its gradient are finite for a row of zeros") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 9}, 8, 8);
  c.student.row(2).setZero();
  CHECK(std::isfinite(c.forward()));
  c.backward(1);
  CHECK(c.dstudent.allFinite());
}

TEST_CASE("relation_loss is finite for an empty sequence") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 9, 9}, 8, 8);
  CHECK(std::isfinite(c.forward()));
}

TEST_CASE("relation_loss is 0 where no token is valid") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::nonpad), {0, 9, 9}, 8, 8);
  c.lengths = {0, 0};
  CHECK(c.forward() == 0);
}

TEST_CASE("relation_loss in float keeps its digits for close relations") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 60}, 32, 32);
  c.student = c.teacher + random_matrix<float>(60, 32, 5, 1e-2);
  relation_call<double> exact(c.options, c.offsets, 32, 32);
  exact.student = c.student.cast<double>();
  exact.teacher = c.teacher.cast<double>();
  CHECK(c.forward() == Approx(exact.forward()).epsilon(1e-3));
}

TEST_CASE("relation_loss refuses split_heads that do not divide the widths") {
  const std::size_t heads = GENERATE(0u, 3u);
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 5, 12}, 8, 12);
  c.options.split_heads = heads;
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("relation_loss refuses lengths that do not belong to its sequences") {
  const auto [name, lengths] = GENERATE(table<const char*, std::vector<std::size_t>>(
      {{"one length for two sequences", {5}}, {"a length above that of the sequence", {5, 8}}}));
  INFO(name);
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 5, 12}, 8, 12);
  c.lengths = lengths;
  CHECK_THROWS_AS(c.forward(), shape_error);
}

TEST_CASE("relation_loss refuses a temperature of 0") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 5, 12}, 8, 12);
  c.options.temperature = 0;
  CHECK_THROWS_AS(c.forward(), config_error);
}

TEST_CASE("relation_loss refuses bounds that leave out tokens") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 5, 12}, 8, 12);
  c.offsets = {0, 5};
  CHECK_THROWS_AS(c.backward(1), shape_error);
}

TEST_CASE("relation_loss refuses a gradient of another shape") {
  relation_call<float> c(with(relation_form::cosine, relation_mask::all), {0, 12}, 8, 12);
  c.dstudent.resize(12, 7);
  CHECK_THROWS_AS(c.backward(1), shape_error);
}

TEST_CASE("relation_loss's gradient is that of the clamped formula") {
  const auto form = GENERATE(relation_form::cosine, relation_form::scaled_dot);
  relation_call<double> c(with(form, relation_mask::all), {0, 5, 20}, 8, 12);
  c.options.temperature = 0.2;
  c.options.clamp = 0.02;  // many probabilities of both sides are below it
  const auto loss = [&] { return c.forward(); };
  loss();
  c.backward(1);
  check_gradient(loss, c.student, c.dstudent, 1e-5);
}

TEST_CASE("relation_loss without a clamp differs, and its gradient is that of its formula") {
  const auto form = GENERATE(relation_form::cosine, relation_form::scaled_dot);
  relation_call<double> c(with(form, relation_mask::all), {0, 5, 20}, 8, 12);
  c.options.temperature = 0.2;
  c.options.clamp = 0.02;
  const double clamped = c.forward();
  c.options.clamp = 0;
  const auto loss = [&] { return c.forward(); };
  CHECK(clamped != Approx(loss()));
  c.backward(1);
  check_gradient(loss, c.student, c.dstudent);
}

TEST_CASE("relation_loss gives the same bits on any number of threads") {
  relation_call<float> a(with(relation_form::cosine, relation_mask::all, 8), {0, 24, 150, 150, 260},
                         64, 96),
      b(a.options, a.offsets, 64, 96);
  thread_pool pool(3);
  CHECK(a.forward() == b.forward(pool));
  a.backward(1);
  b.backward(1, pool);
  CHECK(a.dstudent == b.dstudent);
}
