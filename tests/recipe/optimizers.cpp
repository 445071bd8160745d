// The optimizer of a stage: which choices are good, and what they make.
#include "tern/recipe/optimizers.hpp"

#include <limits>
#include <string>
#include <vector>

#include "tern/adapt/eigen.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

optimizer_choice choice(std::optional<adamw_options> a, std::optional<sgd_options> s) {
  optimizer_choice c;
  c.rules = {a, s};
  return c;
}

}  // namespace

TEST_CASE("a choice of optimizer that cannot be made is refused") {
  struct row {
    const char* name;
    optimizer_choice choice;
    const char* message;
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto r = GENERATE_COPY(values<row>({
      {"none", choice({}, {}), "optimizer: expected exactly one, got 0"},
      {"both", choice(adamw_options{}, sgd_options{}), "optimizer: expected exactly one, got 2"},
      {"negative decay", choice({}, sgd_options{.weight_decay = -1}),
       "sgd: weight_decay: expected a number of at least 0, got -1"},
      {"decay that is no number", choice(adamw_options{.weight_decay = nan}, {}),
       "adamw: weight_decay: expected a number of at least 0, got nan"},
  }));
  INFO(r.name);
  CHECK(tern_test::message_of<config_error>([&] { make_optimizer<matrix<float>>(r.choice); }) ==
        r.message);
}

TEST_CASE("make_optimizer makes the optimizer that has options") {
  const auto names = [](const optimizer_choice& c) {
    const auto made = make_optimizer<matrix<float>>(c);
    std::vector<std::string> list;
    for (const moment_kind& kind : made->moment_kinds()) list.emplace_back(kind.name);
    return list;
  };
  CHECK(names(choice(adamw_options{}, {})) == std::vector<std::string>{"m", "v"});
  CHECK(names(choice({}, sgd_options{})) == std::vector<std::string>{"m"});
}
