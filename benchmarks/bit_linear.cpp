// The training forward of bit_linear (both operands quantized, weights packed, integer product,
// scaling) beside the float product it replaces: forward/<op>/<tokens>x<in>x<out>/threads:<T>.
#include <benchmark/benchmark.h>

#include <string>

#include "tern/adapt/eigen.hpp"
#include "tern/core/arena.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/nn/bit_linear.hpp"
#include "tern/nn/linear.hpp"

namespace {

struct shape {
  int tokens, in, out;
};

void forward(benchmark::State& state, const shape& s, bool ternary, std::size_t threads) {
  using layer = tern::bit_linear<float>;
  const tern::matrix<float> x = tern::matrix<float>::Random(s.tokens, s.in),
                            w = tern::matrix<float>::Random(s.out, s.in);
  tern::matrix<float> y(s.tokens, s.out);
  tern::thread_pool pool(threads);
  tern::arena memory;
  const auto saved =
      layer::make_saved(memory, static_cast<std::size_t>(s.tokens), static_cast<std::size_t>(s.in),
                        static_cast<std::size_t>(s.out));
  for ([[maybe_unused]] auto _ : state) {
    if (ternary)
      layer::forward(x, w, {}, y, saved, memory, pool);
    else
      tern::linear<float>::forward(x, w, {}, y, pool);
  }
  state.counters["gops"] =
      benchmark::Counter(2e-9 * s.tokens * s.in * s.out * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate);
}

}  // namespace

int main(int argc, char** argv) {
  for (const shape& s :
       {shape{2048, 512, 512}, {2048, 512, 1536}, {2048, 1024, 3072}, {64, 512, 512}})
    for (const std::size_t threads : {1u, 2u})
      for (const bool ternary : {false, true})
        benchmark::RegisterBenchmark(
            ("forward/" + std::string(ternary ? "bit_linear" : "linear") + "/" +
             std::to_string(s.tokens) + "x" + std::to_string(s.in) + "x" + std::to_string(s.out) +
             "/threads:" + std::to_string(threads))
                .c_str(),
            [=](benchmark::State& state) { forward(state, s, ternary, threads); })
            ->UseRealTime();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
