#include "tern/io/packed_file.hpp"

#include <utility>

#include "tern/adapt/eigen.hpp"
#include "tern/io/checksum.hpp"
#include "tern/pack/two_bit.hpp"
#include "tern/quant/block.hpp"
#include "tests/message.hpp"
#include "tests/support.hpp"

using namespace tern;
using tern_test::message_of;

TEST_CASE("packed weights go to a file and are read where it is mapped", "[packed_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "w.tern";
  const matrix<float> w = matrix<float>::Random(37, 150);
  const ternary_weights<two_bit> packed(w, block<64>{});
  write_packed_file(path, packed.view());
  packed_file<two_bit> opened(path);
  const packed_file<two_bit> file = std::move(opened);
  matrix<float> expected(37, 150), got(37, 150);
  dequantize(packed.view(), matrix_view<float>(expected));
  dequantize(file.view(), matrix_view<float>(got));
  CHECK(got == expected);
  CHECK(file.view().packed.data != packed.view().packed.data);

  const auto bytes = mapped_file(path);
  const packed_header h = read_packed_header(bytes.bytes());
  CHECK(h.checksum == checksum::of(bytes.bytes().first(60)));
}

TEST_CASE("a damaged file is refused by name", "[packed_file]") {
  const tern_test::scratch_dir dir;
  const auto path = dir.path() / "w.tern";
  CHECK_THROWS_AS(packed_file<two_bit>(path), io_error);
  const matrix<float> w = matrix<float>::Random(5, 20);
  write_packed_file(path, ternary_weights<two_bit>(w, block<64>{}).view());
  std::string content(mapped_file(path).text());
  const auto refusal = [&](const std::string& text) {
    write_file(path, text);
    return message_of<format_error>([&] { packed_file<two_bit>{path}; });
  };
  CHECK(refusal(content) == "no error");
  CHECK(refusal("") == path.string() + ": packed weights: shorter than the header of 64 bytes");
  CHECK(refusal(content.substr(0, content.size() - 1)).starts_with(path.string() + ": "));
  content[9] = 1;
  CHECK(refusal(content) ==
        path.string() + ": packed weights: damaged: the header's checksum does not fit");
}
