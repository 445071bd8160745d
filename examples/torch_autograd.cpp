// tern's ops in libtorch's autograd. Each pair of forward and backward is a
// torch::autograd::Function, the values that the backward pass needs are saved in tensors, and the
// gradients have the same bits as on tern's tape.
#include <torch/torch.h>

#include <iostream>
#include <vector>

#include "tern/adapt/torch.hpp"
#include "tern/distill/relation.hpp"
#include "tern/grad/ste.hpp"
#include "tern/nn/graph.hpp"

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// A tensor of one dimension as a row_view, or a null view if it is undefined.
template <class T>
tern::row_view<T> row(Tensor t) {
  const tern::matrix_view<T> m = t;
  return m ? m.row(0) : tern::row_view<T>();
}

template <class Quantizer>
struct ste : torch::autograd::Function<ste<Quantizer>> {
  static Tensor forward(AutogradContext*, const Tensor& x) {
    Tensor y = torch::empty_like(x);
    tern::arena scratch;
    tern::ste<Quantizer>::forward(x, y, scratch);
    return y;
  }
  static variable_list backward(AutogradContext*, const variable_list& dy) {
    Tensor dx = torch::zeros_like(dy[0]);
    tern::ste<Quantizer>::backward(dy[0].contiguous(), dx);
    return {dx};
  }
};

struct sub_ln : torch::autograd::Function<sub_ln> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& gain, double eps) {
    Tensor y = torch::empty_like(x), inv_rms = torch::empty({x.size(0)});
    tern::sub_ln<float>::forward(x, row<const float>(gain), static_cast<float>(eps), y,
                                 row<float>(inv_rms));
    ctx->save_for_backward({x, gain, inv_rms});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    const variable_list saved = ctx->get_saved_variables();
    Tensor dx = torch::zeros_like(saved[0]), dgain = torch::zeros_like(saved[1]);
    tern::sub_ln<float>::backward(dy[0].contiguous(), saved[0], row<const float>(saved[1]),
                                  row<const float>(saved[2]), dx, row<float>(dgain));
    return {dx, dgain, {}};
  }
};

struct bit_linear : torch::autograd::Function<bit_linear> {
  using op = tern::bit_linear<float>;

  static op::saved views(variable_list& t) {
    const auto rows = static_cast<std::size_t>(t[3].size(0)),
               cols = static_cast<std::size_t>(t[3].size(1));
    return {t[0],
            row<float>(t[1]),
            row<std::int32_t>(t[2]),
            t[3],
            t[4],
            tern::absmean::scale_block(rows, cols)};
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    variable_list saved{torch::empty_like(x, torch::kChar), torch::empty({x.size(0)}),
                        torch::empty({x.size(0)}, torch::kInt), torch::empty_like(w, torch::kChar),
                        torch::empty({1, 1})};
    Tensor y = torch::empty({x.size(0), w.size(0)});
    tern::arena scratch;
    op::forward(x, w, {}, y, views(saved), scratch);
    ctx->save_for_backward(saved);
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& dy) {
    variable_list saved = ctx->get_saved_variables();
    Tensor dx = torch::zeros(saved[0].sizes()), dw = torch::zeros(saved[3].sizes());
    tern::arena scratch;
    op::backward(dy[0].contiguous(), views(saved), dx, dw, {}, scratch);
    return {dx, dw};
  }
};

/// The relation loss of one sequence.
struct relation_loss : torch::autograd::Function<relation_loss> {
  using op = tern::relation_loss<float>;

  static tern::relation_options options(std::int64_t split_heads) {
    return {.split_heads = static_cast<std::size_t>(split_heads)};
  }
  static std::vector<std::size_t> offsets(const Tensor& student) {
    return {0, static_cast<std::size_t>(student.size(0))};
  }
  static Tensor forward(AutogradContext* ctx, const Tensor& student, const Tensor& teacher,
                        std::int64_t split_heads) {
    Tensor stats = torch::empty({student.size(0), 2 * split_heads});
    tern::arena scratch;
    const double loss =
        op::forward(student, teacher, offsets(student), {}, options(split_heads), stats, scratch);
    ctx->save_for_backward({student, teacher, stats});
    ctx->saved_data["split_heads"] = split_heads;
    return torch::tensor(static_cast<float>(loss));
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& dloss) {
    const variable_list saved = ctx->get_saved_variables();
    Tensor dstudent = torch::zeros_like(saved[0]);
    tern::arena scratch;
    op::backward(saved[0], saved[1], offsets(saved[0]), {},
                 options(ctx->saved_data["split_heads"].toInt()), saved[2], dloss[0].item<float>(),
                 dstudent, scratch);
    return {dstudent, {}, {}};
  }
};

/// The same network on tern's tape. Its parameters and gradients are in the memory of tensors.
void on_the_tape(const variable_list& values, variable_list& gradients, Tensor& teacher) {
  tern::tape<float> t;
  const auto parameter = [&](std::size_t i) {
    Tensor value = values[i];
    return tern::variable<float>{value, gradients[i]};
  };
  const auto h = tern::graph::rms_norm(t, parameter(0), parameter(1), 1e-5);
  const auto y =
      tern::graph::bit_linear<float, tern::absmean, tern::absmax_int8>(t, h, parameter(2));
  const auto z = t.make(y.rows(), y.cols());
  tern::ste<tern::absmax_int8>::forward(y.value, z.value, t.memory());
  t.record([=] { tern::ste<tern::absmax_int8>::backward(z.grad, y.grad); });

  const std::vector<std::size_t> offsets{0, z.rows()};
  const tern::relation_options options{.split_heads = 4};
  const auto stats = t.memory().matrix<float>(z.rows(), 8);
  tern::relation_loss<float>::forward(z.value, teacher, offsets, {}, options, stats, t.memory());
  tern::relation_loss<float>::backward(z.value, teacher, offsets, {}, options, stats, 1.0f, z.grad,
                                       t.memory());
  t.backward();
}

int main() {
  torch::manual_seed(1);
  const auto wanted = torch::requires_grad();
  const Tensor x = torch::randn({24, 64}, wanted), gain = torch::ones({64}, wanted);
  const Tensor w = torch::randn({32, 64}, wanted);
  Tensor teacher = torch::randn({24, 128});

  const Tensor y = bit_linear::apply(sub_ln::apply(x, gain, 1e-5), w);
  const Tensor z = ste<tern::absmax_int8>::apply(y);
  const Tensor loss = relation_loss::apply(z, teacher, 4);
  loss.backward();

  variable_list gradients{torch::zeros({24, 64}), torch::zeros({64}), torch::zeros({32, 64})};
  on_the_tape({x, gain, w}, gradients, teacher);
  const bool same = torch::equal(x.grad(), gradients[0]) &&
                    torch::equal(gain.grad(), gradients[1]) && torch::equal(w.grad(), gradients[2]);
  std::cout << "loss " << loss.item<float>() << ", |dw| " << w.grad().norm().item<float>()
            << (same ? ", gradients equal the tape's\n" : ", gradients differ from the tape's\n");
  return same && w.grad().norm().item<float>() > 0 ? 0 : 1;
}
