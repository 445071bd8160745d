// Tests that everything a program calls from a thread of its own runs on a stack of 64 KB: servers
// and fibers have as little, threads of musl 128 KB.
#include <pthread.h>

#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tern/infer/generate_batch.hpp"
#include "tern/infer/session.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/train/trainer.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

using namespace tern;

namespace {

/// Runs f on a thread with a small stack and waits for it. What f throws is thrown here.
void on_small_stack(std::function<void()> f) {
  struct call {
    std::function<void()> f;
    std::exception_ptr failure;
  } work{std::move(f), {}};
  pthread_attr_t attributes;
  pthread_t thread{};
  pthread_attr_init(&attributes);
  // Thread-local variables and a sanitizer's frames are on the stack, too.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
  REQUIRE(pthread_attr_setstacksize(&attributes, std::size_t{512} << 10) == 0);
#else
  REQUIRE(pthread_attr_setstacksize(&attributes, std::size_t{64} << 10) == 0);
#endif
  const auto run = [](void* p) -> void* {
    auto& c = *static_cast<call*>(p);
    try {
      c.f();
    } catch (...) {
      c.failure = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, run, &work) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (work.failure) std::rethrow_exception(work.failure);
}

}  // namespace

TEST_CASE("distillation of a ternary model runs on a small stack") {
  const precision products = GENERATE(precision::exact, precision::bf16, precision::int8);
  auto student = tern_test::small_decoder(200, 1), teacher = tern_test::small_decoder(200, 2);
  insert_sub_ln(student);
  make_ternary(student);
  std::vector<token_example> data(8);
  for (token_example& e : data) {
    e.tokens.assign(40, 7);
    e.answer = 36;
  }
  relation_term_options relations;
  relations.form.split_heads = 2;
  const loss_options losses = loss_options::with(cross_entropy_options{}, logits_term_options{},
                                                 relations, hidden_state_term_options{});
  double norm = 0;
  on_small_stack([&] {
    stage_loss<decoder<>> loss(student, &teacher, std::make_unique<example_batches>(data, 4, 9),
                               make_objective<float>(losses, {2, 2}));
    trainer_options o;
    o.accumulate = 2;
    o.products = products;
    trainer<decoder<>> t(student, o);
    norm = t.advance(loss).gradient_norm;
  });
  CHECK(norm > 0);
}

TEST_CASE("a packed model writes on a small stack") {
  auto model = tern_test::small_decoder(200, 1);
  insert_sub_ln(model);
  make_ternary(model);
  pack_ternary<two_bit>(model);
  std::vector<std::int32_t> written;
  on_small_stack([&] {
    session<decoder<>> s(model, {.capacity = 60});
    const std::vector<std::int32_t> prompt(30, 7);
    const std::span<const std::int32_t> prompts[1]{prompt};
    written = generate_batch(s, prompts, {8, {}}, [](std::size_t) {})[0];
  });
  CHECK(written.size() == 8);
}
