// The choice of the layer that a loss term compares, where a recipe says "auto". A term such as
// L_AD is there to help the task, and to first order it does so as far as its gradient points where
// the gradient of the task's own loss points: a step along the one changes the loss by the product
// of the two. So the layer is taken whose gradient has the largest cosine with that of all other
// terms, on the first examples of the stage and on the weights from which the stage starts. The
// cosine as a measure of what an auxiliary loss is worth is that of Du et al. (arXiv 1812.02224).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/core/executor.hpp"
#include "tern/core/is_finite.hpp"
#include "tern/core/simd.hpp"
#include "tern/grad/tape.hpp"
#include "tern/recipe/batch_inputs.hpp"
#include "tern/recipe/layer_agreement.hpp"
#include "tern/recipe/loss_terms.hpp"
#include "tern/train/flat_view.hpp"
#include "tern/train/gradient_norm.hpp"
#include "tern/train/optimizer.hpp"

namespace tern::inline TERN_ABI {

/// Calls f(term's place in losses.terms) for each term whose layer is still to be chosen.
template <class F>
void for_each_open_term(loss_options& losses, F&& f) {
  const auto visit = [&](auto& o) {
    if constexpr (requires { o->layers; })
      if (o && !o->layers.layer) f(o);
  };
  std::apply([&](auto&... o) { (visit(o), ...); }, losses.terms);
}

/// Number of the terms whose layer is still to be chosen.
inline std::size_t open_terms(loss_options losses) {
  std::size_t n = 0;
  for_each_open_term(losses, [&](auto&) { ++n; });
  return n;
}

/// The losses without the terms whose layer is still to be chosen.
inline loss_options without_open_terms(loss_options losses) {
  for_each_open_term(losses, [](auto& o) { o.reset(); });
  return losses;
}

/// The losses with layers for the terms that had none, in the order of the terms. The number of
/// layers must be open_terms().
inline loss_options with_layers(loss_options losses, std::span<const std::size_t> layers) {
  require_size(layers.size(), open_terms(losses), "with_layers: layers");
  std::size_t next = 0;
  for_each_open_term(losses, [&](auto& o) { o->layers.layer = static_cast<int>(layers[next++]); });
  return losses;
}

/// How the gradients are computed from which layers are chosen.
struct layer_trial {
  std::size_t micro_batches = 8;  ///< how many are looked at, from number 0 on; at least one
  rate_factors rates{};           ///< parameters with rate 0 do not count
  precision products = precision::exact;  ///< precision of products of floats
  executor_ref ex{};                      ///< executor of both models
  std::function<void()> before_each{};    ///< called before each gradient; it may throw
};

namespace detail {

/// The gradient of a model as one row of elements, and a copy of an earlier one.
template <class T>
class compared_gradient {
 public:
  template <class Model>
  compared_gradient(Model& model, executor_ref ex) : ex_(ex) {
    model.for_each_parameter([&](auto& p) {
      if (matrix_view<T>(p.grad).size() == p.view().size()) now_.add(p.grad);
    });
    kept_.resize(now_.size());
  }
  void clear() {
    for_chunks([&](std::size_t, row_view<T> g, std::size_t) {
      for (std::size_t i = 0; i < g.size; ++i) g[i] = T(0);
    });
  }
  void keep() {
    for_chunks([&](std::size_t, row_view<T> g, std::size_t at) {
      for (std::size_t i = 0; i < g.size; ++i) kept_[at + i] = g[i];
    });
  }
  /// The inner product with the gradient that was kept. It has the same bits for any number of
  /// threads.
  [[nodiscard]] double product() {
    std::vector<double> sums(chunks());
    for_chunks([&](std::size_t chunk, row_view<T> g, std::size_t at) {
      sums[chunk] += static_cast<double>(simd::dot(g, row_view<T>(kept_.data() + at, g.size)));
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0);
  }

 private:
  static constexpr std::size_t chunk_size = std::size_t{1} << 16;
  [[nodiscard]] std::size_t chunks() const { return (now_.size() + chunk_size - 1) / chunk_size; }

  /// Calls f(chunk, elements, number of the first of them) for runs of elements.
  template <class F>
  void for_chunks(F&& f) {
    ex_.parallel_for(chunks(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t c = begin; c < end; ++c) {
        const std::size_t first = c * chunk_size;
        now_.visit(first, std::min(chunk_size, now_.size() - first),
                   [&](row_view<T> g, std::size_t at) { f(c, g, first + at); });
      }
    });
  }

  executor_ref ex_;
  flat_view<T> now_;
  std::vector<T> kept_;
};

/// Gives the parameters of a model gradients as long as it lives.
template <class Model>
class with_gradients {
 public:
  with_gradients(Model& model, const rate_factors& rates) : model_(model) {
    model_.train(true);
    model_.for_each_parameter([&](auto& p) {
      if (rates.of(p.kind) == 0) p.grad = tensor_traits<typename Model::owner>::make(0, 0);
    });
  }
  with_gradients(const with_gradients&) = delete;
  with_gradients& operator=(const with_gradients&) = delete;
  ~with_gradients() { model_.train(false); }

 private:
  Model& model_;
};

/// The objective that has a term alone, at one layer.
template <class T, class Options>
objective<T> alone_at(Options o, std::size_t layer, const layer_counts& counts) {
  o.layers.layer = static_cast<int>(layer);
  o.weight = 1;  // the cosine does not depend on it, unless it is 0
  loss_options losses;
  std::get<std::optional<Options>>(losses.terms) = o;
  return make_objective<T>(losses, counts);
}

}  // namespace detail

/// Measures every layer for each term of `losses` whose layer is still to be chosen, in the order
/// of the terms. The other terms are those that the layers are compared by. The models' weights do
/// not change; the student must not be in training. The cosine with a gradient of 0 is 0. The cost
/// is, for each micro-batch, a training step for the other terms and one for every layer. Throws
/// config_error where there is no other term, a term needs a teacher that is missing, or a model
/// lacks a layer that a term names; numeric_error where a gradient is not finite.
template <class Model, class Teacher>
std::vector<layer_agreement> choose_layers(Model& student, Teacher* teacher,
                                           std::unique_ptr<batch_source> batches,
                                           loss_options losses, const layer_trial& trial) {
  using T = typename Model::scalar;
  layer_counts counts{student.config().num_hidden_layers, 0};
  if (teacher != nullptr) counts.teacher = teacher->config().num_hidden_layers;
  std::vector<layer_agreement> found;
  std::vector<objective<T>> objectives;  // that of the other terms, then those of all layers
  objectives.push_back(make_objective<T>(without_open_terms(losses), counts));
  for_each_open_term(losses, [&](const auto& o) {
    found.push_back({o->name, 0, {}});
    for (std::size_t layer = 0; layer < counts.student; ++layer)
      objectives.push_back(detail::alone_at<T>(*o, layer, counts));
  });

  batch_inputs<Model, Teacher> inputs(student, teacher, std::move(batches),
                                      std::span<const objective<T>>(objectives), trial.ex);
  const detail::with_gradients<Model> training(student, trial.rates);
  detail::compared_gradient<T> gradient(student, trial.ex);
  tape<T> t(trial.ex, true, trial.products);
  const auto norm_of = [&](objective<T>& each, std::size_t number) {
    if (trial.before_each) trial.before_each();
    gradient.clear();
    t.reset();
    each.record(t, inputs.forward(t, number));
    t.backward();
    const double norm = gradient_norm(student, trial.ex);
    if (!is_finite(norm))
      throw numeric_error("choose_layers: the gradient of " +
                          std::string(each.terms().front().term->name()) + " is not finite");
    return norm;
  };
  std::vector<std::vector<double>> cosines(objectives.size() - 1);
  for (std::size_t number = 0; number < trial.micro_batches; ++number) {
    const double others = norm_of(objectives[0], number);
    gradient.keep();
    for (std::size_t i = 0; i < cosines.size(); ++i) {
      const double own = norm_of(objectives[i + 1], number);
      cosines[i].push_back(own > 0 && others > 0 ? gradient.product() / own / others : 0);
    }
  }

  auto next = cosines.begin();
  for (layer_agreement& term : found) {
    for (std::size_t layer = 0; layer < counts.student; ++layer) {
      term.layers.push_back(statistics_of(*next++));
      if (term.layers.back().mean >= term.layers[term.chosen].mean) term.chosen = layer;
    }
  }
  return found;
}

}  // namespace tern::inline TERN_ABI
