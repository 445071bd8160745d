#include "tern/data/corpus.hpp"

#include <set>

#include "tern/core/atomic_file.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/data/token_windows.hpp"
#include "tests/data/gzip.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

namespace {

using strings = std::vector<std::string>;
using tern_test::gzip;

class corpus_file {
 public:
  strings read(const std::string& name, const std::string& content,
               tern::document_split split = tern::document_split::blank_lines) {
    tern::write_file(dir_.path() / name, content);
    return tern::read_corpus({dir_.path() / name}, split);
  }
  std::string error(const std::string& name, const std::string& content) {
    const auto what = tern_test::message_of<tern::format_error>([&] { read(name, content); });
    const auto path = (dir_.path() / name).string();
    return what.starts_with(path) ? what.substr(path.size()) : what;
  }

 private:
  tern_test::scratch_dir dir_;
};

}  // namespace

TEST_CASE("documents of plain text", "[corpus]") {
  corpus_file file;
  const std::string text = "\xEF\xBB\xBF\r\n one\r\ntwo\r\n \t\r\n\r\nthree\r\n\r\n";
  CHECK(file.read("a.txt", text) == strings{" one\ntwo", "three"});
  CHECK(file.read("a.txt", text, tern::document_split::lines) == strings{" one", "two", "three"});
  CHECK(file.read("a.txt", text, tern::document_split::none) == strings{" one\ntwo\n \t\n\nthree"});
  CHECK(file.read("a", "x") == strings{"x"});
  const tern_test::scratch_dir dir;
  tern::write_file(dir.path() / "1", "a\n\nb");
  tern::write_file(dir.path() / "2", "c\n");
  CHECK(tern::read_corpus({dir.path() / "1", dir.path() / "2"}) == strings{"a", "b", "c"});
}

TEST_CASE("gzip, in one member or several", "[corpus]") {
  corpus_file file;
  std::string big;
  for (int i = 0; i < 100'000; ++i) big += "line " + std::to_string(i) + "\n";
  CHECK(file.read("a.txt.gz", gzip(big)) == strings{big.substr(0, big.size() - 1)});
  CHECK(file.read("a.txt.gz", gzip("one\n") + gzip("") + gzip("\ntwo")) == strings{"one", "two"});
  CHECK(file.read("named-otherwise", gzip("one\n")) == strings{"one"});
  CHECK(file.read("not-packed.gz", "one\n") == strings{"one"});
  CHECK(file.read("padded.gz", gzip("one\n") + std::string(512, '\0')) == strings{"one"});

  const std::string packed = gzip(big);
  CHECK(file.error("a.gz", packed.substr(0, packed.size() / 2)) == ": the gzip data is cut off");
  CHECK(file.error("a.gz", packed.substr(0, packed.size() - 1)) == ": the gzip data is cut off");
  CHECK(file.error("a.gz", packed + "x").find(": the gzip data is") == 0);
  std::string damaged = packed;
  damaged[packed.size() - 6] = static_cast<char>(damaged[packed.size() - 6] ^ 1);  // of the CRC
  CHECK(file.error("a.gz", damaged).starts_with(": the gzip data is damaged"));
}

TEST_CASE("JSON lines", "[corpus]") {
  corpus_file file;
  const std::string lines =
      "{\"text\": \"a\\n\\nb\", \"id\": 1}\r\n\n{\"text\": \"\"}\n{\"text\":\"c\"}";
  CHECK(file.read("a.jsonl", lines) == strings{"a\n\nb", "c"});
  CHECK(file.read("a.jsonl.gz", gzip(lines)) == strings{"a\n\nb", "c"});
  const std::string expected = ": expected a JSON object with a string \"text\"";
  CHECK(file.error("a.jsonl", lines + "\n{\"body\":\"c\"}") == ":5" + expected);
  CHECK(file.error("a.jsonl", "{\"text\":1}") == ":1" + expected);
  CHECK(file.error("a.jsonl", "{\"text\":\"x\"").starts_with(":1: not valid JSON: "));
  CHECK(file.error("a.jsonl", "[]") == ":1" + expected);
}

TEST_CASE("a corpus file's content tells JSON from text, whatever its name is", "[corpus]") {
  const std::string json = "\n{\"text\": \"a\"}\n{\"text\": \"b\"}\n";
  const std::string list = "[\n {\"text\":\n \"a\"}, {\"text\": \"b\"}]\n";
  const auto [name, content, documents] = GENERATE_COPY(
      table<std::string, std::string, strings>({{"a.jsonl", json, {"a", "b"}},
                                                {"a.json", json, {"a", "b"}},
                                                {"a.json.gz", gzip(json), {"a", "b"}},
                                                {"a", json, {"a", "b"}},
                                                {"a.txt", json, {"a", "b"}},
                                                {"a.txt.gz", gzip(json), {"a", "b"}},
                                                {"a.ndjson", json, {"a", "b"}},
                                                {"a.JSONL", json, {"a", "b"}},
                                                {"a.json", list, {"a", "b"}},
                                                {"a.jsonl", list, {"a", "b"}},
                                                {"a.txt", list, {"a", "b"}},
                                                {"a.json", "{\n\"text\":\n\"a\"}", {"a"}},
                                                {"a.txt", "[One] two", {"[One] two"}},
                                                {"a", "{a set}\nb", {"{a set}\nb"}},
                                                {"a.md", "\"quoted\"", {"\"quoted\""}}}));
  CAPTURE(name, content);
  CHECK(corpus_file().read(name, content) == documents);
}

TEST_CASE("a name that promises JSON is believed where the content is broken", "[corpus]") {
  corpus_file file;
  CHECK(file.error("a.json", "prose").starts_with(": not valid JSON: "));
  CHECK(file.error("a.ndjson", "prose").starts_with(":1: not valid JSON: "));
  CHECK(file.error("a.json", "[{\"text\": \"a\"}, {\"body\": \"b\"}]") ==
        ": item 2: expected a JSON object with a string \"text\"");
}

TEST_CASE("files of other kinds are no corpora, and the message names the kind", "[corpus]") {
  const auto [content, kind] = GENERATE(table<std::string, std::string>({
      {"\x28\xB5\x2F\xFD...", "compressed by zstd"},
      {"PAR1....", "a Parquet table"},
      {"PK\x03\x04....", "a ZIP archive"},
      {"%PDF-1.7\n", "a PDF document"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a Git LFS pointer"},
  }));
  CAPTURE(kind);
  corpus_file file;
  CHECK(file.error("a.txt", content).starts_with(": expected text, but it is " + kind));
  CHECK(file.error("b.txt.gz", gzip(content)).starts_with(": expected text, but it is " + kind));
}

TEST_CASE("corpora that are none", "[corpus]") {
  corpus_file file;
  CHECK(file.error("a.txt", "") == ":1: expected text, got an empty file");
  CHECK(file.error("a.txt", "\n \n") == ":1: expected text, got an empty file");
  CHECK(file.error("a.txt", "good\nba\xC3(d\n") ==
        ":2: expected UTF-8 text, got an invalid byte at column 3");
  CHECK(file.error("a.txt.gz", gzip("\xFF")) ==
        ":1: expected UTF-8 text, got an invalid byte at column 1");
  CHECK_THROWS_AS(tern::read_corpus({"/nowhere/a.txt"}), tern::io_error);
}

TEST_CASE("the token stream does not depend on threads", "[corpus]") {
  strings documents;
  std::vector<std::int32_t> expected;
  for (std::int32_t i = 0; i < 1000; ++i) {
    documents.push_back(std::string(static_cast<std::size_t>(i % 7), 'a'));
    expected.insert(expected.end(), static_cast<std::size_t>(i % 7), 'a');
    expected.push_back(-1);
  }
  const auto bytes = [] {
    return [](std::string_view text, std::vector<std::int32_t>& ids) {
      ids.insert(ids.end(), text.begin(), text.end());
    };
  };
  struct {
    static void parallel_for(std::size_t n, std::size_t grain, tern::range_function f) {
      for (std::size_t begin = (n - 1) / grain * grain; begin < n; begin -= grain)
        f(begin, std::min(n, begin + grain));
    }
  } backwards;
  tern::thread_pool pool(3);
  CHECK(tern::tokenize(documents, bytes, -1, backwards) == expected);
  CHECK(tern::tokenize(documents, bytes, -1) == expected);
  CHECK(tern::tokenize(documents, bytes, -1, pool) == expected);
  CHECK(tern::tokenize({}, bytes, -1, pool).empty());
}

TEST_CASE("windows go through the stream once an epoch", "[token_windows]") {
  for (const std::size_t size : {5u, 7u, 8u, 9u, 43u, 100u, 101u}) {
    std::vector<std::int32_t> stream(size);
    for (std::size_t i = 0; i < size; ++i) stream[i] = static_cast<std::int32_t>(i);
    const std::size_t length = 4;
    tern::token_windows windows(stream, length, 7);
    INFO(size);
    std::set<std::int32_t> first_offsets;
    for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
      std::set<std::int32_t> targets;
      std::int32_t least = stream.back();
      for (std::uint64_t i = 0; i < windows.per_epoch(); ++i) {
        const auto w = windows[epoch * windows.per_epoch() + i];
        REQUIRE(w.size() == length + 1);
        least = std::min(least, w[0]);
        for (std::size_t k = 1; k <= length; ++k) {
          REQUIRE(w[k] == w[0] + static_cast<std::int32_t>(k));
          REQUIRE(targets.insert(w[k]).second);
        }
      }
      first_offsets.insert(least);
      REQUIRE(targets.size() + 2 * length > size);  // less than a window missing at either end
    }
    CHECK((first_offsets.size() > 1) == (size > 5));
  }
}

TEST_CASE("a window is a function of seed and position", "[token_windows]") {
  std::vector<std::int32_t> stream(1000);
  for (std::size_t i = 0; i < stream.size(); ++i) stream[i] = static_cast<std::int32_t>(i);
  tern::token_windows a(stream, 10, 1), b(stream, 10, 1), other(stream, 10, 2);
  std::vector<std::int32_t> order, other_order;
  for (std::uint64_t i = 0; i < 250; ++i) {
    order.push_back(a[i][0]);
    other_order.push_back(other[i][0]);
  }
  CHECK(order != other_order);
  CHECK(!std::is_sorted(order.begin(), order.begin() + 50));
  for (std::uint64_t i = 250; i-- > 0;) REQUIRE(b[i][0] == order[static_cast<std::size_t>(i)]);
  CHECK_THROWS_AS(tern::token_windows(stream, 1000, 1), tern::config_error);
  CHECK(tern::token_windows(stream, 999, 1).per_epoch() == 1);
  CHECK_THROWS_AS(tern::token_windows(stream, 0, 1), tern::config_error);
}

TEST_CASE("the real corpora", "[corpus][data]") {
  for (const auto& [file, count] : std::vector<std::pair<std::string, std::size_t>>{
           {"sotu/sotu.txt.gz", 233},
           {"brown/brown.txt.gz", 500},
           {"movie_reviews/movie_reviews.txt.gz", 2000},
           {"llamafactory_demo/c4_demo.jsonl.gz", 240}}) {
    const auto path = tern_test::data_file("corpus/" + file);
    if (path.empty()) return;
    INFO(file);
    CHECK(tern::read_corpus({path}).size() == count);
  }
}

TEST_CASE("windows begin with a document where a separator is near", "[token_windows]") {
  std::vector<std::int32_t> stream(500, 1);
  for (std::size_t i = 0; i < 300; i += 7) stream[i] = 0;  // short documents, then a long one
  tern::token_windows windows(stream, 10, 3, 0);
  for (std::uint64_t i = 0; i < windows.per_epoch(); ++i) {
    const auto w = windows[i];
    REQUIRE(w.size() == 11);
    const auto place = static_cast<std::size_t>(w.data() - stream.data());
    if (place < 294) {
      REQUIRE(w[0] == 0);
    } else {
      REQUIRE(std::count(w.begin() + 1, w.end(), 0) == 0);
    }
  }
}
