// refused: static assertion failed.*describe\(\) leaves out a member
#include "tern/core/describe.hpp"

namespace stranger {

struct options {
  int steps = 1;
  double rate = 0;
};

template <class V>
constexpr void describe(V& v, options& o) {
  v.value("steps", o.steps);
}
static_assert(tern::describes_all_members<options>(), "describe() leaves out a member");

}  // namespace stranger
