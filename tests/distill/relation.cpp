#include "tern/distill/relation.hpp"

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
struct call {
  relation_options options;
  std::vector<std::size_t> offsets, lengths;
  matrix<T> student, teacher, stats, dstudent;
  arena scratch;

  call(const relation_options& o, std::vector<std::size_t> bounds, std::size_t student_width,
       std::size_t teacher_width)
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

relation_options make(relation_form form, relation_mask mask, std::size_t heads = 2) {
  relation_options o;
  o.split_heads = heads;
  o.form = form;
  o.mask = mask;
  return o;
}

}  // namespace

TEST_CASE("relation_loss's gradient agrees with central differences") {
  const auto form = GENERATE(relation_form::cosine, relation_form::scaled_dot);
  const auto mask = GENERATE(relation_mask::all, relation_mask::nonpad, relation_mask::causal);
  call<double> c(make(form, mask), {0, 1, 6, 75}, 6, 10);
  c.options.temperature = form == relation_form::cosine ? 0.5 : 2;  // far from the clamp
  c.lengths = {1, 3, 68};
  const auto loss = [&] { return 3 * c.forward(); };
  CHECK(loss() > 0);
  c.backward(3);
  check_gradient(loss, c.student, c.dstudent);
}

TEMPLATE_TEST_CASE("relation_loss equals PyTorch in every form, mask and normaliser", "", float,
                   double) {
  using T = TestType;
  const double tolerance = sizeof(T) == 4 ? 5e-6 : 1e-12;
  const auto prepare = [](relation_form form, relation_mask mask, double amplitude = 1) {
    call<T> c(make(form, mask), {0, 3, 4, 11}, 8, 12);
    c.options.temperature = 0.7;
    c.lengths = {2, 1, 5};
    c.student = wave<T>(11, 8, 3, amplitude);
    c.teacher = wave<T>(11, 12, 4, amplitude);
    return c;
  };
#define CASE(form, mask)                                                                \
  {                                                                                     \
    call<T> c = prepare(relation_form::form, relation_mask::mask);                      \
    CHECK(c.forward() == Approx(form##_##mask##_paper::loss).epsilon(tolerance));       \
    c.backward(2);                                                                      \
    CHECK(distance<T>(c.dstudent / T(2), form##_##mask##_paper::gradient) < tolerance); \
    c.options.normaliser = relation_normaliser::official;                               \
    c.options.n_layers = 3;                                                             \
    CHECK(c.forward() == Approx(form##_##mask##_official::loss).epsilon(tolerance));    \
    c.backward(-12);                                                                    \
    CHECK(c.dstudent.cwiseAbs().maxCoeff() < 10 * tolerance);                           \
  }
  CASE(cosine, all);
  CASE(cosine, nonpad);
  CASE(cosine, causal);
  CASE(scaled_dot, all);
  CASE(scaled_dot, nonpad);
  CASE(scaled_dot, causal);
#undef CASE
  call<T> c = prepare(relation_form::scaled_dot, relation_mask::all, 6);
  CHECK(c.forward() == Approx(clamped::loss).epsilon(tolerance));
  c.backward(1);
  CHECK(distance(c.dstudent, clamped::gradient) < 10 * tolerance);
}

TEST_CASE("relation_loss reads column blocks and adds to what is there") {
  call<double> c(make(relation_form::cosine, relation_mask::all), {0, 5, 30}, 8, 12);
  const double loss = c.forward();
  c.backward(1);
  matrix<double> both(30, 20), d = matrix<double>::Ones(30, 20);
  both << c.student, c.teacher;
  const matrix_view<double> view = both;
  CHECK(relation_loss<double>::forward(view.col_block(0, 8), view.col_block(8, 12), c.offsets, {},
                                       c.options, c.stats, c.scratch) == loss);
  relation_loss<double>::backward(view.col_block(0, 8), view.col_block(8, 12), c.offsets, {},
                                  c.options, c.stats, 1, matrix_view<double>(d).col_block(0, 8),
                                  c.scratch);
  CHECK((d.leftCols(8) - c.dstudent).isOnes(1e-12));
  CHECK(d.rightCols(12).isOnes(0));
}

TEST_CASE("relation_loss is 0 for equal relations, and zero rows stay finite") {
  call<float> c(make(relation_form::cosine, relation_mask::all), {0, 9}, 8, 8);
  c.student = 3 * c.teacher;
  CHECK(c.forward() == Approx(0).margin(1e-8));
  c.student.row(2).setZero();
  CHECK(std::isfinite(c.forward()));
  c.backward(1);
  CHECK(c.dstudent.allFinite());
  c.offsets = {0, 9, 9};
  CHECK(std::isfinite(c.forward()));
  c.lengths = {0, 0};
  c.options.mask = relation_mask::nonpad;
  CHECK(c.forward() == 0);
}

TEST_CASE("relation_loss in float keeps its digits where the relations are close") {
  call<float> c(make(relation_form::cosine, relation_mask::all), {0, 60}, 32, 32);
  c.student = c.teacher + random_matrix<float>(60, 32, 5, 1e-2);
  call<double> exact(c.options, c.offsets, 32, 32);
  exact.student = c.student.cast<double>();
  exact.teacher = c.teacher.cast<double>();
  CHECK(c.forward() == Approx(exact.forward()).epsilon(1e-3));
}

TEST_CASE("relation_loss refuses what does not fit") {
  call<float> c(make(relation_form::cosine, relation_mask::all), {0, 5, 12}, 8, 12);
  c.options.split_heads = 3;
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.options.split_heads = 0;
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.options.split_heads = 2;
  c.lengths = {5};
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.lengths = {5, 8};
  CHECK_THROWS_AS(c.forward(), shape_error);
  c.lengths.clear();
  c.options.temperature = 0;
  CHECK_THROWS_AS(c.forward(), config_error);
  c.options.temperature = 1;
  c.offsets = {0, 5};
  CHECK_THROWS_AS(c.backward(1), shape_error);
  c.offsets = {0, 12};
  c.dstudent.resize(12, 7);
  CHECK_THROWS_AS(c.backward(1), shape_error);
}

TEST_CASE("relation_loss's gradient is that of the clamped formula") {
  const auto form = GENERATE(relation_form::cosine, relation_form::scaled_dot);
  call<double> c(make(form, relation_mask::all), {0, 5, 20}, 8, 12);
  c.options.temperature = 0.2;
  c.options.clamp = 0.02;  // reached by many probabilities of both sides
  const auto loss = [&] { return c.forward(); };
  const double clamped = loss();
  c.backward(1);
  check_gradient(loss, c.student, c.dstudent, 1e-5);
  c.options.clamp = 0;
  CHECK(clamped != Approx(loss()));
  c.dstudent.setZero();
  c.backward(1);
  check_gradient(loss, c.student, c.dstudent);
}

TEST_CASE("relation_loss gives the same bits on any number of threads") {
  call<float> a(make(relation_form::cosine, relation_mask::all, 8), {0, 24, 150, 150, 260}, 64, 96),
      b(a.options, a.offsets, 64, 96);
  thread_pool pool(3);
  CHECK(a.forward() == b.forward(pool));
  a.backward(1);
  b.backward(1, pool);
  CHECK(a.dstudent == b.dstudent);
}
