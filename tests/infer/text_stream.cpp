#include "tern/infer/text_stream.hpp"

#include <string>
#include <vector>

#include "tests/support.hpp"

using tern::text_stream;

namespace {

/// The pieces that are shown after each token, with "|" between them.
std::string shown(text_stream& s, const std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& t : tokens) all.append(s.push(t)).append("|");
  return all.append(s.finish());
}

}  // namespace

TEST_CASE("characters are shown when they are complete") {
  text_stream s;
  CHECK(shown(s, {"a", "\xE2", "\x82", "\xAC", "b\xF0\x9F", "\x98\x80", "\xC3"}) ==
        "a|||\xE2\x82\xAC|b|\xF0\x9F\x98\x80||\xC3");
}

TEST_CASE("bytes that are not UTF-8 are not held back") {
  text_stream s;
  CHECK(shown(s, {"\x80\x80\x80\x80", "\xFF", "x"}) == "\x80\x80\x80\x80||\xFFx|");
}

TEST_CASE("a stop string ends the text however it is split into tokens") {
  const std::string text = "one, two</s>three";
  for (std::size_t cut = 1; cut <= text.size(); ++cut) {
    text_stream s({"</s>", "", "zzz"});
    std::string all;
    for (std::size_t i = 0; i < text.size(); i += cut) {
      all.append(s.push(text.substr(i, cut)));
      CHECK(all == std::string("one, two").substr(0, all.size()));
    }
    all.append(s.finish());
    CHECK(all == "one, two");
    CHECK(s.stopped());
  }
}

TEST_CASE("the beginning of a stop string is shown if the rest does not follow") {
  text_stream s({"aab", "abc"});
  CHECK(shown(s, {"xaa", "ac", "a"}) == "x|aaac||a");
  CHECK_FALSE(s.stopped());
}

TEST_CASE("the first of several stop strings counts") {
  text_stream s({"b", "ab"});
  CHECK(shown(s, {"xaby"}) == "x|");
}

TEST_CASE("a stop string may be the first token") {
  text_stream s({"x"});
  CHECK(shown(s, {"x", "y"}) == "||");
}
