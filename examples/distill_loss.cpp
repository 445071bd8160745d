// Both distillation losses of BitDistill without a tape, as another autograd system would call
// them. Gradient descent brings a student's logits and queries close to those of a teacher that is
// twice as wide.
#include <iostream>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/distill/logits.hpp"
#include "tern/distill/relation.hpp"

int main() {
  using matrix = tern::matrix<float>;
  const std::vector<std::size_t> offsets{0, 5, 12};  // two sequences, 12 tokens
  const matrix teacher_logits = matrix::Random(12, 50), teacher_q = matrix::Random(12, 64);
  matrix logits = matrix::Random(12, 50), q = matrix::Random(12, 32);

  tern::logits_options soft;  // tau = 5
  tern::relation_options relation;
  relation.split_heads = 4;
  std::vector<float> lse_student(12), lse_teacher(12);
  matrix stats(12, tern::relation_loss<float>::stats_columns(relation));
  tern::arena scratch;
  double ld = 0, ad = 0, first_ld = 0, first_ad = 0;
  for (int step = 0; step < 200; ++step) {
    ld = tern::logits_loss<float>::forward(logits, teacher_logits, soft, lse_student, lse_teacher);
    ad = tern::relation_loss<float>::forward(q, teacher_q, offsets, {}, relation, stats, scratch);
    if (step == 0) first_ld = ld, first_ad = ad;
    matrix dlogits = matrix::Zero(12, 50), dq = matrix::Zero(12, 32);
    tern::logits_loss<float>::backward_columns(logits, teacher_logits, soft, lse_student,
                                               lse_teacher, 1.0f, 0, dlogits);
    tern::relation_loss<float>::backward(q, teacher_q, offsets, {}, relation, stats, 1.0f, dq,
                                         scratch);
    logits -= 500.0f * dlogits;
    q -= 20.0f * dq;
  }
  std::cout << "logits " << first_ld << " -> " << ld << "\nrelations " << first_ad << " -> " << ad
            << '\n';
  return ld < first_ld / 2 && ad < first_ad / 2 ? 0 : 1;
}
