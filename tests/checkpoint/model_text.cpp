// What belongs to a model besides its weights: how it is read, kept and written.
#include "tern/checkpoint/model_text.hpp"

#include <fstream>

#include "tern/checkpoint/save_gguf.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/checkpoint/save_model_text.hpp"
#include "tests/message.hpp"
#include "tests/small_decoder.hpp"
#include "tests/support.hpp"

namespace {

using namespace tern;
namespace fs = std::filesystem;
using ids = std::vector<std::int32_t>;
using nlohmann::json;

bpe_tokenizer with_special(std::vector<std::string> tokens) {
  return bpe_tokenizer::train("", {.vocab_size = 300, .special_tokens = std::move(tokens)});
}

/// A folder with a tokenizer whose special tokens are <a>, <b>, <c> and <|im_end|>.
struct folder {
  folder() { with_special({"<a>", "<b>", "<c>", "<|im_end|>"}).save(at("tokenizer.json")); }
  [[nodiscard]] fs::path at(const std::string& name) const { return scratch.path() / name; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(at(name).parent_path());
    std::ofstream(at(name), std::ios::binary) << text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream in(at(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  tern_test::scratch_dir scratch;
};

}  // namespace

TEST_CASE("ends come from the first file that names them", "[model_text]") {
  const auto [name, generation, config, tokenizer, ends] =
      GENERATE(table<std::string, std::string, std::string, std::string, ids>({
          {"a list", R"({"eos_token_id": [2, 1]})", R"({"eos_token_id": 0})", "{}", {2, 1}},
          {"a number", R"({"eos_token_id": 2})", "{}", "{}", {2}},
          {"config.json", R"({"eos_token_id": null})", R"({"eos_token_id": [0, 1]})", "{}", {0, 1}},
          {"an empty list", R"({"eos_token_id": []})", R"({"eos_token_id": 1})", "{}", {1}},
          {"-1", R"({"eos_token_id": -1})", R"({"eos_token_id": 1})", "{}", {1}},
          {"a name", "{}", "{}", R"({"eos_token": "<c>"})", {2}},
          {"a name as an object", "{}", "{}", R"({"eos_token": {"content": "<b>"}})", {1}},
          {"a name that no token has", "{}", "{}", R"({"eos_token": "<z>"})", {3}},
          {"nothing", "{}", "{}", "{}", {3}},
      }));
  INFO(name);
  const folder f;
  f.write("generation_config.json", generation);
  f.write("config.json", config);
  f.write("tokenizer_config.json", tokenizer);
  const auto text = load_model_text(f.scratch.path());
  CHECK(text.conventions.ends == ends);
  CHECK(text.notes.size() == (ends == ids{3} ? 1 : 0));
}

TEST_CASE("the guess of an end is said", "[model_text]") {
  const folder f;
  const auto notes = load_model_text(f.scratch.path()).notes;
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].ends_with("no file says which token ends a text; by its name it is <|im_end|>"));
}

TEST_CASE("an end that is no number is refused by file and key", "[model_text]") {
  const folder f;
  f.write("generation_config.json", R"({"eos_token_id": "<c>"})");
  const auto message =
      tern_test::message_of<config_error>([&] { load_model_text(f.scratch.path()); });
  CHECK(message.find("generation_config.json: key 'eos_token_id': expected an integer") !=
        message.npos);
}

TEST_CASE("added tokens come from other files than tokenizer.json, too", "[model_text]") {
  const auto [name, file, content, expected] =
      GENERATE(table<std::string, std::string, std::string, ids>({
          {"by id",
           "tokenizer_config.json",
           R"({"added_tokens_decoder": {"260": {"content": "<z>", "special": true}}})",
           {260}},
          {"in the order of ids",
           "tokenizer_config.json",
           R"({"added_tokens_decoder": {"261": {"content": "<z>"}, "260": {"content": "<y>"}}})",
           {261}},
          {"behind a hole",
           "tokenizer_config.json",
           R"({"added_tokens_decoder": {"270": {"content": "<z>"}}})",
           {260}},
          {"added_tokens.json", "added_tokens.json", R"({"<z>": 260})", {260}},
          {"an entry of the vocabulary", "added_tokens.json", R"({"<z": 1})", {259, 32}},
          {"a byte", "added_tokens.json", R"({"z": 1})", {30, 92, 32}},
          {"nothing", "added_tokens.json", R"({"": 260})", {30, 92, 32}},
      }));
  INFO(name);
  const folder f;
  bpe_definition plain = with_special({"<a>", "<b>", "<c>"}).definition();
  plain.decode_only.emplace_back(259, "<z");
  bpe_tokenizer(plain).save(f.at("tokenizer.json"));
  f.write(file, content);
  CHECK(load_tokenizer(f.scratch.path()).encode("<z>", added_text::recognise) == expected);
}

TEST_CASE("a key that is no token id is refused", "[model_text]") {
  const folder f;
  f.write("tokenizer_config.json", R"({"added_tokens_decoder": {"a": {"content": "<z>"}}})");
  CHECK(tern_test::message_of<config_error>([&] { load_model_text(f.scratch.path()); })
            .ends_with("tokenizer_config.json: key 'added_tokens_decoder': expected token ids as "
                       "keys, got \"a\""));
}

TEST_CASE("begin and filling come from the files, too", "[model_text]") {
  const folder f;
  f.write("config.json", R"({"bos_token_id": 1, "pad_token_id": null})");
  f.write("tokenizer_config.json", R"({"bos_token": "<a>", "pad_token": "<c>"})");
  const auto c = load_model_text(f.scratch.path()).conventions;
  CHECK(c.bos == 1);
  CHECK(c.pad == 2);
  CHECK(c.names == std::map<std::string, std::string>{{"bos_token", "<a>"}, {"pad_token", "<c>"}});
}

TEST_CASE("the chat template has several places", "[model_text]") {
  const folder f;
  const auto read = [&] { return load_model_text(f.scratch.path()).conventions.chat_template; };
  CHECK(read().empty());
  f.write("chat_template.json", R"({"chat_template": "old"})");
  CHECK(read() == "old");
  f.write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}]})");
  CHECK(read() == "d");
  f.write("tokenizer_config.json", R"({"chat_template": "one"})");
  CHECK(read() == "one");
  f.write("chat_template.jinja", "file");
  CHECK(read() == "file");
}

TEST_CASE("the files beside the weights are kept byte for byte", "[model_text]") {
  const folder f, to;
  const std::map<std::string, std::string> files{
      {"config.json", R"({"eos_token_id": [1, 2], "bos_token_id": 0, "vocab_size": 5})"},
      {"generation_config.json", R"({ "eos_token_id":[1,2] , "top_k": 20})"},
      {"tokenizer_config.json", R"({"eos_token": "<b>"   })"},
      {"special_tokens_map.json", "{ }"},
      {"chat_template.jinja", "{{ bos_token }}\n\n"},
      {"additional_chat_templates/tools.jinja", "x"}};
  for (const auto& [name, content] : files) f.write(name, content);
  to.write("config.json", R"({"vocab_size": 7})");
  fs::remove(to.at("tokenizer.json"));
  save_model_text(load_model_text(f.scratch.path()), to.scratch.path());
  for (const auto& [name, content] : files) {
    INFO(name);
    if (name != "config.json") CHECK(to.read(name) == content);
  }
  CHECK(to.read("tokenizer.json") == f.read("tokenizer.json"));
  CHECK(json::parse(to.read("config.json")) ==
        json{{"vocab_size", 7}, {"eos_token_id", {1, 2}}, {"bos_token_id", 0}});
}

TEST_CASE("files that a folder has already stay", "[model_text]") {
  const folder f, to;
  f.write("config.json", R"({"eos_token_id": 1})");
  f.write("tokenizer_config.json", "{}");
  to.write("config.json", R"({"eos_token_id": 2})");
  to.write("tokenizer_config.json", R"({"a": 1})");
  save_model_text(load_model_text(f.scratch.path()), to.scratch.path());
  CHECK(to.read("config.json") == R"({"eos_token_id": 2})");
  CHECK(to.read("tokenizer_config.json") == R"({"a": 1})");
}

TEST_CASE("a model without a tokenizer keeps its other files", "[model_text]") {
  const folder f;
  fs::remove(f.at("tokenizer.json"));
  f.write("generation_config.json", R"({"eos_token_id": 1})");
  const auto text = load_model_text(f.scratch.path());
  CHECK_FALSE(text.tokenizer);
  CHECK(text.files.contains("generation_config.json"));
  const auto message = tern_test::message_of<config_error>(
      [&] { static_cast<void>(text.required(f.scratch.path())); });
  CHECK(message.find("tokenizer.json'; --tokenizer names a tokenizer") != message.npos);
}

TEST_CASE("the tokenizer may come from another place", "[model_text]") {
  const folder model, other;
  fs::remove(model.at("tokenizer.json"));
  model.write("config.json", R"({"eos_token_id": 1})");
  model.write("generation_config.json", R"({"eos_token_id": 2})");
  other.write("generation_config.json", R"({"eos_token_id": 0})");
  other.write("tokenizer_config.json", R"({"bos_token": "<a>"})");
  const bool file = GENERATE(false, true);
  const auto text = load_model_text(model.scratch.path(),
                                    file ? other.at("tokenizer.json") : other.scratch.path());
  CHECK(text.tokenizer->token_id("<c>") == 2);
  CHECK(text.conventions.ends == ids{2});
  CHECK(text.files.at("tokenizer.json") == other.read("tokenizer.json"));
  CHECK(text.files.at("generation_config.json") == R"({"eos_token_id": 2})");
  CHECK(text.conventions.bos.has_value() != file);
}

TEST_CASE("a new model says its end to other programs", "[model_text]") {
  const folder to;
  fs::remove(to.at("tokenizer.json"));
  to.write("config.json", "{}");
  save_model_text(new_model_text(with_special({"<e>"}), 0), to.scratch.path());
  CHECK(json::parse(to.read("config.json")) == json{{"eos_token_id", 0}});
  CHECK(json::parse(to.read("generation_config.json")) == json{{"eos_token_id", 0}});
  CHECK(json::parse(to.read("tokenizer_config.json")).at("eos_token") == "<e>");
  CHECK(load_model_text(to.scratch.path()).conventions.ends == ids{0});
}

TEST_CASE("a GGUF file keeps ends and the chat template", "[model_text]") {
  const folder f;
  const auto tokenizer = with_special({"<a>", "<b>", "<c>", "<d>"});
  text_conventions c;
  c.bos = 0;
  c.pad = 3;
  c.ends = {1, 2, 3};
  c.tokenizer_end = 2;
  c.chat_template = "{{ x }}";
  auto model = tern_test::small_decoder(264, 1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer, c);
  const gguf_file file(f.at("m.gguf"));
  CHECK(file.metadata().get<int>("tokenizer.ggml.eos_token_id") == 2);
  CHECK(file.metadata().get<int>("tokenizer.ggml.eot_token_id") == 1);
  CHECK(file.metadata().get<int>("tokenizer.ggml.eom_token_id") == 3);
  CHECK(file.metadata().get<std::string>("tokenizer.chat_template") == "{{ x }}");
  const auto again = load_model_text(f.at("m.gguf"));
  CHECK(again.conventions.ends == ids{2, 1, 3});
  CHECK(again.conventions.bos == 0);
  CHECK(again.conventions.pad == 3);
  CHECK(again.conventions.chat_template == "{{ x }}");
  CHECK(again.notes.empty());
}

TEST_CASE("a folder that comes from a GGUF file says the same to transformers", "[model_text]") {
  const folder f, to;
  fs::remove(to.at("tokenizer.json"));
  const auto tokenizer = with_special({"<a>", "<b>", "<|im_end|>"});
  auto model = tern_test::small_decoder(264, 1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer,
            {.bos = 0, .ends = {1, 2}, .chat_template = "{{ x }}"});
  save_model(model, to.scratch.path(), storage::master);
  save_model_text(load_model_text(f.at("m.gguf")), to.scratch.path());
  const auto config = json::parse(to.read("config.json"));
  CHECK(config.at("eos_token_id") == json({1, 2}));
  CHECK(config.at("bos_token_id") == 0);
  const auto tokens = json::parse(to.read("tokenizer_config.json"));
  CHECK(tokens.at("eos_token") == "<b>");
  CHECK(tokens.at("bos_token") == "<a>");
  CHECK(tokens.at("chat_template") == "{{ x }}");
  CHECK(json::parse(to.read("generation_config.json")).at("eos_token_id") == json({1, 2}));
}

TEST_CASE("control tokens of a GGUF file that end a message by their names end a text",
          "[model_text]") {
  const folder f;
  const auto tokenizer = with_special({"<a>", "<|im_end|>"});
  auto model = tern_test::small_decoder(264, 1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer, {.ends = {0}});
  CHECK(load_model_text(f.at("m.gguf")).conventions.ends == ids{0, 1});
}

TEST_CASE("ByteLevel with its own pattern is a preset of GGUF", "[model_text]") {
  const bool digits = GENERATE(false, true);
  const folder f;
  auto definition = with_special({"<|endoftext|>"}).definition();
  definition.normalizer.clear();
  definition.pretokenizer = {byte_level_step{false, true}};
  if (digits) definition.pretokenizer.insert(definition.pretokenizer.begin(), split_step{"\\p{N}"});
  const bpe_tokenizer tokenizer(definition);
  auto model = tern_test::small_decoder(264, 1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer);
  CHECK(gguf_file(f.at("m.gguf")).metadata().get<std::string>("tokenizer.ggml.pre") ==
        (digits ? "smollm" : "gpt-2"));
  const std::string text = "It's 2024, isn't  it?";
  CHECK(load_tokenizer(f.at("m.gguf")).encode(text) == tokenizer.encode(text));
}

TEST_CASE("a tokenizer of SentencePiece goes with its model", "[model_text]") {
  const bool gemma = GENERATE(false, true);
  const auto source = fs::path(__FILE__).parent_path().parent_path() / "oracle" /
                      (gemma ? "sentencepiece_gemma.gguf" : "sentencepiece_llama.gguf");
  const auto tokenizer = load_tokenizer(source);
  const folder f;
  auto config = tern_test::small_config(264);
  config.vocab_size = tokenizer.vocab_size() + 3;
  decoder<> model(config);
  model.initialize(1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer);
  CHECK(gguf_file(f.at("m.gguf")).metadata().get<std::string>("tokenizer.ggml.model") == "llama");
  const auto again = load_tokenizer(f.at("m.gguf"));
  CHECK(again.definition().merges == tokenizer.definition().merges);
  for (const std::string text : {"Hello  world", " a\n\tb", "\u65e5\u672c <s>"})
    CHECK(again.encode(text) == tokenizer.encode(text));
}

TEST_CASE("merges that scores cannot express are refused", "[model_text]") {
  const folder f;
  bpe_definition d;
  d.tokens = {"a", "b", "c", "ab", "bc", "abc", "\u2581"};
  d.merges = {{0, 1}, {1, 2}, {3, 2}};  // a and bc are not joined
  d.normalizer = {replace_all{" ", "\u2581"}};
  d.pretokenizer.clear();
  d.decode = {replace_all{"\u2581", " "}, true, 0};
  d.unknown.byte_fallback = true;
  auto model = tern_test::small_decoder(264, 1);
  const auto save = [&] {
    const bpe_tokenizer tokenizer(d);
    save_gguf(model, f.at("m.gguf"), {}, &tokenizer);
  };
  CHECK(tern_test::message_of<config_error>(save).starts_with("no scores of SentencePiece"));
  d.merges.push_back({0, 4});
  CHECK(tern_test::message_of<config_error>(save) == "no error");
}

TEST_CASE("a GGUF file leaves out added tokens for which the model has no row", "[model_text]") {
  const folder f;
  auto definition = with_special({"<a>"}).definition();
  definition.added.push_back({"<pad>", 264});
  const bpe_tokenizer tokenizer(definition);
  auto model = tern_test::small_decoder(264, 1);
  save_gguf(model, f.at("m.gguf"), {}, &tokenizer);
  CHECK_FALSE(load_tokenizer(f.at("m.gguf")).token_id("<pad>"));
}
