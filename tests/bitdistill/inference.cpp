// The commands that run models: export, generate, eval --perplexity and bench, with a model that
// the program has trained.
#include <cmath>
#include <regex>

#include "program.hpp"

using namespace tern_test;

namespace {

/// A ternary model that was trained for a few steps, with its tokenizer, below `scratch`.
std::string ternary_model(const scratch_dir& scratch) {
  const auto at = [&](const char* name) { return (scratch.path() / name).string(); };
  write_text(at("corpus.txt"), small_corpus());
  const words corpus{"--corpus", at("corpus.txt")};
  REQUIRE(run_bitdistill(words{"pretrain", "--out", at("base")} + corpus + tiny() +
                         words{"pretraining.steps=12", "data.vocab_size=400"})
              .code == 0);
  REQUIRE(run_bitdistill(words{"pretrain", "--out", at("continual"), "--model",
                               at("base/stages/base"), "--ternary"} +
                         corpus + tiny_stages() + words{"continual.steps=9"})
              .code == 0);
  return at("continual/stages/continual");
}

outcome good(const words& arguments) {
  auto result = run_bitdistill(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

/// Bits per byte of a text, as --json prints it.
double bits_per_byte_of(const std::string& model, const std::string& corpus) {
  const auto out =
      good({"eval", "--model", model, "--perplexity", "--corpus", corpus, "--json"}).out;
  return nlohmann::json::parse(out).at("bits_per_byte").get<double>();
}

double perplexity_of(const std::string& model, const std::string& corpus) {
  const auto out = good({"eval", "--model", model, "--perplexity", "--corpus", corpus}).out;
  std::smatch found;
  REQUIRE(std::regex_search(out, found, std::regex("tokens \\| perplexity ([0-9.]+)")));
  return std::stod(found[1]);
}

void refused(const words& arguments, const std::string& text) {
  const auto result = run_bitdistill(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(lines_of(result.err).size() == 1);
  CHECK(result.err.find(text) != std::string::npos);
}

}  // namespace

TEST_CASE("exported models answer as the masters do") {
  const scratch_dir scratch;
  const auto at = [&](const char* name) { return (scratch.path() / name).string(); };
  const std::string masters = ternary_model(scratch), corpus = at("corpus.txt");
  const words prompt{"--prompt", "The 3th film", "--max-tokens", "12", "--kv", "f32"};
  const auto text = good(words{"generate", "--model", masters} + prompt);
  CHECK(text.out.size() > 3);
  CHECK(text.err.find(" + 12 tokens in ") != std::string::npos);
  CHECK(good(words{"generate", "--model", masters, "--temperature", "1", "--seed", "5"} + prompt)
            .out != text.out);
  const double expected = perplexity_of(masters, corpus);
  CHECK(expected > 1);
  CHECK(bits_per_byte_of(masters, corpus) > 0);
  CHECK(bits_per_byte_of(masters, corpus) < std::log2(expected));  // tokens have a byte at least

  for (const char* format : {"base3", "two_bit"}) {
    const std::string exact = at(format), eight = exact + "8", four = exact + "4";
    good({"export", "--model", masters, "--out", exact, "--format", format, "--head-bits", "32"});
    CHECK(good(words{"generate", "--model", exact} + prompt).out == text.out);
    CHECK(perplexity_of(exact, corpus) == Approx(expected).epsilon(1e-4));
    good({"export", "--model", masters, "--out", eight, "--format", format});
    CHECK(perplexity_of(eight, corpus) == Approx(expected).epsilon(0.02));
    good({"export", "--model", masters, "--out", four, "--format", format, "--head-bits", "4"});
    CHECK(perplexity_of(four, corpus) == Approx(expected).epsilon(0.2));
    CHECK(fs::file_size(fs::path(four) / "model.safetensors") <
          fs::file_size(fs::path(exact) / "model.safetensors"));
  }
  good({"export", "--model", masters, "--to", "bitnet", "--out", at("bitnet")});
  CHECK(perplexity_of(at("bitnet"), corpus) == Approx(expected).epsilon(1e-2));

  // Full precision goes to llama.cpp; its architectures have no place for SubLN.
  const std::string base = at("base/stages/base"), gguf = at("base.gguf");
  good({"export", "--model", base, "--to", "gguf", "--type", "f32", "--head-bits", "32", "--out",
        gguf});
  CHECK(good(words{"generate", "--model", gguf} + prompt).out ==
        good(words{"generate", "--model", base} + prompt).out);
  refused(
      {"export", "--model", masters, "--to", "gguf", "--head-bits", "32", "--out", at("no.gguf")},
      "would lose sub_ln");
  CHECK_FALSE(fs::exists(at("no.gguf")));
  const auto of_file =
      tern::parse_json(good({"bench", "--model", gguf, "--threads", "1", "--prompt-tokens", "8",
                             "--new-tokens", "4", "--json"})
                           .out,
                       "bench");
  CHECK(of_file.at(0).at("file_megabytes").get<double>() ==
        Approx(static_cast<double>(fs::file_size(gguf)) / 1e6));
  CHECK(of_file.at(0).at("prefill_of_peak").is_null());  // no linear is packed

  const auto cases = tern::parse_json(good({"bench", "--model", at("base3"), "--threads", "1,2",
                                            "--prompt-tokens", "8", "--new-tokens", "4", "--json"})
                                          .out,
                                      "bench");
  REQUIRE(cases.size() == 2);
  for (const auto& one : cases)
    for (const char* key : {"prefill_tokens_per_second", "decode_tokens_per_second",
                            "resident_megabytes", "file_megabytes", "load_ms"})
      CHECK(one.at(key).get<double>() > 0);
  for (const auto& one : cases)
    for (const char* key : {"prefill_of_peak", "decode_of_bandwidth"})
      CHECK((one.at(key).is_null() || one.at(key).get<double>() > 0));  // null: no loop measures it
  CHECK(cases[1].at("threads") == 2);

  const auto behind = tern::parse_json(good({"bench", "--model", at("base3"), "--threads", "1",
                                             "--prompt-tokens", "2", "--new-tokens", "3",
                                             "--context", "20,9", "--kv", "int8", "--json"})
                                           .out,
                                       "bench")
                          .at(0)
                          .at("contexts");
  REQUIRE(behind.size() == 2);
  CHECK(behind[0].at("positions") == 9);
  CHECK(behind[0].at("decode_tokens_per_second").get<double>() > 0);
  // A token reads one position more than the one before it: 11 and 22 positions in the mean.
  CHECK(2 * behind[0].at("cache_bytes_per_token").get<double>() ==
        behind[1].at("cache_bytes_per_token").get<double>());

  refused({"export", "--model", masters, "--out", at("base3")}, "exists already");
  refused({"generate", "--model", at("base3"), "--prompt", ""}, "the prompt is empty");
  refused({"generate", "--model", masters, "--prompt", "a", "--top-p", "2"}, "--top-p");
  refused({"eval", "--model", masters, "--perplexity"}, "needs a text: give it as --corpus");
  refused({"bench"}, "--shape NAME or --model");
  refused({"generate", "--model", at("none"), "--prompt", "a"}, "cannot read");
  refused(
      {"generate", "--model", masters, "--prompt", "a b c d e", "--context", "2", "--stop", "x"},
      "tokens, but --context allows 2");
}
