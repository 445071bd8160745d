// Distillation of attention relations (BitDistill, stage 3, L_AD; MiniLMv2). A relation says how
// similar the Q, K or V vectors of two tokens in a layer are; the student's relations are trained
// to follow the teacher's. Only relations are compared, so widths and head counts of the two models
// may differ. The computation is tiled like attention, so memory is linear in the sequence length.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>

#include "tern/core/arena.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/distill/relation_head.hpp"
#include "tern/distill/relation_options.hpp"
#include "tern/nn/score_band.hpp"
#include "tern/nn/sequence_tasks.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

/// The loss for one of Q, K, V of one layer: c * sum_a sum_t KL(R_T[a,t,:] || R_S[a,t,:]), where c
/// = 1 / (split_heads * rows that count). The columns are split into split_heads groups of D
/// columns each, and group a of a sequence gives the relation matrix R[a] of its tokens. With the
/// clamped probabilities r = max(R, clamp), the divergence of a row is sum_j r_T log(r_T / r_S).
/// The gradient is exactly that of this formula: a student's probability below the clamp gets no
/// gradient through the logarithm, but it still takes part in the softmax.
///
/// student: (N, ds), teacher: (N, dt), both widths are multiples of split_heads; offsets: (B + 1)
/// sequence bounds; lengths: (B) numbers of valid tokens, or empty if all tokens are valid. The
/// elements of a row must be contiguous. A call takes less than 32 * T * ((2 ds + dt) / split_heads
/// + 131) elements of `scratch`, where T is the length of the longest sequence rounded up to a
/// multiple of 16, and gives them back.
template <class T>
struct relation_loss {
  /// Number of columns of `stats`, which has N rows. Column a holds the log-sum-exp of each row of
  /// R_S[a], column split_heads + a that of R_T[a].
  static std::size_t stats_columns(const relation_options& options) {
    return 2 * options.split_heads;
  }

  /// Returns the loss, which is 0 if no row counts, and writes stats. Throws shape_error and
  /// config_error.
  static double forward(matrix_view<const T> student, matrix_view<const T> teacher,
                        std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                        const relation_options& options, matrix_view<T> stats, arena& scratch,
                        executor_ref ex = {}) {
    student = with_plain_strides(student);
    teacher = with_plain_strides(teacher);
    const problem p(student, teacher, offsets, lengths, options, stats);
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, false);
    const divergence kl(options);
    std::array<double, sequence_tasks::most_chunks> partial{};
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t a,
                             std::size_t chunk) {
      const std::size_t length = p.valid(sequence);
      const head s = head::load(p.rows(student, first, length, a), options, memory.student(chunk)),
                 t = head::load(p.rows(teacher, first, length, a), options, memory.teacher(chunk));
      for (std::size_t r = 0; r < length; r += score_band::most_rows) {
        const score_band b(r, length, p.causal());
        const matrix_view<T> zs = memory.student_scores.tile(chunk, b),
                             zt = memory.teacher_scores.tile(chunk, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i) {
          T& lse_s = stats(first + r + i, a);
          T& lse_t = stats(first + r + i, options.split_heads + a);
          lse_s = log_sum_exp<T>(zs.row(i));
          lse_t = log_sum_exp<T>(zt.row(i));
          partial[chunk] += static_cast<double>(kl.value(zs.row(i), zt.row(i), lse_s, lse_t));
        }
      }
    });
    return std::accumulate(partial.begin(), partial.end(), 0.0) * p.weight();
  }

  /// dstudent += scale * d loss / d student. stats are those of forward(). A null dstudent is
  /// skipped.
  static void backward(matrix_view<const T> student, matrix_view<const T> teacher,
                       std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                       const relation_options& options, matrix_view<const T> stats, T scale,
                       matrix_view<T> dstudent, arena& scratch, executor_ref ex = {}) {
    if (!dstudent) return;
    student = with_plain_strides(student);
    teacher = with_plain_strides(teacher);
    dstudent = with_plain_strides(dstudent);
    const problem p(student, teacher, offsets, lengths, options, stats);
    require_rows(dstudent, student.rows, student.cols, "relation_loss: dstudent");
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, true);
    const divergence kl(options);
    const T each = static_cast<T>(static_cast<double>(scale) * p.weight());
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t a,
                             std::size_t chunk) {
      const std::size_t length = p.valid(sequence);
      const head s = head::load(p.rows(student, first, length, a), options, memory.student(chunk)),
                 t = head::load(p.rows(teacher, first, length, a), options, memory.teacher(chunk));
      const matrix_view<T> ds = memory.gradient(chunk).row_block(0, length);
      std::fill_n(ds.data, ds.size(), T(0));
      for (std::size_t r = 0; r < length; r += score_band::most_rows) {
        const score_band b(r, length, p.causal());
        const matrix_view<T> zs = memory.student_scores.tile(chunk, b),
                             zt = memory.teacher_scores.tile(chunk, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i)
          kl.gradient(zs.row(i), zt.row(i), stats(first + r + i, a),
                      stats(first + r + i, options.split_heads + a));
        s.score_backward(each, b, zs, ds);
      }
      s.load_backward(ds, p.rows(dstudent, first, length, a));
    });
  }

 private:
  using head = relation_head<T>;

  /// The checked operands and their division into tasks.
  struct problem {
    std::span<const std::size_t> offsets, lengths;
    const relation_options& options;
    std::size_t longest, student_width, teacher_width;
    sequence_tasks tasks;

    problem(matrix_view<const T> student, matrix_view<const T> teacher,
            std::span<const std::size_t> offsets_, std::span<const std::size_t> lengths_,
            const relation_options& o, matrix_view<const T> stats)
        : offsets(offsets_),
          lengths(lengths_),
          options(o),
          longest(longest_sequence(offsets_, student.rows, "relation_loss")),
          student_width(width(student, student.rows, o, "relation_loss: student")),
          teacher_width(width(teacher, student.rows, o, "relation_loss: teacher")),
          tasks(offsets_, o.split_heads) {
      require_shape(stats, student.rows, stats_columns(o), "relation_loss: stats");
      if (!(o.temperature > 0) || !(o.clamp >= 0) || o.n_layers == 0)
        throw config_error("relation_loss: temperature and n_layers must be positive, clamp >= 0");
      if (lengths.empty()) return;
      require_size(lengths.size(), offsets.size() - 1, "relation_loss: lengths");
      for (std::size_t i = 0; i < lengths.size(); ++i)
        if (lengths[i] > offsets[i + 1] - offsets[i])
          throw shape_error("relation_loss: length of sequence " + std::to_string(i) +
                            " is above its size");
    }

    [[nodiscard]] bool causal() const { return options.mask == relation_mask::causal; }

    /// Number of rows and columns of a sequence that take part.
    [[nodiscard]] std::size_t valid(std::size_t sequence) const {
      return lengths.empty() || options.mask == relation_mask::all
                 ? offsets[sequence + 1] - offsets[sequence]
                 : lengths[sequence];
    }

    /// The part of m that is split head a of the tokens [first, first + length).
    template <class U>
    matrix_view<U> rows(matrix_view<U> m, std::size_t first, std::size_t length,
                        std::size_t a) const {
      const std::size_t d = m.cols / options.split_heads;
      return m.block(first, a * d, length, d);
    }

    [[nodiscard]] double weight() const {
      std::size_t rows = 0;
      for (std::size_t i = 0; i + 1 < offsets.size(); ++i) rows += valid(i);
      if (rows == 0) return 0;
      const auto heads = static_cast<double>(options.split_heads);
      const double mean = 1 / (heads * static_cast<double>(rows));
      return options.normaliser == relation_normaliser::paper
                 ? mean
                 : mean / (static_cast<double>(options.n_layers) * heads);
    }

    static std::size_t width(matrix_view<const T> m, std::size_t rows, const relation_options& o,
                             const char* what) {
      require_rows(m, rows, m.cols, what);
      if (o.split_heads == 0 || m.cols % o.split_heads != 0)
        throw shape_error(std::string(what) + ": width " + std::to_string(m.cols) +
                          " is no multiple of split_heads " + std::to_string(o.split_heads));
      return m.cols / o.split_heads;
    }
  };

  /// The scratch memory. Each chunk of tasks has a tile of scores and a head for the student and
  /// for the teacher, and the gradient of the student's head.
  class workspace {
   public:
    const score_tiles<T> student_scores, teacher_scores;

    workspace(arena& memory, const problem& p, bool with_gradient)
        : student_scores(memory, p.tasks.chunks(), p.longest),
          teacher_scores(memory, p.tasks.chunks(), p.longest),
          longest_(p.longest),
          student_width_(p.student_width),
          student_(head::size(p.longest, p.student_width)),
          teacher_(head::size(p.longest, p.teacher_width)),
          size_(student_ + teacher_ + (with_gradient ? student_ : 0)),
          data_(memory.template allocate<T>(p.tasks.chunks() * size_)) {}

    [[nodiscard]] T* student(std::size_t chunk) const { return data_ + chunk * size_; }
    [[nodiscard]] T* teacher(std::size_t chunk) const { return student(chunk) + student_; }
    [[nodiscard]] matrix_view<T> gradient(std::size_t chunk) const {
      return {teacher(chunk) + teacher_, longest_, student_width_};
    }

   private:
    std::size_t longest_, student_width_, student_, teacher_, size_;
    T* data_;
  };

  /// KL(R_T || R_S) of one row of scores, with clamped probabilities.
  struct divergence {
    // The clamp and its logarithm, which is finite even for a clamp of 0.
    simd::batch<T> least, low;

    explicit divergence(const relation_options& o)
        : least(static_cast<T>(o.clamp)),
          low(o.clamp > 0 ? static_cast<T>(std::log(o.clamp)) : std::numeric_limits<T>::lowest()) {}

    /// R_S - R_T is added to each term. These additions sum to 0, and without the clamp each term
    /// is then non-negative and of second order in the difference, so nothing cancels for close
    /// relations.
    T value(row_view<const T> zs, row_view<const T> zt, T lse_s, T lse_t) const {
      const simd::batch<T> shift_s(lse_s), shift_t(lse_t);
      return simd::sum(
          [&](const auto& a, const auto& b) {
            const auto log_s = a - shift_s, log_t = b - shift_t;
            const auto s = simd::exp(log_s), t = simd::exp(log_t);
            return simd::max(t, least) * (simd::max(log_t, low) - simd::max(log_s, low)) + (s - t);
          },
          zs, zt);
    }

    /// Replaces zs by d KL / d zs = R_S sum_k m_k - m, where m_j = max(R_T, clamp) if R_S >= clamp,
    /// else 0.
    void gradient(row_view<T> zs, row_view<T> zt, T lse_s, T lse_t) const {
      const simd::batch<T> shift_s(lse_s), shift_t(lse_t), zero(T(0));
      const row_view<const T> s = zs, t = zt;
      simd::transform(
          zt,
          [&](const auto& a, const auto& b) {
            return simd::select(a - shift_s >= low, simd::max(simd::exp(b - shift_t), least), zero);
          },
          s, t);
      const simd::batch<T> mass(simd::sum(t));
      simd::transform(
          zs, [&](const auto& a, const auto& m) { return simd::exp(a - shift_s) * mass - m; }, s,
          t);
    }
  };
};

}  // namespace tern::inline TERN_ABI
