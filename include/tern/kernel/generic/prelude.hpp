// What all.inl uses from outside: a region of an instruction set includes no header itself.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "tern/isa/target.hpp"
#include "tern/kernel/base3_tables.hpp"
#include "tern/kernel/problem.hpp"
#include "tern/pack/base3.hpp"
#include "tern/pack/eight_bit.hpp"
#include "tern/pack/four_bit.hpp"
#include "tern/pack/two_bit.hpp"
