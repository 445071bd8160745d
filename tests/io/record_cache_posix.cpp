// A full disk, for which Linux has a device.
#include <cstddef>
#include <vector>

#include "tern/io/record_cache.hpp"
#include "tests/support.hpp"

TEST_CASE("a full disk stores nothing and stops nothing") {
  const std::vector<std::size_t> sizes{16, 40};
  tern::record_cache cache("/dev/full", "a", sizes, 10000);
  std::vector<std::byte> bytes(40, std::byte{5});
  cache.store_record(1, bytes);
  CHECK_FALSE(cache.read_record(1, bytes));
}
