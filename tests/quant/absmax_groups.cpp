// Groups of 4 and 8 bits equal the definition, have its error, and are multiplied as packed codes.
#include "tern/quant/absmax_groups.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/kernel/matmul.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/ternary_weights.hpp"
#include "tern/quant/absmax_int8.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

matrix<float> weights(Eigen::Index rows, Eigen::Index cols) {
  matrix<float> w(rows, cols);
  for (Eigen::Index r = 0; r < rows; ++r)
    for (Eigen::Index c = 0; c < cols; ++c)
      w(r, c) = std::sin(0.7f * static_cast<float>(r * cols + c)) * static_cast<float>(1 + c % 7);
  return w;
}

/// The largest |w - code * scale|, relative to the largest |w| of its group.
template <int Bits, std::size_t Group>
double worst(const matrix<float>& w, matrix<std::int8_t>& codes, std::vector<float>& scales) {
  const auto cols = static_cast<std::size_t>(w.cols()), rows = static_cast<std::size_t>(w.rows());
  const std::size_t width = absmax_groups<Bits, Group>::scale_block(rows, cols).cols;
  const std::size_t groups = (cols + width - 1) / width;
  scales.assign(rows * groups, 0);
  codes.resize(w.rows(), w.cols());
  absmax_groups<Bits, Group>{}.template quantize<float>(w, codes, {scales.data(), rows, groups});
  double result = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; ++c) {
      const auto i = static_cast<Eigen::Index>(r), j = static_cast<Eigen::Index>(c);
      const auto first = static_cast<Eigen::Index>(c / width * width);
      const auto n = std::min<Eigen::Index>(static_cast<Eigen::Index>(width), w.cols() - first);
      const float most = w.row(i).segment(first, n).cwiseAbs().maxCoeff();
      const float back = static_cast<float>(codes(i, j)) * scales[r * groups + c / width];
      result = std::max(result, static_cast<double>(std::abs(w(i, j) - back) / most));
    }
  return result;
}

}  // namespace

TEST_CASE("eight bits are within half a step, four bits within one", "[absmax_groups]") {
  const auto w = weights(5, 150);
  matrix<std::int8_t> codes;
  std::vector<float> scales;
  CHECK(worst<8, 64>(w, codes, scales) < 0.5 / 127 * 1.001);
  CHECK(codes.cast<int>().cwiseAbs().maxCoeff() == 127);
  CHECK(worst<8, 0>(w, codes, scales) < 0.5 / 127 * 1.001);
  CHECK(scales.size() == 5);
  CHECK(worst<4, 64>(w, codes, scales) < 1 / 7.0);
  CHECK(codes.cast<int>().minCoeff() == -8);
  CHECK(codes.cast<int>().maxCoeff() <= 7);
}

TEST_CASE("four bits choose the scale of the least squared error", "[absmax_groups]") {
  const auto w = weights(4, 128);
  matrix<std::int8_t> codes;
  std::vector<float> scales;
  worst<4, 32>(w, codes, scales);
  for (Eigen::Index r = 0; r < 4; ++r)
    for (Eigen::Index g = 0; g < 4; ++g) {
      const auto part = w.row(r).segment(32 * g, 32);
      const auto error_of = [&](float scale) {
        double error = 0;
        for (const float x : part) {
          const float code = std::clamp(std::nearbyint(x / scale), -8.0f, 7.0f);
          error += std::pow(static_cast<double>(x - code * scale), 2);
        }
        return error;
      };
      const float most = part.cwiseAbs().maxCoeff();
      const double got = error_of(scales[static_cast<std::size_t>(4 * r + g)]);
      for (const float scale : {most / 7, most / 8, most / -8})
        CHECK(got <= error_of(scale) * 1.0001);
    }
}

TEMPLATE_TEST_CASE("any number of threads gives the same codes and scales", "[absmax_groups]",
                   (absmax_groups<4, 64>), (absmax_groups<8, 64>)) {
  const auto w = weights(301, 200);
  const auto quantize = [&](executor_ref ex) {
    std::pair<matrix<std::int8_t>, std::vector<float>> made{{301, 200},
                                                            std::vector<float>(301 * 4)};
    TestType{}.template quantize<float>(w, made.first, {made.second.data(), 301, 4}, ex);
    return made;
  };
  const auto expected = quantize({});
  for (const unsigned threads : {2u, 5u}) {
    thread_pool pool(threads);
    CHECK(quantize(pool) == expected);
  }
}

TEMPLATE_TEST_CASE("tiny weights, whose scales have no reciprocal, are zeros", "[absmax_groups]",
                   (absmax_groups<4, 4>), (absmax_groups<8, 4>)) {
  matrix<float> w(1, 8);
  w << 0, 1e-38f, -3e-39f, 0, 0, 2e-36f, -1e-36f, 0;
  matrix<std::int8_t> codes(1, 8);
  std::vector<float> scales(2, 1);
  TestType{}.template quantize<float>(w, codes, {scales.data(), 1, 2});
  CHECK(codes.leftCols(5).isZero());
  CHECK(scales[0] == 0);
  CHECK(scales[1] != 0);
  CHECK(std::abs(codes(0, 5)) > 6);
  CHECK(codes(0, 7) == 0);
}

TEST_CASE("a group of zeros, and weights that are not finite", "[absmax_groups]") {
  matrix<float> w = matrix<float>::Zero(2, 8);
  matrix<std::int8_t> codes(2, 8);
  std::vector<float> scales(4, 1);
  const matrix_view<float> s(scales.data(), 2, 2);
  absmax_groups<4, 4>{}.quantize<float>(w, codes, s);
  CHECK(codes.isZero());
  CHECK(scales == std::vector<float>(4, 0));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), INFINITY}) {
    w(1, 5) = bad;
    const auto message = tern_test::message_of<numeric_error>(
        [&] { absmax_groups<8, 4>{}.quantize<float>(w, codes, s); });
    CHECK(message == "absmax_groups: a weight is not finite");
  }
}

TEMPLATE_TEST_CASE("rows and products of packed groups", "[absmax_groups]",
                   (std::pair<four_bit, absmax_groups<4, 32>>),
                   (std::pair<eight_bit, absmax_groups<8, 48>>),
                   (std::pair<eight_bit, absmax_groups<8>>)) {
  using format = typename TestType::first_type;
  const auto w = weights(37, 150);
  const ternary_weights<format> packed(w, typename TestType::second_type{});
  matrix<float> back(37, 150);
  dequantize<format, float>(packed.view(), back);
  CHECK((back - w).cwiseAbs().maxCoeff() < 1.0f);
  for (std::size_t r = 0; r < 37; ++r) {
    std::vector<float> row(150);
    dequantize_row<format, float>(packed.view(), r, row);
    for (std::size_t c = 0; c < 150; ++c)
      CHECK(row[c] == back(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c)));
  }

  const auto x = weights(3, 150);
  matrix<std::int8_t> codes(3, 150);
  std::vector<float> scales(3);
  std::vector<std::int32_t> sums(3);
  absmax_int8{}.quantize<float>(x, codes, {scales.data(), 3}, {sums.data(), 3});
  matrix<float> y(3, 37);
  matrix<std::int32_t> products(3, 37);
  const auto w_packed = packed.view().packed;
  std::vector<std::byte> workspace(ternary_matmul_workspace(w_packed, codes));
  ternary_matmul(w_packed, codes, sums, products, workspace, {}, isa::active(),
                 rescale<float>(scales, packed.view().scales(), {}, y));
  for (Eigen::Index n = 0; n < 3; ++n)
    for (Eigen::Index m = 0; m < 37; ++m) {
      double expected = 0;
      for (Eigen::Index c = 0; c < 150; ++c)
        expected += static_cast<double>(back(m, c)) * static_cast<double>(codes(n, c)) *
                    static_cast<double>(scales[static_cast<std::size_t>(n)]);
      CHECK(y(n, m) == Approx(expected).margin(1e-3));
    }
}
