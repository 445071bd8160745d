// The cache may forget a word, but it never gives the ids of another word.
#include "tern/text/word_cache.hpp"

#include <string>

#include "tests/support.hpp"

TEST_CASE("a cached word has its own ids or none", "[text]") {
  tern::word_cache cache;
  CHECK(cache.find("a").empty());
  const auto ids_of = [](int i) { return std::vector<std::int32_t>{i, i + 1, -i}; };
  const auto equal = [](auto a, const auto& b) { return std::ranges::equal(a, b); };
  std::size_t kept = 0;
  for (int i = 0; i < 100000; ++i) {
    const auto word = std::to_string(i);
    cache.insert(word, ids_of(i));
    if (!equal(cache.find(word), ids_of(i))) FAIL("lost at once: " << word);
  }
  for (int i = 0; i < 200000; ++i) {
    const auto found = cache.find(std::to_string(i));
    if (found.empty()) continue;
    ++kept;
    if (i >= 100000 || !equal(found, ids_of(i))) FAIL("wrong ids for " << i);
  }
  CHECK(kept > 20000);
  CHECK(kept <= 1 << 15);
}

TEST_CASE("words too long for the cache are not stored", "[text]") {
  tern::word_cache cache;
  cache.insert("a", std::vector<std::int32_t>{1});
  cache.insert(std::string(39, 'x'), std::vector<std::int32_t>{1});
  cache.insert("many", std::vector<std::int32_t>(7, 1));
  CHECK(cache.find("a").size() == 1);
  CHECK(cache.find(std::string(39, 'x')).empty());
  CHECK(cache.find("many").empty());
}
