// Compares the merge algorithm with its definition, which is carried out literally, on random
// rules.
#include "tern/text/bpe.hpp"

#include <random>

#include "tests/support.hpp"

namespace {

using ids = std::vector<std::int32_t>;

/// Joins the leftmost pair of lowest rank until there is none.
ids merge_literally(const tern::bpe_rules& rules, ids symbols) {
  for (;;) {
    const tern::bpe_rules::rule* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto* rule = rules.find(symbols[i], symbols[i + 1]);
      if (rule != nullptr && (best == nullptr || rule->rank < best->rank)) {
        best = rule;
        at = i;
      }
    }
    if (best == nullptr) return symbols;
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

std::int32_t below(std::mt19937& random, int n) {
  return static_cast<std::int32_t>(random() % static_cast<unsigned>(n));
}

}  // namespace

TEST_CASE("merging equals its definition on random rules and words", "[text]") {
  std::mt19937 random(1);
  tern::bpe_merger merger;
  for (int round = 0; round < 300; ++round) {
    tern::bpe_rules rules;
    for (std::int32_t result = 3; result < 30; ++result)
      rules.add(below(random, result), below(random, result), result);
    ids word(random() % 60);
    for (auto& symbol : word) symbol = below(random, 3);
    ids got{-7};
    merger.merge(rules, word, got);
    auto expected = merge_literally(rules, word);
    expected.insert(expected.begin(), -7);
    REQUIRE(got == expected);
  }
}

TEST_CASE("merging a word of a million symbols does not take quadratic time", "[text]") {
  tern::bpe_rules rules;
  rules.add(0, 0, 1);
  rules.add(1, 1, 2);
  ids got;
  tern::bpe_merger().merge(rules, ids(1 << 20), got);
  CHECK(got == ids(1 << 18, 2));
}
