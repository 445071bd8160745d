// A cache gives back what it was given, or nothing.
#include "tern/io/record_cache.hpp"

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support.hpp"

using namespace tern;

namespace {

const std::vector<std::size_t> record_sizes{16, 0, 40, 8};

std::vector<std::byte> record(std::size_t i, int value) {
  return std::vector<std::byte>(record_sizes[i], static_cast<std::byte>(value));
}

/// The record as it is in the cache; empty where it is missing.
std::vector<std::byte> found(record_cache& cache, std::size_t i) {
  std::vector<std::byte> bytes(record_sizes[i]);
  return cache.read_record(i, bytes) ? bytes : std::vector<std::byte>{};
}

struct cache_file {
  tern_test::scratch_dir scratch;
  std::filesystem::path path = scratch.path() / "records";
  record_cache open(const std::string& identity = "a", std::uint64_t limit = 10000) const {
    return {path, identity, record_sizes, limit};
  }
};

}  // namespace

TEST_CASE("records are found again, also by the next process") {
  const cache_file file;
  {
    auto cache = file.open();
    CHECK(found(cache, 2).empty());
    cache.store_record(2, record(2, 5));
    cache.store_record(0, record(0, 6));
    CHECK(found(cache, 2) == record(2, 5));
  }
  auto again = file.open();
  CHECK(found(again, 2) == record(2, 5));
  CHECK(found(again, 0) == record(0, 6));
  CHECK(found(again, 3).empty());
}

TEST_CASE("a cache of something else is emptied") {
  const cache_file file;
  file.open("a").store_record(2, record(2, 5));
  auto other = file.open("b");
  CHECK(found(other, 2).empty());
  auto first = file.open("a");
  CHECK(found(first, 2).empty());
}

TEST_CASE("a record that is damaged or cut off is missing") {
  const cache_file file;
  file.open().store_record(2, record(2, 5));
  file.open().store_record(3, record(3, 9));
  const auto size = std::filesystem::file_size(file.path);
  SECTION("cut off") {
    std::filesystem::resize_file(file.path, size - 1);
    auto cache = file.open();
    CHECK(found(cache, 3).empty());
    CHECK(found(cache, 2) == record(2, 5));
  }
  SECTION("damaged") {
    std::fstream bytes(file.path, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(size) - 20);
    bytes.put('\x7f');
    bytes.close();
    auto cache = file.open();
    CHECK(found(cache, 2).empty());
    CHECK(found(cache, 3) == record(3, 9));
    cache.store_record(2, record(2, 7));
    CHECK(found(cache, 2) == record(2, 7));
  }
}

TEST_CASE("the file does not grow beyond the limit") {
  const cache_file file;
  const std::uint64_t limit = 256 + 4 * 8 + 16 + 39;  // one byte too few for the third record
  auto cache = file.open("a", limit);
  for (std::size_t i = 0; i < 4; ++i) cache.store_record(i, record(i, 5));
  CHECK(found(cache, 0) == record(0, 5));
  CHECK(found(cache, 2).empty());
  CHECK(found(cache, 3).empty());
  CHECK(std::filesystem::file_size(file.path) <= limit);
}

TEST_CASE("a cache that cannot be made is an error") {
  CHECK_THROWS_AS(record_cache("/no/such/folder/x", "a", record_sizes, 100), io_error);
}
