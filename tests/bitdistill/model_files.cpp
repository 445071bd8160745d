// Models as other people have them: which token ends a text, what stands beside the weights, chat
// templates, and vocabularies of another size than the model.
#include <fstream>

#include "program.hpp"
#include "tern/checkpoint/save_gguf.hpp"
#include "tern/checkpoint/save_model.hpp"
#include "tern/text/tokenizer_json.hpp"

using namespace tern_test;

namespace {

/// A folder with a model whose weights are 0, so that it finds every token equally probable and
/// greedily chooses the first one, which has the id 0.
class folder {
 public:
  explicit folder(tern::bpe_tokenizer tokenizer, std::size_t vocab_size = 320,
                  const char* model_type = "llama")
      : tokenizer_(std::move(tokenizer)) {
    tern::model_config c = tern::find_family(model_type)->defaults;
    c.vocab_size = vocab_size;
    c.hidden_size = 16;
    c.intermediate_size = 32;
    c.num_hidden_layers = 2;
    c.num_attention_heads = c.num_key_value_heads = 2;
    c.head_dim = 8;
    c.max_position_embeddings = 128;
    model.emplace(c);
    model->initialize(1);
    model->for_each_parameter([](auto& p) {
      auto w = p.view();
      if (p.is_vector()) return;
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t k = 0; k < w.cols; ++k) w(r, k) = 0;
    });
    tern::save_model(*model, path(), tern::storage::master);
    tokenizer_.save(path() / "tokenizer.json");
  }
  [[nodiscard]] fs::path path() const { return scratch_.path() / "m"; }
  [[nodiscard]] std::string at(const std::string& name) const {
    return (scratch_.path() / name).string();
  }
  void write(const std::string& name, const std::string& text) const {
    write_text(path() / name, text);
  }
  /// Adds a member to config.json.
  void configure(const std::string& key, const nlohmann::json& value) const {
    auto config = tern::read_json(path() / "config.json");
    config[key] = value;
    tern::write_json(path() / "config.json", config);
  }
  [[nodiscard]] outcome generate(const words& more) const {
    return run_bitdistill(words{"generate", "--model", path().string()} + more);
  }
  [[nodiscard]] const tern::bpe_tokenizer& tokenizer() const { return tokenizer_; }

  std::optional<tern::decoder<>> model;

 private:
  scratch_dir scratch_;
  tern::bpe_tokenizer tokenizer_;
};

tern::bpe_tokenizer with_special(std::vector<std::string> tokens) {
  return tern::bpe_tokenizer::train("", {.vocab_size = 300, .special_tokens = std::move(tokens)});
}

outcome completed(outcome result) {
  INFO(result.err);
  REQUIRE(result.code == 0);
  return result;
}

outcome completed(const words& arguments) { return completed(run_bitdistill(arguments)); }

void fails_with(const outcome& result, const std::string& text) {
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find(text) != std::string::npos);
}

/// Files of a task whose words are the two letters of the vocabulary.
std::string task_of_letters(const folder& f) {
  std::string rows = "text\tlabel\n";
  for (int i = 0; i < 8; ++i)
    rows += std::string(i % 2 == 0 ? "a b" : "b a") + "\t" + (i % 2 == 0 ? "0\n" : "1\n");
  write_text(f.at("data/train.tsv"), rows);
  write_text(f.at("data/dev.tsv"), rows);
  return f.at("data");
}

words training(const std::string& data, const std::string& stage) {
  return {"--task",
          "own",
          "--data",
          data,
          "--prompt",
          "{text} is",
          "--answer",
          "{label}",
          "--label-words",
          "a,b",
          "--threads",
          "1",
          "--set",
          stage + ".steps=1",
          stage + ".sequences=2",
          "data.prompt_tokens=32"};
}

}  // namespace

TEST_CASE("a text ends at the token that the model's files name") {
  const auto [name, file, content] = GENERATE(table<std::string, std::string, std::string>({
      {"a list", "generation_config.json", R"({"eos_token_id": [1, 0]})"},
      {"a number", "generation_config.json", R"({"eos_token_id": 0})"},
      {"a name", "tokenizer_config.json", R"({"eos_token": "<|fin|>"})"},
  }));
  INFO(name);
  const folder f(with_special({"<|fin|>", "<|pad|>"}));
  f.write(file, content);
  CHECK(
      completed(f.generate({"--prompt", "the cat", "--max-tokens", "4"})).err.find(" + 0 tokens") !=
      std::string::npos);
}

TEST_CASE("an ordinary entry with the name of an end ends nothing") {
  tern::bpe_definition d = with_special({"<|x|>"}).definition();
  d.added[0].id = 300;
  d.tokens[0] = "</s>";
  const folder f{tern::bpe_tokenizer(d)};
  f.configure("eos_token_id", 300);
  CHECK(completed(f.generate({"--prompt", "the", "--max-tokens", "3"})).out == "</s></s></s>\n");
}

TEST_CASE("--end-token names other ends") {
  const folder f(with_special({"<|a|>", "<|b|>"}));
  f.configure("eos_token_id", 0);
  const words prompt{"--prompt", "x", "--max-tokens", "2", "--end-token"};
  CHECK(completed(f.generate(prompt + words{"<|b|>"})).out == "<|a|><|a|>\n");
  CHECK(completed(f.generate(prompt + words{"<|b|>", "--end-token", "<|a|>"})).out == "\n");
  fails_with(f.generate(prompt + words{"<|c|>"}),
             "--end-token: the tokenizer has no token \"<|c|>\"");
}

TEST_CASE("ids without a token are never drawn") {
  const folder f(with_special({"<|endoftext|>"}), 4000);
  f.configure("eos_token_id", 3999);
  const auto result =
      completed(f.generate({"--prompt", "x", "--max-tokens", "40", "--temperature", "5"}));
  CHECK(result.out.size() > 20);
}

TEST_CASE("an export keeps what stands beside the weights") {
  const folder f(with_special({"<|begin|>", "<|fin|>", "<|turn|>"}));
  const std::map<std::string, std::string> files{
      {"generation_config.json", R"({ "eos_token_id": [1, 2]})"},
      {"tokenizer_config.json", R"({"bos_token": "<|begin|>", "eos_token": "<|turn|>"  })"},
      {"chat_template.jinja", "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"}};
  for (const auto& [name, content] : files) f.write(name, content);
  f.configure("eos_token_id", {1, 2});
  f.configure("bos_token_id", 0);
  const std::string form = GENERATE("bitnet", "packed");
  completed({"export", "--model", f.path().string(), "--to", form, "--out", f.at("out")});
  for (const auto& [name, content] : files) CHECK(bytes_of(f.at("out/" + name)) == content);
  const auto config = tern::read_json(f.at("out/config.json"));
  CHECK(config.at("eos_token_id") == nlohmann::json({1, 2}));
  CHECK(config.at("bos_token_id") == 0);
}

TEST_CASE("a GGUF export keeps ends and chat template") {
  const folder f(with_special({"<|begin|>", "<|fin|>", "<|turn|>"}));
  f.write("generation_config.json", R"({"eos_token_id": [1, 2]})");
  f.write("tokenizer_config.json", R"({"eos_token": "<|turn|>", "chat_template": "{{ 1 }}"})");
  completed({"export", "--model", f.path().string(), "--to", "gguf", "--out", f.at("m.gguf")});
  const tern::gguf_file file(f.at("m.gguf"));
  CHECK(file.metadata().get<int>("tokenizer.ggml.eos_token_id") == 2);
  CHECK(file.metadata().get<int>("tokenizer.ggml.eot_token_id") == 1);
  CHECK(file.metadata().get<std::string>("tokenizer.chat_template") == "{{ 1 }}");
}

TEST_CASE("a run separates texts by the model's own end and keeps what stands beside it") {
  const folder f(with_special({"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"}));
  const std::string generation = R"({"eos_token_id": [1, 2], "bos_token_id": 0})";
  f.write("generation_config.json", generation);
  f.configure("eos_token_id", {1, 2});
  completed(words{"finetune", "--model", f.path().string(), "--out", f.at("run")} +
            training(task_of_letters(f), "finetune"));
  for (const char* part : {"run/stages/finetune/", "run/models/finetune/"}) {
    CHECK(bytes_of(f.at(std::string(part) + "generation_config.json")) == generation);
    CHECK(tern::read_json(f.at(std::string(part) + "config.json")).at("eos_token_id") ==
          nlohmann::json({1, 2}));
  }
}

TEST_CASE("a model that names no end needs --separator") {
  const folder f(with_special({"<|x|>"}));
  const auto arguments = words{"finetune", "--model", f.path().string(), "--out", f.at("run")} +
                         training(task_of_letters(f), "finetune");
  fails_with(run_bitdistill(arguments), "(--separator) names the token between documents");
  fails_with(run_bitdistill(arguments + words{"--separator", "<|y|>"}),
             "data.separator: the tokenizer has no token \"<|y|>\"");
  completed(arguments + words{"--separator", "<|x|>"});
}

TEST_CASE("a chat is written with the model's own template") {
  const folder f(with_special({"<|begin|>", "<|fin|>"}));
  f.configure("eos_token_id", 1);
  f.write(
      "tokenizer_config.json",
      R"({"chat_template": "{% for m in messages %}<|begin|>{{ m.role }}:{{ m.content }}{% endfor %}"})");
  const words ask{"--chat", "--prompt", "hi", "--max-tokens", "0"};
  CHECK(completed(f.generate(ask)).err.starts_with("8 + 0 tokens"));
  CHECK(completed(f.generate(ask + words{"--system", "ab"})).err.starts_with("18 + 0 tokens"));
  fails_with(f.generate(ask + words{"--no-think"}), "has no enable_thinking");
}

TEST_CASE("a prompt that begins with two BOS tokens is said") {
  const auto [name, prompt, said] = GENERATE(table<std::string, std::string, bool>({
      {"BOS in the text, too", "<|begin|>hi", true},
      {"BOS of the tokenizer alone", "hi", false},
      {"a letter twice", "hh", false},
  }));
  INFO(name);
  tern::bpe_definition d = with_special({"<|begin|>", "<|fin|>"}).definition();
  d.prefix = {0};
  const folder f{tern::bpe_tokenizer(d)};
  const auto result = completed(f.generate({"--prompt", prompt, "--max-tokens", "0"}));
  INFO(result.err);
  CHECK((result.err.find("note: the prompt begins with <|begin|> twice") != std::string::npos) ==
        said);
}

TEST_CASE("a chat without a template that can be used is refused") {
  const auto [name, config, message] = GENERATE(table<std::string, std::string, std::string>({
      {"no template", "{}", "its tokenizer has no token <|im_start|>"},
      {"a statement", R"({"chat_template": "{% include 'x' %}"})",
       "the statement 'include' is not supported"},
      {"a token that is unknown", R"({"chat_template": "<|start|>{{ messages[0].content }}"})",
       "the chat template writes <|start|>, which is no token of the tokenizer"},
  }));
  INFO(name);
  const folder f(with_special({"<|fin|>"}));
  f.configure("eos_token_id", 0);
  f.write("tokenizer_config.json", config);
  fails_with(f.generate({"--chat", "--prompt", "hi", "--max-tokens", "0"}), message);
}

TEST_CASE("--tokenizer helps a file whose tokenizer cannot be read") {
  folder f(with_special({"<|fin|>"}));
  tern::save_gguf(*f.model, f.at("m.gguf"));
  const std::string gguf = f.at("m.gguf"), place = (f.path() / "tokenizer.json").string();
  write_text(f.at("text.txt"), "ab ab\n\nba\n");
  for (const words& command : {words{"generate", "--prompt", "x", "--max-tokens", "1"},
                               words{"export", "--to", "gguf", "--out", f.at("copy.gguf")},
                               words{"eval", "--perplexity", "--corpus", f.at("text.txt")}}) {
    INFO(command[0]);
    const words arguments = command + words{"--model", gguf};
    CHECK(run_bitdistill(arguments).code == 2);
    completed(arguments + words{"--tokenizer", place});
  }
}

TEST_CASE("a teacher may have a vocabulary that is padded otherwise, but no other tokenizer") {
  const folder student(with_special({"<|endoftext|>"}), 300);
  const folder padded(with_special({"<|endoftext|>"}), 512);
  tern::bpe_definition d = with_special({"<|endoftext|>"}).definition();
  std::swap(d.tokens[5], d.tokens[6]);
  const folder other{tern::bpe_tokenizer(d), 300};
  const auto distill = [&](const folder& teacher, const char* out) {
    return run_bitdistill(words{"distill", "--model", student.path().string(), "--teacher",
                                teacher.path().string(), "--out", student.at(out)} +
                          training(task_of_letters(student), "distill") +
                          words{"distill.losses.relations.split_heads=2"});
  };
  completed(distill(padded, "run"));
  fails_with(distill(other, "other"), "has another tokenizer than the student: id 5 is");
}
