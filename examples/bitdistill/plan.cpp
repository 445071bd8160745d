// The command plan: what the stages of a run will take. Weights, gradients and moments are counted.
// Activations and times are those of small steps of the same width, with one and two layers, one
// and two sequences and two small vocabularies, and grow linearly with each of the three from
// there.
#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "format.hpp"
#include "microworld.hpp"
#include "microworld_texts.hpp"
#include "resources.hpp"
#include "settings.hpp"
#include "tern/checkpoint/load_config.hpp"
#include "tern/checkpoint/load_tokenizer.hpp"
#include "tern/core/stopwatch.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/model/pack_model.hpp"
#include "tern/model/surgery.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/recipe/micro_batches.hpp"
#include "tern/recipe/stage_loss.hpp"
#include "tern/recipe/task_texts.hpp"
#include "tern/train/gradient_sum.hpp"
#include "tern/train/row_shard.hpp"
#include "tern/train/step_deal.hpp"
#include "tern/train/trainer.hpp"

namespace bitdistill {
namespace {

using tern::model_config;
using tern::stage;

/// What the activations and the time of a micro-batch depend on.
struct step_size {
  std::size_t layers = 1, sequences = 1, vocabulary = 1;
};

/// What a micro-batch takes.
struct step_cost {
  double activations = 0, teacher = 0;  ///< bytes
  double seconds = 0;                   ///< without the update
  double update = 0;  ///< seconds of the update for each element that has a gradient
};

/// A stage with the models that take part in it.
struct stage_models {
  const stage& settings;
  model_config student, teacher;  ///< the teacher's has no layers where there is none
  std::size_t length = 0;         ///< tokens of a sequence
  std::size_t answer = 1;         ///< tokens of an example's answer
};

model_config resized(model_config c, const step_size& size) {
  c.num_hidden_layers = size.layers;
  c.vocab_size = size.vocabulary;
  if (!c.sliding_layers.empty()) c.sliding_layers.resize(size.layers);
  return c;
}

/// Elements of all parameters, of those that get gradients, of the weights of linears and of the
/// largest of these; bytes of the moments of the rank that has most of them, and elements that it
/// updates.
struct parameter_counts {
  std::size_t all = 0, trained = 0, linear = 0, largest = 0, moments = 0, updated = 0;
};

/// Counts what a stage trains on so many ranks, if it trains a model of this architecture.
parameter_counts count_parameters(const model_config& c, const stage& s, std::size_t ranks) {
  parameter_counts n;
  const auto rule = tern::make_optimizer<tern::matrix<float>>(s.optimizer);
  std::vector<tern::parameter_kind> kinds;
  std::vector<tern::extents> trained_shapes;
  tern::decoder<> shapes(c, false);
  shapes.for_each_parameter([&](const auto& p) {
    const std::size_t size = p.shape.rows * p.shape.cols;
    n.all += size;
    if (p.kind == tern::parameter_kind::matrix) {
      n.linear += size;
      n.largest = std::max(n.largest, size);
    }
    const bool trained = s.rates.of(p.kind) != 0;
    if (trained) n.trained += size;
    kinds.push_back(p.kind);
    trained_shapes.push_back(trained ? p.shape : tern::extents{0, 0});
  });
  const tern::row_shard shard(trained_shapes, ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < kinds.size(); ++i)
      bytes += rule->moment_bytes(kinds[i], {shard.rows(i, r).count, trained_shapes[i].cols});
    n.moments = std::max(n.moments, bytes);
    n.updated = std::max(n.updated, shard.elements(r).count);
  }
  return n;
}

/// Bytes of the weights of a stage's teacher.
double teacher_bytes(const stage_models& p) {
  double bytes = 0;
  tern::decoder<> shapes(p.teacher, false);
  shapes.for_each_parameter([&](const auto& each) {
    const auto [rows, cols] = each.shape;
    const bool packed = p.settings.teacher_bits == 8 && !p.teacher.ternary &&
                        each.kind == tern::parameter_kind::matrix;
    const std::size_t floats = packed ? rows : rows * cols;  // a packed row has one scale
    bytes += static_cast<double>(floats * sizeof(float));
    if (packed)
      bytes +=
          static_cast<double>(tern::packed_view<tern::eight_bit>{nullptr, rows, cols}.size_bytes());
  });
  return bytes;
}

/// The loss terms with layers that every model has.
tern::loss_options any_layers(tern::loss_options losses) {
  const auto change = [](auto& o) {
    if constexpr (requires { o->layers; })
      if (o) o->layers = {-1, {}};
  };
  std::apply([&](auto&... o) { (change(o), ...); }, losses.terms);
  return losses;
}

std::vector<tern::token_example> random_examples(const stage_models& p, const step_size& size) {
  std::vector<tern::token_example> list(2 * size.sequences);
  tern::philox random(1);
  for (auto& e : list) {
    for (std::size_t i = 0; i <= p.length; ++i)
      e.tokens.push_back(
          static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(size.vocabulary))));
    e.answer = p.length + 1 - p.answer;
  }
  return list;
}

/// Measures the fastest of three steps, and of as many updates, behind one that takes the memory.
step_cost measure_step(const stage_models& p, const step_size& size, tern::executor_ref ex) {
  model_config config = resized(p.student, size);
  config.learned_scales = tern::scale_granularity::none;
  tern::decoder<> student(config);
  student.initialize(1);
  if (p.student.learned_scales != tern::scale_granularity::none)
    tern::learn_scales(student, p.student.learned_scales, p.student.scale_group);
  std::optional<tern::decoder<>> teacher;
  if (p.teacher.num_hidden_layers > 0) {
    teacher.emplace(resized(p.teacher, size));
    teacher->initialize(2);
    if (p.settings.teacher_bits == 8) tern::pack_eight_bit(*teacher, ex);
  }
  const auto examples = random_examples(p, size);
  std::vector<std::int32_t> stream;
  for (const auto& e : examples) stream.insert(stream.end(), e.tokens.begin(), e.tokens.end());
  std::unique_ptr<tern::batch_source> batches;
  if (p.settings.data == tern::stage_data::corpus)
    batches = std::make_unique<tern::corpus_batches>(stream, size.sequences, p.length, 1);
  else
    batches = std::make_unique<tern::example_batches>(examples, size.sequences, 1);
  tern::stage_loss<tern::decoder<>> loss(
      student, teacher ? &*teacher : nullptr, std::move(batches),
      tern::make_objective<float>(any_layers(p.settings.losses), {size.layers, size.layers}), ex);
  tern::trainer_options options = trainer_options_of(p.settings);
  options.accumulate = options.parts = 1;
  tern::trainer<tern::decoder<>> training(
      student, options, tern::make_optimizer<tern::matrix<float>>(p.settings.optimizer), ex);
  training.advance(loss);
  step_cost cost;
  double update = std::numeric_limits<double>::infinity();
  cost.seconds = update;
  for (int i = 0; i < 3; ++i) {
    cost.seconds = std::min(cost.seconds, training.advance(loss).seconds);
    const tern::stopwatch watch;
    training.optimizer().step(student, 0, 1, 1, ex, p.settings.rates);
    update = std::min(update, watch.seconds());
  }
  cost.seconds = std::max(cost.seconds - update, 0.0);
  cost.update = update / static_cast<double>(std::max<std::size_t>(
                             count_parameters(student.config(), p.settings, 1).trained, 1));
  cost.activations = static_cast<double>(training.graph().memory().peak());
  if (loss.teacher() != nullptr) cost.teacher = static_cast<double>(loss.teacher()->peak_bytes());
  return cost;
}

/// Two values of a size, or the real one where it is small, and how much each of them counts.
std::vector<std::pair<std::size_t, double>> samples(std::size_t real, std::size_t small) {
  if (real <= 2 * small) return {{real, 1}};
  const double x = static_cast<double>(real) / static_cast<double>(small);
  return {{small, 2 - x}, {2 * small, x - 1}};
}

/// The cost of a micro-batch of the stage.
step_cost cost_of(const stage_models& p, tern::executor_ref ex) {
  const auto share_of = [](std::size_t layers, const model_config& c) {  // of one and two layers
    const auto real = static_cast<double>(c.num_hidden_layers);
    return layers == 1 ? 2 - real : real - 1;
  };
  step_cost total;
  double longest = 0;  // beside other programs, what times grow by may even seem negative
  for (const auto layers : {std::size_t{1}, std::size_t{2}})
    for (const auto& [sequences, by_sequences] : samples(sequences_of_micro_batch(p.settings), 1))
      for (const auto& [vocabulary, by_vocabulary] : samples(p.student.vocab_size, 4096)) {
        const step_cost cost = measure_step(p, {layers, sequences, vocabulary}, ex);
        longest = std::max(longest, cost.seconds);
        const double factor = by_sequences * by_vocabulary;
        total.activations += share_of(layers, p.student) * factor * cost.activations;
        total.seconds += share_of(layers, p.student) * factor * cost.seconds;
        total.teacher += share_of(layers, p.teacher) * factor * cost.teacher;
        total.update = cost.update;  // that of the largest of these models
      }
  total.seconds = std::max(total.seconds, longest);
  return total;
}

std::string gigabytes(double bytes) { return fmt::format("{:>10.3f} GB", bytes / 1e9); }

void print_stage(const stage_models& p, std::size_t ranks, tern::executor_ref ex) {
  const stage& s = p.settings;
  const std::size_t micro = micro_batches_of_step(s), sequences = sequences_of_micro_batch(s);
  fmt::print("\n{}: {}{}, {} steps of {}x{} sequences of {}{} tokens\n", s.name,
             p.student.ternary ? "ternary" : "full precision",
             s.teacher.empty() ? "" : ", teacher " + s.teacher, s.steps, micro, sequences,
             s.data == tern::stage_data::task ? "at most " : "", p.length);
  const parameter_counts n = count_parameters(p.student, s, ranks);
  const std::size_t most_parts = (s.parts + ranks - 1) / ranks;  // of a rank
  const step_cost cost = cost_of(p, ex);
  std::size_t sums = 0;
  for (std::size_t r = 0; r < ranks; ++r)
    sums = std::max(sums, tern::sums_kept({micro, s.parts, ranks, r}));
  double total = 0;
  const auto line = [&](const char* name, double bytes) {
    if (bytes == 0) return;
    fmt::print("  {:<24}{}\n", name, gigabytes(bytes));
    total += bytes;
  };
  const auto floats = [](std::size_t count) { return 4 * static_cast<double>(count); };
  line("masters", floats(n.all));
  line("gradients", floats(n.trained));
  line("moments", static_cast<double>(n.moments));
  line("sums of parts", floats(n.trained * sums));
  line("activations", cost.activations);
  if (p.student.ternary)  // all from before a step that is logged, and those of a linear after it
    line("codes for the log", static_cast<double>(n.linear + n.largest));
  if (p.teacher.num_hidden_layers > 0) {
    line("teacher's weights", teacher_bytes(p));
    line("teacher's activations", cost.teacher);
  }
  fmt::print("  {:<24}{}{}\n", "memory", gigabytes(total), ranks > 1 ? " on each rank" : "");
  if (!s.teacher.empty() && s.data == tern::stage_data::task && s.teacher_cache > 0)
    fmt::print("  {:<24}{} at most, on disk\n", "teacher's cache",
               gigabytes(static_cast<double>(s.teacher_cache) * 1048576));
  if (const std::size_t free = available_memory(); free > 0) {
    const double fits = static_cast<double>(free) / total;
    fmt::print("  {:<24}{} are free here: room for {:.0f} rank{}\n", "",
               gigabytes(static_cast<double>(free)), fits, fits >= 1 && fits < 2 ? "" : "s");
  }
  // Where the weights of terms depend on their values, the student reads each micro-batch twice.
  const double again = s.losses.balance && micro > 1 ? 4.0 / 3 : 1.0;
  const double seconds = cost.seconds * again * static_cast<double>(micro) *
                             static_cast<double>(most_parts) / static_cast<double>(s.parts) +
                         cost.update * static_cast<double>(n.updated);
  const double tokens = static_cast<double>(micro * sequences * p.length);
  fmt::print("  {:<24}{:>10} ms a step, {} tok/s, {} in all\n", "time", five(1e3 * seconds),
             multiple(tokens / seconds), duration(seconds * static_cast<double>(s.steps)));
  if (ranks == 1) return;
  // Gradients go to the owners of their rows, and new weights come back.
  const double ways = s.gradients == tern::gradient_format::bf16 ? 1.5 : 2;
  const double wire =
      ways * floats(n.trained) * static_cast<double>(ranks - 1) / static_cast<double>(ranks);
  fmt::print("  {:<24}{} a step and rank: {} ms more at 10 Gb/s, {} ms at 100 Gb/s\n", "sent",
             gigabytes(wire), five(wire * 8 / 10e9 * 1e3), five(wire * 8 / 100e9 * 1e3));
}

/// Sets the lengths of sequences; for a task the greatest that an example can have.
void set_lengths(stage_models& p, const tern::data_source& d) {
  p.length = p.settings.length;
  if (p.settings.data == tern::stage_data::corpus) return;
  const bool one_token = d.task == "microworld" || !d.label_words.empty() ||
                         (!d.task.empty() && d.task != "own" && task_of(d).classifies());
  p.answer = one_token ? 1 : d.answer_tokens;
  p.length = std::min(d.prompt_tokens + p.answer - 1, p.student.max_position_embeddings);
  p.answer = std::min(p.answer, p.length);
}

/// Number of the tokens of a new model.
std::size_t vocabulary_of(const tern::data_source& d) {
  if (!d.tokenizer.empty()) return tern::load_tokenizer(d.tokenizer).vocab_size();
  if (d.task == "microworld") return word_tokenizer(microworld().words()).vocab_size();
  return d.vocab_size;
}

}  // namespace

void plan(const options& o) {
  settings s = make_settings(o);
  model_config base = s.recipe.model;
  if (s.model.empty()) base.vocab_size = vocabulary_of(s.recipe.data);
  validate(s.recipe);
  tern::thread_pool pool(o.threads);
  fmt::print("What each stage takes with {} thread{}{}; the program and the data come on top.\n",
             pool.threads(), pool.threads() == 1 ? "" : "s",
             o.ranks == 1 ? "" : fmt::format(" on each of {} ranks", o.ranks));
  std::map<std::string, model_config> models;
  const auto config_of = [&](const std::string& origin) {
    if (origin == "new") return base;
    return tern::is_model_path(origin) ? tern::load_config(origin) : models.at(origin);
  };
  for (const stage& each : s.recipe.stages) {
    stage_models p{each, edited(config_of(each.from), each.edits), {}};
    models[each.name] = p.student;
    p.teacher.num_hidden_layers = 0;
    if (!each.teacher.empty()) p.teacher = config_of(each.teacher);
    set_lengths(p, s.recipe.data);
    if (each.steps > 0)
      print_stage(p, o.ranks, pool);
    else
      fmt::print("\n{}: calibration, which is not planned\n", each.name);
    std::fflush(stdout);
  }
}

}  // namespace bitdistill
