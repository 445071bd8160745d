#include "tern/core/zeroed_array.hpp"

#include <algorithm>
#include <utility>

#include "tests/support.hpp"

TEST_CASE("a zeroed array begins with zeros", "[zeroed_array]") {
  const tern::zeroed_array<int> a(1000);
  CHECK(std::count(a.data(), a.data() + a.size(), 0) == 1000);
  CHECK(tern::zeroed_array<int>(0).size() == 0);
}

TEST_CASE("a copy of a zeroed array is its own, and a move takes the elements", "[zeroed_array]") {
  tern::zeroed_array<int> a(3);
  a[1] = 7;
  tern::zeroed_array<int> b = a;
  b[1] = 8;
  CHECK(a[1] == 7);
  tern::zeroed_array<int> c = std::move(b);
  CHECK((c[1] == 8 && c.size() == 3));
  a = c;
  CHECK((a[1] == 8 && a.data() != c.data()));
}

TEST_CASE("elements of a zeroed array that nobody touches take no memory", "[zeroed_array]") {
  tern::zeroed_array<char> a(std::size_t{1} << 31);
  a[std::size_t{1} << 30] = 1;
  CHECK(a[0] == 0);
}
