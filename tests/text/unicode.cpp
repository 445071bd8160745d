// Tests of UTF-8, NFC, the byte-level spelling and the cuts of pre-tokenizers.
#include <chrono>

#include "tern/core/utf8.hpp"
#include "tern/text/byte_level.hpp"
#include "tern/text/nfc.hpp"
#include "tern/text/pretokenizer.hpp"
#include "tern/text/unicode_class.hpp"
#include "tests/support.hpp"
#include "tests/text/nfc.hpp"

namespace {

std::vector<std::string> cut(std::string_view text,
                             std::string_view pattern = tern::qwen2_pattern) {
  std::vector<std::string> pieces;
  tern::pretokenizer({tern::split_step{std::string(pattern)}})
      .split(text, true, [&](std::string_view p) { pieces.emplace_back(p); });
  return pieces;
}

std::string nfc_of_all(const std::string& text) {
  std::string out;
  tern::detail::append_nfc(out, text);
  return out;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("every code point survives UTF-8 and back", "[text]") {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    std::string text;
    tern::append_utf8(text, c);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    if (tern::find_invalid_utf8(text) != (surrogate ? 0 : text.size())) FAIL("at " << +c);
    if (surrogate) continue;
    std::size_t at = 0;
    if (tern::next_code_point(text, at) != c || at != text.size()) FAIL("at " << +c);
    if (text.size() > 1 && tern::find_invalid_utf8(text.substr(0, text.size() - 1)) != 0)
      FAIL("cut at " << +c);
  }
}

TEST_CASE("the first malformed byte is found at every alignment", "[text]") {
  for (std::size_t at = 0; at < 20; ++at) {
    std::string text(24, 'x');
    CHECK(tern::find_invalid_utf8(text) == 24);
    text[at] = '\xFE';
    CHECK(tern::find_invalid_utf8(text) == at);
  }
}

TEST_CASE("NFC by parts equals NFC of the whole", "[text]") {
  CHECK(tern_test::nfc("plain caf\u00e9") == "plain caf\u00e9");
  CHECK(tern_test::nfc("e\u0301") == "\u00e9");
  CHECK(tern_test::nfc("\u00ea\u0301x") == "\u1ebfx");
  CHECK(tern_test::nfc("\u212b") == "\u00c5");
  CHECK(tern_test::nfc("\u1112\u1161\u11ab \u2260 =\u0338") == "\ud55c \u2260 \u2260");
  for (const char* before : {"", "a", "\u00e9", "\u0301", "\u1100", "\u4e00", "\U0001F600"})
    for (const char* middle : {"\u0301", "\u0323\u0307", "\u1161", "\u11a8", "\u0344", "\u2019"})
      for (const char* after : {"", "b", "\u00df", "\u0323", "\u0301c"}) {
        const auto text = std::string(before) + middle + after;
        CHECK(tern_test::nfc(text) == nfc_of_all(text));
        CHECK(tern_test::nfc(text + " " + text) == nfc_of_all(text + " " + text));
      }
}

TEST_CASE("every byte has its own byte-level character, and is read back", "[text]") {
  CHECK(tern::to_byte_level(" the\n") == "\u0120the\u010a");
  std::string all;
  for (const unsigned char byte : tern::byte_level_order) all.push_back(static_cast<char>(byte));
  CHECK(tern::from_byte_level(tern::to_byte_level(all)) == all);
  std::ranges::sort(all);
  CHECK(std::unique(all.begin(), all.end()) == all.end());
  CHECK(all.size() == 256);
  for (const char* none : {" ", "\u00ad", "\u0144", "\u4e00", "a\n"})
    CHECK(!tern::from_byte_level(none).has_value());
  CHECK(tern::from_byte_level("\u0143") == "\xAD");
}

TEST_CASE("the patterns of Qwen2 and GPT-2 cut as documented", "[text]") {
  CHECK(cut("I'll go, 12 x\n\n  y ") ==
        strings{"I", "'ll", " go", ",", " ", "1", "2", " x", "\n\n", " ", " y", " "});
  CHECK(cut("I'll go, 12", tern::gpt2_pattern) == strings{"I", "'ll", " go", ",", " 12"});
  CHECK(cut("xx--yy-", "-") == strings{"xx", "-", "-", "yy", "-"});
  CHECK(cut("ab", "x*") == strings{"ab"});  // an empty match does not count
}

TEST_CASE("U+180E is no white space, but U+0085 and U+00A0 are", "[text]") {
  CHECK(cut("\u180e\u180e", "\\s") == strings{"\u180e\u180e"});
  CHECK(cut("\u0085\u00a0", "\\s") == strings{"\u0085", "\u00a0"});
  CHECK(cut("a\\s", R"(\\s)") == strings{"a", "\\s"});
  CHECK(cut("a b", R"([^\S]+)") == strings{"a", " ", "b"});
}

TEST_CASE("splitting megabytes without a cut takes linear time", "[text]") {
  for (const char* unit : {" ", "a", "\n", "!", "\u4e00", " \n", "\u00a0", "'"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    const auto start = std::chrono::steady_clock::now();
    std::size_t bytes = 0;
    tern::pretokenizer({tern::split_step{std::string(tern::qwen2_pattern)}})
        .split(text, true, [&](std::string_view p) { bytes += p.size(); });
    CHECK(bytes == text.size());
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  }
}

TEST_CASE("word characters and white space are those of the Unicode properties", "[text]") {
  const tern::regex word(R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}])"), space(R"(\s)");
  const auto matches = [](const tern::regex& pattern, const std::string& text) {
    bool found = false;
    pattern.split(text, [&](std::string_view, bool matched) { found = matched; });
    return found;
  };
  // These ranges of Unicode have not changed for years, since PCRE2 and utf8proc may have different
  // versions of it.
  for (const auto& [first, last] : {std::pair{0x0u, 0x500u},
                                    {0x1680u, 0x1690u},
                                    {0x2000u, 0x2065u},
                                    {0x2460u, 0x2500u},
                                    {0x3000u, 0x3030u},
                                    {0x1F130u, 0x1F18Au}})
    for (char32_t c = first; c < last; ++c) {
      std::string text;
      tern::append_utf8(text, c);
      if (tern::begins_word(text) != matches(word, text)) FAIL("word " << +c);
      if (tern::is_white_space(c) != matches(space, text)) FAIL("space " << +c);
    }
  CHECK(tern::white_space_at_end("a \u3000\n") == 5);
  CHECK(tern::white_space_at_begin(" \u00a0") == 3);
  CHECK(tern::white_space_at_end("") == 0);
  CHECK(tern::ends_in_word("-\u00e9"));
}
