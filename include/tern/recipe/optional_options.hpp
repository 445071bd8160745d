// One place for the options of each kind in a list of types, as losses and optimizers have it.
#pragma once

#include <optional>
#include <tuple>

#include "tern/version.hpp"

namespace tern::inline TERN_ABI::detail {

template <class Types>
struct optional_options;
template <class... Type>
struct optional_options<std::tuple<Type...>> {
  using type = std::tuple<std::optional<typename Type::options>...>;
};

/// std::tuple<std::optional<A::options>, std::optional<B::options>> for std::tuple<A, B>.
template <class Types>
using optional_options_of = typename optional_options<Types>::type;

}  // namespace tern::inline TERN_ABI::detail
