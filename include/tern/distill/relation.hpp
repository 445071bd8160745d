// Distillation of attention relations (BitDistill, stage 3, L_AD; MiniLMv2): which tokens the
// student's Q, K or V vectors of a layer resemble follows the teacher's. Only relations are
// compared, so widths and head counts may differ. Tiled like attention: memory is linear in
// sequence length.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include "tern/core/arena.hpp"
#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/simd.hpp"
#include "tern/core/tensor.hpp"
#include "tern/linalg/gemm.hpp"
#include "tern/nn/sequence_tasks.hpp"
#include "tern/nn/softmax.hpp"

namespace tern::inline TERN_ABI {

enum class relation_form {
  cosine,      ///< softmax(s s^T / temperature), rows of s L2-normalised: Algorithm 1, the code
  scaled_dot,  ///< softmax(A A^T / (sqrt(D) temperature)): Eq. 11 and MiniLMv2 at temperature 1
};

enum class relation_normaliser {
  paper,     ///< mean over split heads and rows
  official,  ///< that, further divided by n_layers * split_heads
};

enum class relation_mask {
  all,     ///< every position, padding too: Algorithm 1
  nonpad,  ///< rows and columns below the sequence's valid length
  causal,  ///< as nonpad, and row t sees columns up to t
};

struct relation_options {
  std::size_t split_heads = 32;
  relation_form form = relation_form::cosine;
  relation_normaliser normaliser = relation_normaliser::paper;
  std::size_t n_layers = 1;  ///< layers distilled; the official normaliser divides by it
  relation_mask mask = relation_mask::all;
  double temperature = 1;
  double clamp = 1e-8;  ///< probabilities of both sides are raised to it before the logarithm
};

/// One of Q, K, V of one layer: c * sum_a sum_t KL(R_T[a,t,:] || R_S[a,t,:]), c = 1 / (split_heads
/// * rows that count). Columns are cut into split_heads groups of D; group a of a sequence gives
/// the relation matrix R[a] of its tokens. With clamped r = max(R, clamp) the divergence of a row
/// is sum_j r_T log(r_T / r_S), and its gradient is that of this formula: a student's probability
/// below the clamp receives none through the logarithm (it still takes part in the softmax).
/// student: (N, ds), teacher: (N, dt), both widths multiples of split_heads; offsets: (B + 1);
/// lengths: (B) valid tokens, empty for full. Rows must be contiguous.
/// Scratch: at most 32 * (T (2 ds + dt) / split_heads + 2 row_tile (T + 16) + 2 T) elements, T the
/// longest sequence, released again.
template <class T>
struct relation_loss {
  static constexpr std::size_t row_tile = 64;

  /// Columns of `stats` (N rows): the log-sum-exp of each row of R_S[a], then of each of R_T[a].
  static std::size_t stats_columns(const relation_options& options) {
    return 2 * options.split_heads;
  }

  /// The loss, 0 where no row counts. Throws shape_error and config_error.
  static double forward(matrix_view<const T> student, matrix_view<const T> teacher,
                        std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                        const relation_options& options, matrix_view<T> stats, arena& scratch,
                        executor_ref ex = {}) {
    const problem p(student, teacher, offsets, lengths, options, stats);
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, false);
    const T lowest = log_clamp(options), clamp = static_cast<T>(options.clamp);
    std::array<double, sequence_tasks::most_runs> partial{};
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t head,
                             std::size_t run) {
      const std::size_t length = p.valid(sequence);
      const side s = p.load(student, first, length, head, memory.student(run)),
                 t = p.load(teacher, first, length, head, memory.teacher(run));
      for (std::size_t r = 0; r < length; r += row_tile) {
        const band b(r, length, p.causal());
        const matrix_view<T> zs = memory.scores(run, 0, b), zt = memory.scores(run, 1, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i) {
          T& lse_s = stats(first + r + i, head);
          T& lse_t = stats(first + r + i, options.split_heads + head);
          lse_s = log_sum_exp<T>(zs.row(i));
          lse_t = log_sum_exp<T>(zt.row(i));
          partial[run] +=
              static_cast<double>(divergence(zs.row(i), zt.row(i), lse_s, lse_t, lowest, clamp));
        }
      }
    });
    double total = 0;
    for (const double x : partial) total += x;
    return total * p.weight();
  }

  /// dstudent += scale * d loss / d student, with stats as forward left them.
  static void backward(matrix_view<const T> student, matrix_view<const T> teacher,
                       std::span<const std::size_t> offsets, std::span<const std::size_t> lengths,
                       const relation_options& options, matrix_view<const T> stats, T scale,
                       matrix_view<T> dstudent, arena& scratch, executor_ref ex = {}) {
    const problem p(student, teacher, offsets, lengths, options, stats);
    require_rows(dstudent, student.rows, student.cols, "relation_loss: dstudent");
    const arena_scope temporaries(scratch);
    const workspace memory(scratch, p, true);
    const T lowest = log_clamp(options), clamp = static_cast<T>(options.clamp);
    const T each = static_cast<T>(static_cast<double>(scale) * p.weight());
    p.tasks.for_each(ex, [&](std::size_t sequence, std::size_t first, std::size_t, std::size_t head,
                             std::size_t run) {
      const std::size_t length = p.valid(sequence);
      const side s = p.load(student, first, length, head, memory.student(run)),
                 t = p.load(teacher, first, length, head, memory.teacher(run));
      const matrix_view<T> ds = memory.gradient(run).row_block(0, length);
      std::fill_n(ds.data, ds.size(), T(0));
      for (std::size_t r = 0; r < length; r += row_tile) {
        const band b(r, length, p.causal());
        const matrix_view<T> zs = memory.scores(run, 0, b), zt = memory.scores(run, 1, b);
        s.score(b, zs);
        t.score(b, zt);
        for (std::size_t i = 0; i < b.rows; ++i)
          slope(zs.row(i), zt.row(i), stats(first + r + i, head),
                stats(first + r + i, options.split_heads + head), lowest, clamp);
        // R = softmax(factor x x^T): x is on both sides of the product.
        const matrix_view<const T> dz = zs.col_block(0, b.cols);
        detail::gemm_block<T>(s.factor * each, dz, s.x.row_block(0, b.cols),
                              ds.row_block(r, b.rows), true);
        detail::gemm_block<T>(s.factor * each, dz.transposed(), s.x.row_block(r, b.rows),
                              ds.row_block(0, b.cols), true);
      }
      s.add_gradient(ds, dstudent.block(first, head * ds.cols, length, ds.cols));
    });
  }

 private:
  static constexpr T infinity = std::numeric_limits<T>::infinity();

  /// Rows [first, first + rows) of a relation matrix, and the columns they see.
  struct band {
    std::size_t first, rows, cols;
    bool causal;

    band(std::size_t first_row, std::size_t length, bool causal_)
        : first(first_row),
          rows(std::min(row_tile, length - first_row)),
          cols(causal_ ? first_row + rows : length),
          causal(causal_) {}
    [[nodiscard]] std::size_t visible(std::size_t i) const { return causal ? first + i + 1 : cols; }
  };

  /// One split head of one sequence: its rows, normalised if the form asks, and its scores.
  struct side {
    matrix_view<T> x;     // (length, D), dense
    row_view<T> inverse;  // 1 / |row|; null for scaled_dot
    T factor;             // scores are factor * x x^T

    /// z = factor * x x^T in the band, -infinity where a row does not look.
    void score(const band& b, matrix_view<T> z) const {
      const matrix_view<const T> all = x;
      detail::gemm_block<T>(factor, all.row_block(b.first, b.rows),
                            all.row_block(0, b.cols).transposed(), z.col_block(0, b.cols), false);
      for (std::size_t i = 0; i < b.rows; ++i)
        std::fill(z.row(i).data + b.visible(i), z.row(i).data + z.cols, -infinity);
    }

    /// Adds to `to` the gradient through the normalisation: (dx - x (x . dx)) / |row|.
    void add_gradient(matrix_view<const T> dx, matrix_view<T> to) const {
      for (std::size_t i = 0; i < dx.rows; ++i) {
        const row_view<const T> g = dx.row(i), unit = x.row(i);
        const T scale = inverse ? inverse[i] : T(1);
        simd::axpy<T>(scale, g, to.row(i));
        if (inverse && scale < max_inverse)
          simd::axpy<T>(-scale * simd::dot(unit, g), unit, to.row(i));
      }
    }
  };

  /// A row shorter than 1e-12 is divided by 1e-12 instead of its length.
  static constexpr T max_inverse = T(1e12);

  struct problem {
    const std::span<const std::size_t> offsets, lengths;
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
          student_width(split(student, student.rows, o, "relation_loss: student")),
          teacher_width(split(teacher, student.rows, o, "relation_loss: teacher")),
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

    /// Rows and columns of a sequence that take part.
    [[nodiscard]] std::size_t valid(std::size_t sequence) const {
      return lengths.empty() || options.mask == relation_mask::all
                 ? offsets[sequence + 1] - offsets[sequence]
                 : lengths[sequence];
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

    /// Split head `head` of a sequence, copied (and normalised) into `memory`, whose last column
    /// takes the inverse lengths.
    side load(matrix_view<const T> from, std::size_t first, std::size_t length, std::size_t head,
              T* memory) const {
      const std::size_t d = from.cols / options.split_heads;
      const auto rows = from.block(first, head * d, length, d);
      const bool cosine = options.form == relation_form::cosine;
      const double root = cosine ? 1 : std::sqrt(static_cast<double>(d));
      side s{{memory, length, d}, {}, static_cast<T>(1 / (root * options.temperature))};
      if (cosine) s.inverse = {memory + longest * d, length};
      for (std::size_t i = 0; i < length; ++i) {
        const row_view<const T> row = rows.row(i);
        if (!cosine) {
          std::copy_n(row.data, d, s.x.row(i).data);
          continue;
        }
        s.inverse[i] = std::min(max_inverse, 1 / std::sqrt(simd::dot(row, row)));
        const simd::batch<T> by(s.inverse[i]);
        simd::transform(
            s.x.row(i), [&](const auto& a) { return a * by; }, row);
      }
      return s;
    }
  };

  /// Scratch of all runs.
  class workspace {
   public:
    workspace(arena& memory, const problem& p, bool with_gradient)
        : longest_(p.longest),
          student_(p.longest * (p.student_width + 1)),
          teacher_(p.longest * (p.teacher_width + 1)),
          width_(padded(p.longest)),
          tile_(std::min(row_tile, p.longest) * width_),
          run_(student_ + teacher_ + 2 * tile_ + (with_gradient ? p.longest * p.student_width : 0)),
          gradient_width_(p.student_width),
          data_(memory.template allocate<T>(p.tasks.runs() * run_)) {}

    [[nodiscard]] T* student(std::size_t run) const { return data_ + run * run_ + 2 * tile_; }
    [[nodiscard]] T* teacher(std::size_t run) const { return student(run) + student_; }
    [[nodiscard]] matrix_view<T> gradient(std::size_t run) const {
      return {teacher(run) + teacher_, longest_, gradient_width_};
    }
    /// Tile 0 (student) or 1 (teacher), rows padded to whole vectors.
    [[nodiscard]] matrix_view<T> scores(std::size_t run, std::size_t which, const band& b) const {
      return {data_ + run * run_ + which * tile_, b.rows, padded(b.cols), width_};
    }

   private:
    static std::size_t padded(std::size_t n) { return (n + 15) / 16 * 16; }

    std::size_t longest_, student_, teacher_, width_, tile_, run_, gradient_width_;
    T* data_;
  };

  /// Log of the clamp, finite even for a clamp of 0.
  static T log_clamp(const relation_options& options) {
    return options.clamp > 0 ? static_cast<T>(std::log(options.clamp))
                             : std::numeric_limits<T>::lowest();
  }

  /// KL of one row of scores. R_S - R_T, whose sum is 0, is added to each term: without the clamp
  /// each is then non-negative and of second order, so close relations do not cancel.
  static T divergence(row_view<const T> zs, row_view<const T> zt, T lse_s, T lse_t, T lowest,
                      T clamp) {
    const simd::batch<T> shift_s(lse_s), shift_t(lse_t), low(lowest), least(clamp);
    return simd::sum(
        [&](const auto& a, const auto& b) {
          const auto log_s = a - shift_s, log_t = b - shift_t;
          const auto s = xsimd::exp(log_s), t = xsimd::exp(log_t);
          return xsimd::max(t, least) * (xsimd::max(log_t, low) - xsimd::max(log_s, low)) + (s - t);
        },
        zs, zt);
  }

  /// zs <- d KL / d zs = R_S sum_k m_k - m, where m_j = max(R_T, clamp) if R_S >= clamp, else 0.
  static void slope(row_view<T> zs, row_view<T> zt, T lse_s, T lse_t, T lowest, T clamp) {
    const simd::batch<T> shift_s(lse_s), shift_t(lse_t), low(lowest), least(clamp), zero(T(0));
    simd::transform(
        zt,
        [&](const auto& a, const auto& b) {
          return xsimd::select(a - shift_s >= low, xsimd::max(xsimd::exp(b - shift_t), least),
                               zero);
        },
        row_view<const T>(zs), row_view<const T>(zt));
    const simd::batch<T> mass(simd::sum(row_view<const T>(zt)));
    simd::transform(
        zs, [&](const auto& a, const auto& m) { return xsimd::exp(a - shift_s) * mass - m; },
        row_view<const T>(zs), row_view<const T>(zt));
  }

  static std::size_t split(matrix_view<const T> m, std::size_t rows, const relation_options& o,
                           const char* what) {
    require_rows(m, rows, m.cols, what);
    if (o.split_heads == 0 || m.cols % o.split_heads != 0)
      throw shape_error(std::string(what) + ": width " + std::to_string(m.cols) +
                        " is no multiple of split_heads " + std::to_string(o.split_heads));
    return m.cols / o.split_heads;
  }

  template <class U>
  static void require_rows(const matrix_view<U>& m, std::size_t rows, std::size_t cols,
                           const char* what) {
    require_shape(m, rows, cols, what);
    if (m.col_stride != 1) throw shape_error(std::string(what) + ": rows must be contiguous");
  }
};

}  // namespace tern::inline TERN_ABI
