// What bitdistill prints, with the installed release of fmt.
#include "examples/bitdistill/table.hpp"

#include "tests/support.hpp"

TEST_CASE("the table of results is printed") {
  const std::vector<tern::result_row> rows{{"FP-SFT", {}, {{"accuracy", 98.25}}, 3.5, 12000},
                                           {"BitDistill", {}, {{"accuracy", 98.0}}, 0.5, 48000}};
  CHECK(bitdistill::format_table(rows) ==
        "Method      Accuracy %     Size MB   Tokens/s\n"
        "FP-SFT           98.25       3.500      12.0k\n"
        "BitDistill       98.00       0.500      48.0k\n"
        "BitDistill against FP-SFT: -0.25 points, 7.0 x smaller, 4.00 x as fast\n");
}
