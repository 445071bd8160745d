// Rows that ranks round together: a rank that fails ends the rounding on all of them.
#include "tern/calibrate/row_rounding.hpp"

#include <limits>
#include <string>
#include <vector>

#include "tests/gradient_check.hpp"
#include "tests/message.hpp"
#include "tests/rank_threads.hpp"
#include "tests/support.hpp"

using namespace tern;

TEST_CASE("a rank that cannot round its rows ends the rounding on all of them") {
  const auto x = tern_test::random_matrix<float>(64, 8, 1),
             w = tern_test::random_matrix<float>(200, 8, 2);
  std::vector<std::string> messages(2);
  tern_test::on_ranks(2, [&](reducer& ranks) {
    const calibration_options options;
    const calibrated_input<float> input(x, x, std::vector<float>(64, 1.0f), options, {});
    matrix<float> latents = w, scales(200, 1);
    latents(199, 3) = std::numeric_limits<float>::infinity();  // in the last row, which rank 1 has
    matrix<std::int8_t> codes(200, 8);
    const row_rounding<float> rounding{input,    w,       {1, 8},
                                       {{1, 0}}, options, {codes, scales, latents}};
    messages[ranks.rank()] = tern_test::message_of([&] { rounding(ranks, {}); });
  });
  CHECK(messages[0].starts_with("rank 1 of the test: "));
  CHECK(messages[1] == messages[0]);
}
