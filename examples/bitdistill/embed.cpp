// The command embed: one vector for each line of the standard input.
#include <fmt/core.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "standard_output.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/pooling_files.hpp"
#include "tern/core/atomic_file.hpp"
#include "tern/core/byte_order.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/core/utf8.hpp"
#include "tern/infer/pool.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

/// The rule of the model's files, with what the options say instead.
tern::pooling_rule rule_of(const options& o) {
  const auto stored = tern::read_pooling(o.model);
  auto rule = stored.value_or(tern::pooling_rule{});
  for (const auto& [name, kind] : tern::pooling_names)
    if (o.pooling == name) rule.kind = kind;
  if (!o.norm.empty()) rule.normalize = o.norm == "l2";
  if (!stored && o.pooling.empty())
    fmt::print(stderr,
               "bitdistill: note: {}: no file says how hidden states become an embedding; the last "
               "token counts\n",
               o.model);
  return rule;
}

/// Collects texts and embeds them together, in their order.
class text_embedder {
 public:
  text_embedder(const options& o, const tern::bpe_tokenizer& tokenizer)
      : model_(tern::load_model<>(o.model)),
        tokenizer_(&tokenizer),
        rule_(rule_of(o)),
        threads_(o.threads) {}

  [[nodiscard]] std::size_t width() const { return model_.config().hidden_size; }
  [[nodiscard]] bool full() const { return batch_.tokens.size() >= 1024; }

  /// Adds line `number`, which is counted from 1.
  void add(const std::string& text, std::size_t number) {
    const auto fail = [&](const std::string& what) {
      throw tern::config_error(fmt::format("line {} of the standard input {}", number, what));
    };
    if (tern::find_invalid_utf8(text) != text.size()) fail("is not UTF-8");
    const auto ids =
        tokenizer_->encode(text, tern::added_text::recognise, tern::special_tokens::add);
    const std::size_t most = model_.config().max_position_embeddings;
    if (ids.empty()) fail("has no tokens");
    if (ids.size() > most)
      fail(fmt::format("has {} tokens; the model reads at most {} (max_position_embeddings)",
                       ids.size(), most));
    batch_.add(ids);
  }

  /// Calls f(embedding, number of tokens) for each text that was added since the last call.
  template <class F>
  void flush(F&& f) {
    const std::size_t n = batch_.sequences(), d = width();
    values_.resize(n * d);
    tern::embed(model_, batch_, rule_, {values_.data(), n, d}, threads_);
    for (std::size_t i = 0; i < n; ++i)
      f(std::span<const float>(values_).subspan(i * d, d),
        batch_.offsets[i + 1] - batch_.offsets[i]);
    batch_.clear();
  }

 private:
  tern::decoder<> model_;
  const tern::bpe_tokenizer* tokenizer_;
  tern::pooling_rule rule_;
  tern::thread_pool threads_;
  tern::token_batch batch_;
  std::vector<float> values_;
};

/// The numbers with a separator between them, each as the shortest text of the same float.
std::string numbers_text(std::span<const float> x, std::string_view separator) {
  std::string text;
  for (const float value : x) {
    if (!text.empty()) text += separator;
    text += fmt::format("{}", value);
  }
  return text;
}

/// The bytes of an array of floats (rows, columns) as NumPy stores it, in version 1.0 of its
/// format.
std::string npy_bytes(std::span<const float> values, std::size_t rows, std::size_t columns) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
  const std::string_view magic("\x93NUMPY\x01\x00", 8);
  while ((magic.size() + 2 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes(magic);
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return bytes;
}

}  // namespace

void embed(const options& o) {
  if (!o.out.empty()) {
    tern::require_little_endian(o.out, "a .npy file");
    if (std::filesystem::exists(o.out)) throw tern::config_error("'" + o.out + "' exists already");
  }
  const auto text = read_text_of(o.model, o.tokenizer);
  text_embedder texts(o, text.required(o.model));
  std::vector<float> all;
  std::size_t written = 0;
  const auto write = [&](std::span<const float> x, std::size_t tokens) {
    if (!o.out.empty())
      all.insert(all.end(), x.begin(), x.end());
    else if (o.json)
      put(fmt::format("{{\"index\":{},\"tokens\":{},\"embedding\":[{}]}}\n", written, tokens,
                      numbers_text(x, ",")));
    else
      put(numbers_text(x, " ") + "\n");
    ++written;
  };
  std::string line;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    texts.add(line, number);
    if (!texts.full()) continue;
    texts.flush(write);
    require_output();  // nobody could read what follows
  }
  texts.flush(write);
  require_output();
  if (o.out.empty()) return;
  tern::write_file(o.out, npy_bytes(all, written, texts.width()));
  fmt::print("{}: {} embeddings of {} numbers\n", o.out, written, texts.width());
}

}  // namespace bitdistill
