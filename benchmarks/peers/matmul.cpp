#include "matmul.hpp"

#include <Eigen/Core>
#include <memory>

#if defined(BENCH_OPENBLAS)
#  include <cblas.h>
#endif
#if defined(BENCH_ONEDNN)
#  include <omp.h>

#  include <cstring>
#  include <oneapi/dnnl/dnnl.hpp>
#endif

namespace bench {

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }

struct floats {
  floats(std::size_t m, std::size_t k, std::size_t n, std::size_t copies)
      : w(copies, matrix::Random(index(m), index(k))),
        x(matrix::Random(index(n), index(k))),
        y(index(n), index(m)) {}
  const matrix& next() { return w[turn++ % w.size()]; }

  std::vector<matrix> w;
  matrix x, y;
  std::size_t turn = 0;
};

std::function<void()> eigen(std::size_t m, std::size_t k, std::size_t n, std::size_t copies,
                            std::size_t) {
  return [p = std::make_shared<floats>(m, k, n, copies)] {
    p->y.noalias() = p->x * p->next().transpose();
  };
}

#if defined(BENCH_OPENBLAS)
std::function<void()> openblas(std::size_t m, std::size_t k, std::size_t n, std::size_t copies,
                               std::size_t threads) {
  return [=, p = std::make_shared<floats>(m, k, n, copies)] {
    const auto rows = static_cast<blasint>(m), depth = static_cast<blasint>(k),
               tokens = static_cast<blasint>(n);
    openblas_set_num_threads(static_cast<int>(threads));
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, rows, depth, 1, p->x.data(), depth,
                p->next().data(), depth, 0, p->y.data(), rows);
  };
}
#endif

#if defined(BENCH_ONEDNN)
/// A product with weights in the layout that the library asks for, as in inference.
class onednn_product {
 public:
  using type = dnnl::memory::data_type;
  using tag = dnnl::memory::format_tag;

  onednn_product(std::size_t m, std::size_t k, std::size_t n, std::size_t copies,
                 std::size_t threads, type x, type w, type y)
      : threads_(threads) {
    omp_set_num_threads(static_cast<int>(threads));
    const auto size = [](std::size_t a, std::size_t b) {
      return dnnl::memory::dims{static_cast<dnnl_dim_t>(a), static_cast<dnnl_dim_t>(b)};
    };
    const dnnl::matmul::primitive_desc made(
        {{size(n, k), x, tag::ab}, {size(k, m), w, tag::any}, {size(n, m), y, tag::ab}}, engine_);
    product_ = dnnl::matmul(made);
    x_ = filled(made.src_desc());
    y_ = filled(made.dst_desc());
    dnnl::memory plain = filled({size(k, m), w, tag::ba});
    for (std::size_t i = 0; i < copies; ++i) {
      w_.emplace_back(made.weights_desc(), engine_);
      if (i == 0) dnnl::reorder(plain, w_[0]).execute(stream_, plain, w_[0]);
      stream_.wait();
      if (i > 0)
        std::memcpy(w_[i].get_data_handle(), w_[0].get_data_handle(), w_[0].get_desc().get_size());
    }
  }

  void multiply() {
    omp_set_num_threads(static_cast<int>(threads_));
    product_.execute(
        stream_,
        {{DNNL_ARG_SRC, x_}, {DNNL_ARG_WEIGHTS, w_[turn_++ % w_.size()]}, {DNNL_ARG_DST, y_}});
    stream_.wait();
  }

 private:
  dnnl::memory filled(const dnnl::memory::desc& d) {
    dnnl::memory made(d, engine_);
    std::memset(made.get_data_handle(), 1, d.get_size());
    return made;
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::matmul product_;
  dnnl::memory x_, y_;
  std::vector<dnnl::memory> w_;
  std::size_t threads_, turn_ = 0;
};

auto onednn(dnnl::memory::data_type x, dnnl::memory::data_type w, dnnl::memory::data_type y) {
  return [=](std::size_t m, std::size_t k, std::size_t n, std::size_t copies,
             std::size_t threads) -> std::function<void()> {
    return [p = std::make_shared<onednn_product>(m, k, n, copies, threads, x, w, y)] {
      p->multiply();
    };
  };
}
#endif

}  // namespace

std::vector<peer> peers() {
  std::vector<peer> all{{"eigen_fp32", 4, false, eigen}};
#if defined(BENCH_OPENBLAS)
  all.push_back({"openblas_fp32", 4, true, openblas});
#endif
#if defined(BENCH_ONEDNN)
  using type = dnnl::memory::data_type;
  all.push_back({"onednn_int8", 1, true, onednn(type::u8, type::s8, type::s32)});
  all.push_back({"onednn_bf16", 2, true, onednn(type::bf16, type::bf16, type::f32)});
#endif
  return all;
}

}  // namespace bench
