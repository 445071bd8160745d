// Tests that a step which is refused leaves no trace: the next one does what it would have done
// without it.
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tern/model/decoder.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/sgd.hpp"
#include "tern/train/trainer.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

using real_model = decoder<matrix<double>>;

/// What goes wrong in micro-batch 1 of the first step.
enum class fault { none, loss, gradient, exception };

/// A model in training whose first step may fail, and then be done again.
struct faulty_stage {
  std::vector<token_example> data{8};
  real_model student{tern_test::small_config(50)}, teacher{tern_test::small_config(50)};
  std::optional<stage_loss<real_model>> loss;
  std::optional<trainer<real_model>> training;

  faulty_stage() {
    philox random(5);
    for (token_example& e : data) {
      e.answer = 2 + random.below(9);
      e.tokens.resize(e.answer + 1);
      for (auto& token : e.tokens) token = static_cast<std::int32_t>(random.below(50));
    }
    student.initialize(1);
    teacher.initialize(2);
    loss_options o = loss_options::with(cross_entropy_options{}, logits_term_options{});
    o.balance = true;
    loss.emplace(student, &teacher, std::make_unique<example_batches>(data, 2, 3),
                 make_objective<double>(o, {1, 1}));
    trainer_options plan;
    plan.plan.steps = 4;
    plan.accumulate = 2;
    training.emplace(student, plan);
  }

  step_report advance(fault f) { return training->advance(faulty_loss{*this, f}); }

  /// The loss with that fault.
  struct faulty_loss {
    faulty_stage& stage;
    fault f;

    void begin_step(tape<double>& t, const step_deal& deal, reducer& ranks) {
      stage.loss->begin_step(t, deal, ranks);
    }
    recorded_loss operator()(tape<double>& t, std::size_t micro) {
      recorded_loss recorded = (*stage.loss)(t, micro);
      if (micro != 1) return recorded;
      if (f == fault::loss) recorded.loss.total = std::numeric_limits<double>::quiet_NaN();
      if (f == fault::gradient)
        t.record([&s = stage.student] {
          s.head().grad(0, 0) = std::numeric_limits<double>::infinity();
        });
      if (f == fault::exception) throw std::logic_error("no data");
      return recorded;
    }
  };
};

struct one_parameter {
  using scalar = float;
  parameter<matrix<float>> w{"w", 2, 300};
  template <class F>
  void for_each_parameter(F&& f) {
    f(w);
  }
};

}  // namespace

TEST_CASE("the step after a refused one is that of a fresh stage") {
  const auto [name, f] = GENERATE(table<std::string, fault>(
      {{"loss", fault::loss}, {"gradient", fault::gradient}, {"exception", fault::exception}}));
  INFO(name);
  faulty_stage fresh, tried;
  CHECK_THROWS(tried.advance(f));
  CHECK(tried.loss->terms().means() == fresh.loss->terms().means());
  CHECK(tried.training->graph().size() == 0);
  CHECK(tried.training->step() == 0);
  for (int i = 0; i < 2; ++i) {
    const step_report want = fresh.advance(fault::none), got = tried.advance(fault::none);
    CHECK(got.gradient_norm == want.gradient_norm);
    CHECK(got.loss.total == want.loss.total);
  }
  CHECK(tried.loss->terms().means() == fresh.loss->terms().means());
  CHECK(tried.student.head().value == fresh.student.head().value);
}

TEST_CASE("a norm is finite where its squares are not") {
  one_parameter m;
  m.w.grad = matrix<float>::Constant(2, 300, 1e30f);
  CHECK(gradient_norm(m) == Approx(1e30 * std::sqrt(600.0)));
  CHECK(root_mean_square(matrix_view<const float>(m.w.grad)) == Approx(1e30));
  m.w.grad(1, 7) = std::numeric_limits<float>::infinity();
  CHECK(std::isinf(gradient_norm(m)));
  m.w.grad(1, 7) = std::numeric_limits<float>::quiet_NaN();
  CHECK(std::isnan(gradient_norm(m)));
}

TEST_CASE("options of optimizers have PyTorch's ranges") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto [option, value, message] = GENERATE_COPY(table<std::string, double, std::string>(
      {{"beta1", 1, "adamw: beta1: expected a number in [0, 1), got 1"},
       {"beta1", -0.1, "adamw: beta1: expected a number in [0, 1), got -0.1"},
       {"beta2", nan, "adamw: beta2: expected a number in [0, 1), got nan"},
       {"eps", -1e-8, "adamw: eps: expected a number of at least 0, got -1e-08"},
       {"weight_decay", -1, "adamw: weight_decay: expected a number of at least 0, got -1"},
       {"momentum", -1, "sgd: momentum: expected a number of at least 0, got -1"}}));
  const auto make = [&, &option = option, &value = value] {
    adamw_options a;
    sgd_options s;
    (option == "beta1"          ? a.beta1
     : option == "beta2"        ? a.beta2
     : option == "eps"          ? a.eps
     : option == "weight_decay" ? a.weight_decay
                                : s.momentum) = value;
    adamw<matrix<float>> first(a);
    sgd<matrix<float>> second(s);
  };
  CHECK_THROWS_WITH(make(), message);
  CHECK_THROWS_AS(make(), config_error);
}
