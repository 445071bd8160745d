// Distillation of logits (BitDistill, stage 3, L_LD): the student's next-token distribution is
// trained to follow the teacher's. The gradient is computed for a block of vocabulary columns at a
// time, as in cross_entropy.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/nn/cross_entropy.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// The paper has no factor tau^2, which is the default; the official code multiplies by it.
struct logits_options {
  double tau = 5;            ///< temperature of both softmaxes
  bool tau_squared = false;  ///< whether to multiply by tau^2
  /// KL(student || teacher) instead of KL(teacher || student). It punishes what the student finds
  /// probable and the teacher does not. BitDistiller's CAKLD (arXiv 2402.10631) is a mean of both.
  bool reverse = false;
};

/// sum_i w_i KL(softmax(z_T,i / tau) || softmax(z_S,i / tau)), or with both exchanged, times tau^2
/// if the options say so. student, teacher: (N, V); lse_student, lse_teacher: (N), saved values:
/// the log-sum-exp of z / tau, less the divergence of the row in the teacher's if that is
/// `reverse`. weights w: (N), or null where each row has weight 1 / N. A teacher's logit of
/// -infinity is a probability of 0, which adds nothing, but makes the loss of `reverse` infinite.
template <class T>
struct logits_loss {
  /// Returns the loss, which is 0 for no rows, and writes the saved values. Throws shape_error, and
  /// config_error unless tau > 0.
  static double forward(matrix_view<const T> student, matrix_view<const T> teacher,
                        const logits_options& options, row_view<T> lse_student,
                        row_view<T> lse_teacher, executor_ref ex = {},
                        row_view<const T> weights = {}) {
    check(student, teacher, options, lse_student.size, lse_teacher.size, weights);
    if (student.rows == 0) return 0;
    std::array<double, 64> partial{};
    const std::size_t grain = (student.rows + partial.size() - 1) / partial.size();
    const T factor = static_cast<T>(1 / options.tau);
    ex.parallel_for(student.rows, grain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const row_view<const T> s = student.row(i), t = teacher.row(i);
        lse_student[i] = log_sum_exp<T>(s, factor);
        lse_teacher[i] = log_sum_exp<T>(t, factor);
        const T loss = divergence(s, t, factor, lse_student[i], lse_teacher[i], options.reverse);
        if (options.reverse) lse_teacher[i] -= loss;
        partial[begin / grain] += static_cast<double>(weights ? weights[i] * loss : loss);
      }
    });
    double total = 0;
    for (const double p : partial) total += p;
    return total * weight(options) / (weights ? 1 : static_cast<double>(student.rows));
  }

  /// block += scale * d loss / d student for the columns [first_column, first_column + block.cols).
  /// The gradient is w_i (softmax_S - softmax_T) / tau, or w_i softmax_S (log softmax_S -
  /// log softmax_T - KL_i) / tau in `reverse`, times tau^2 if the options say so. block: (N, C).
  static void backward_columns(matrix_view<const T> student, matrix_view<const T> teacher,
                               const logits_options& options, row_view<const T> lse_student,
                               row_view<const T> lse_teacher, T scale, std::size_t first_column,
                               matrix_view<T> block, executor_ref ex = {},
                               row_view<const T> weights = {}) {
    check(student, teacher, options, lse_student.size, lse_teacher.size, weights);
    cross_entropy<T>::require_columns(student, first_column, block, "logits_loss: block");
    if (student.rows == 0) return;
    const simd::batch<T> factor(static_cast<T>(1 / options.tau));
    const double rows = weights ? 1 : static_cast<double>(student.rows);
    const T all =
        static_cast<T>(static_cast<double>(scale) * weight(options) / (options.tau * rows));
    for_each_row(block.rows, block.cols, ex, [&](std::size_t i) {
      const simd::batch<T> each(weights ? weights[i] * all : all);
      const simd::batch<T> shift_s(lse_student[i]), shift_t(lse_teacher[i]);
      const auto add = [&](auto&& slope) {
        simd::transform(
            block.row(i),
            [&](const auto& g, const auto& s, const auto& t) {
              return g + each * slope(s * factor - shift_s, t * factor - shift_t);
            },
            row_view<const T>(block.row(i)), student.col_block(first_column, block.cols).row(i),
            teacher.col_block(first_column, block.cols).row(i));
      };
      if (!options.reverse)
        return add([](const auto& s, const auto& t) { return simd::exp(s) - simd::exp(t); });
      const simd::batch<T> zero(T(0));
      add([&](const auto& s, const auto& t) {
        const auto p = simd::exp(s);
        return simd::select(p > zero, p * (s - t), zero);
      });
    });
  }

 private:
  static double weight(const logits_options& o) { return o.tau_squared ? o.tau * o.tau : 1; }

  /// sum_j t_j log(t_j / s_j) + s_j - t_j, or with both exchanged. The last two terms cancel in the
  /// sum. They make each summand non-negative and of second order in the difference, so no digits
  /// are lost for close distributions.
  static T divergence(row_view<const T> student, row_view<const T> teacher, T factor, T lse_s,
                      T lse_t, bool reverse) {
    const simd::batch<T> by(factor), shift_s(lse_s), shift_t(lse_t), zero(T(0));
    // KL(p || q)
    const auto summand = [&](const auto& log_p, const auto& log_q) {
      const auto p = simd::exp(log_p);
      return simd::select(p > zero, p * (log_p - log_q), zero) + (simd::exp(log_q) - p);
    };
    return simd::sum(
        [&](const auto& zs, const auto& zt) {
          const auto log_s = zs * by - shift_s, log_t = zt * by - shift_t;
          return reverse ? summand(log_s, log_t) : summand(log_t, log_s);
        },
        student, teacher);
  }

  static void check(matrix_view<const T> student, matrix_view<const T> teacher,
                    const logits_options& options, std::size_t lse_s, std::size_t lse_t,
                    row_view<const T> weights) {
    require_shape(teacher, student.rows, student.cols, "logits_loss: teacher");
    require_size(lse_s, student.rows, "logits_loss: lse_student");
    require_size(lse_t, student.rows, "logits_loss: lse_teacher");
    if (weights) require_size(weights.size, student.rows, "logits_loss: weights");
    if (!(options.tau > 0)) throw config_error("logits_loss: tau must be positive");
  }
};

}  // namespace tern::inline TERN_ABI
