// The limits of a level, measured with its own ops: included once for each level inside its region.

/// Computes dot products of registers, with one load in each round, and returns the number of
/// multiply-adds. Where a dot product is one instruction, a dozen at once hide its latency. Where
/// it is a product and a sum, no two in a round may be alike, or the compiler would multiply once.
template <std::size_t... i>
inline std::size_t dots(std::size_t rounds, std::index_sequence<i...>) {
  alignas(64) std::int8_t x[64] = {};
  const std::int8_t* from = x;
  __asm__("" : "+r"(from) : : "memory");  // the compiler must not know the operands
  constexpr std::size_t kinds = sizeof...(i) == 4 ? 4 : 1;
  const decltype(columns<0>(from)) four[] = {columns<0>(from), columns<0>(from + 16),
                                             columns<0>(from + 32), columns<0>(from + 48)};
  decltype(ops::zero()) s[] = {(static_cast<void>(i), ops::zero())...};
  for (std::size_t r = 0; r < rounds; ++r) {
    __asm__("" : "+r"(from));
    const ops::reg q = ops::load(from);
    ((s[i] = ops::dot(s[i], q, four[i % kinds])), ...);
  }
  alignas(64) std::int32_t sink[16 * sizeof...(i)];
  (ops::store(sink + 16 * i, ops::widen(s[i])), ...);
  __asm__ volatile("" ::"r"(sink) : "memory");
  return rounds * sizeof...(i) * ops::bytes;
}

/// Reads `bytes`, a multiple of 2048, once. As in kernels there are four streams side by side,
/// which are fetched 1 KiB ahead.
template <std::size_t... i>
inline void read(const std::uint8_t* from, std::size_t bytes, std::index_sequence<i...>) {
  constexpr std::size_t loads = sizeof...(i) / 4;  // loads from a stream at a time
  const std::size_t stream = bytes / 4;
  auto a = ops::load(from), b = a;
  for (std::size_t at = 0; at < stream; at += loads * ops::bytes) {
    const auto place = [&](std::size_t n) {
      return from + n / loads * stream + at + n % loads * ops::bytes;
    };
    ((i * ops::bytes % 64 == 0 ? __builtin_prefetch(place(i) + 1024) : void()), ...);
    ((i % 2 == 0 ? a = ops::add(a, ops::load(place(i))) : b = ops::add(b, ops::load(place(i)))),
     ...);
  }
  alignas(64) std::int32_t sink[16];
  ops::store(sink, ops::add(a, b));
  __asm__ volatile("" ::"r"(sink) : "memory");
}

inline std::size_t dots(std::size_t rounds) {
  constexpr std::size_t sums = ops::max_dots < 1000 ? 4 : 12;
  return dots(rounds, std::make_index_sequence<sums>{});
}
inline void read(const std::uint8_t* from, std::size_t bytes) {
  read(from, bytes, std::make_index_sequence<512 / ops::bytes>{});
}
