// refused: a decoder makes its quantizers itself: they need a constructor without arguments
#include "tern/model/decoder.hpp"

struct weights : tern::absmean {
  explicit weights(double e) : tern::absmean{e} {}
};

void f(const tern::model_config& c) { tern::decoder<tern::matrix<float>, weights> model(c); }
