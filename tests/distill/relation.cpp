#include "tern/distill/relation.hpp"

#include <vector>

#include "../gradient_check.hpp"

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
