// The commands of tern that the scripts beside this file run: `sample OUT` writes a GGUF file of
// every type that tern encodes, `decode IN OUT` writes all tensors of a file as F32, `tokenize IN
// TEXTS` prints the ids of each text (separated by NUL), a line each, with the tokenizer of a file,
// `logits MODEL OUT ID...` writes the logits behind each token of a sequence, `model FAMILY TYPE
// OUT PLACEMENT` writes a random model with a small tokenizer, and with norms at that place.
#include <array>
#include <cmath>
#include <exception>
#include <iostream>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/read_gguf_tokenizer.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/gguf/writer.hpp"

namespace {

void sample(const std::string& out) {
  std::vector<float> values(3 * 512);
  std::vector<std::int8_t> codes(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 3 * std::sin(0.37f * static_cast<float>(i * i % 211));
    codes[i] = static_cast<std::int8_t>(static_cast<int>((7 * i + i / 5 + i / 31) % 3) - 1);
  }
  const float scale = 0.0437f;
  const tern::matrix_view<const float> m(values.data(), 3, 512);
  const tern::ternary_codes ternary{{codes.data(), 3, 512}, {&scale, 1, 1}, {3, 512}};
  using enum tern::ggml_type;
  tern::gguf_writer file;
  file.metadata("general.architecture", "tern");
  file.metadata("tern.layers", std::uint32_t{7});
  file.metadata("tern.eps", 1e-6f);
  file.metadata("tern.flag", true);
  file.metadata_list("tern.words", std::vector<std::string>{"a", "\u0120b", ""});
  file.metadata_list("tern.numbers", std::vector<std::int32_t>{-1, 0, 7});
  file.add_matrix("F32", m, f32);
  file.add_matrix("F16", m, f16);
  file.add_matrix("BF16", m, bf16);
  file.add_matrix("Q8_0", m, q8_0);
  file.add_ternary("TQ1_0", ternary, tq1_0);
  file.add_ternary("TQ2_0", ternary, tq2_0);
  file.add_row("norm", m.row(1));
  file.write(out);
}

void decode(const std::string& in, const std::string& out) {
  const tern::gguf_file file(in);
  std::list<std::vector<float>> values;
  tern::gguf_writer decoded;
  for (const auto& t : file.tensors()) {
    if (tern::ggml_type_name(t.type) == "IQ4_NL") continue;  // tern does not decode it
    values.push_back(tern::read_values(t));
    decoded.add_bytes(t.name, tern::ggml_type::f32, t.shape,
                      std::as_bytes(std::span(values.back())));
  }
  decoded.write(out);
}

void tokenize(const std::string& in, const std::string& texts_file) {
  const tern::gguf_file file(in);
  const auto tokenizer = tern::read_gguf_tokenizer(file.metadata());
  const tern::mapped_file texts(texts_file);
  std::string_view rest = texts.text();
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    const std::string_view text = rest.substr(0, end);
    for (const auto id : tokenizer.encode(text)) std::cout << id << ' ';
    std::cout << '\n';
    if (tokenizer.decode(tokenizer.encode(text)) != text) throw tern::error("does not decode back");
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

void logits(const std::string& in, const std::string& out, std::span<const std::string> ids) {
  auto model = tern::load_model<>(in);
  std::vector<std::int32_t> tokens;
  for (const auto& id : ids) tokens.push_back(std::stoi(id));
  tern::token_batch batch;
  batch.add(tokens);
  tern::tape<float> t({}, false);
  const auto y = model.logits(t, model.hidden(t, batch)).value;
  tern::gguf_writer file;
  file.add_matrix("logits", tern::matrix_view<const float>(y));
  file.write(out);
}

/// A tokenizer with all bytes, a few words, and the token that ends a text.
tern::bpe_tokenizer small_tokenizer() {
  tern::bpe_definition d;
  for (int byte = 0; byte < 256; ++byte) d.tokens.emplace_back(1, static_cast<char>(byte));
  for (const auto& [left, right] : {std::pair{'h', 'e'}, {' ', 't'}, {'i', 'n'}, {'a', 'n'}}) {
    d.tokens.push_back({left, right});
    d.merges.emplace_back(left, right);
  }
  d.added.push_back({"<|endoftext|>", 270, true});
  return tern::bpe_tokenizer(std::move(d));
}

void model(const std::string& model_type, tern::ggml_type type, const std::string& out,
           const std::string& placement) {
  const auto* family = tern::find_family(model_type);
  if (family == nullptr) throw tern::error("no family " + model_type);
  tern::model_config c = family->defaults;
  c.vocab_size = 288;
  c.hidden_size = 256;
  c.intermediate_size = 512;
  c.num_hidden_layers = 3;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 64;
  c.max_position_embeddings = 128;
  c.initializer_range = 0.1;
  c.tie_word_embeddings = model_type != "qwen2";
  if (placement == "all") c.sub_ln = tern::norm_placement::all;
  c.sub_ln_eps = c.rms_norm_eps;
  c.ternary = tern::is_ternary(type);
  if (model_type == "bitnet") c.hidden_act = tern::activation::silu;  // as in llama.cpp
  if (model_type == "llama") c.rope_scaling = {tern::rope_scaling_kind::llama3, 8, 1, 4, 32};
  if (model_type == "gemma3_text") {
    c.query_pre_attn_scalar = c.head_dim;
    c.sliding_window = 8;
    c.sliding_layers = {true, false, true};
    c.rope_scaling = {.kind = tern::rope_scaling_kind::linear, .factor = 8};
  }
  tern::decoder<> random(c);
  random.initialize(7);
  std::uint64_t stream = 0;
  random.for_each_parameter([&](auto& p) {
    if (p.is_vector()) p.fill_normal(0.3, tern::philox(8, ++stream));
    if (p.is_vector() && p.name.ends_with("norm.weight"))
      for (float& x : p.value.reshaped()) x += 1;
  });
  const auto tokenizer = small_tokenizer();
  save_gguf(random, out, {type, tern::ggml_type::f32}, &tokenizer);
}

tern::ggml_type type_named(const std::string& name) {
  for (const auto& each : tern::detail::ggml_types)
    if (each.name == name) return each.type;
  throw tern::error("no type " + name);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> args(argv + 1, argv + argc);
    if (args.size() == 2 && args[0] == "sample") return sample(args[1]), 0;
    if (args.size() == 3 && args[0] == "decode") return decode(args[1], args[2]), 0;
    if (args.size() == 3 && args[0] == "tokenize") return tokenize(args[1], args[2]), 0;
    if (args.size() > 3 && args[0] == "logits")
      return logits(args[1], args[2], std::span(args).subspan(3)), 0;
    if (args.size() == 5 && args[0] == "model")
      return model(args[1], type_named(args[2]), args[3], args[4]), 0;
    std::cerr << "usage: sample OUT | decode IN OUT | tokenize IN TEXTS | logits MODEL OUT ID... | "
                 "model FAMILY TYPE OUT PLACEMENT\n";
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
  }
  return 1;
}
