// The options of all subcommands. Each option is defined once and added where it applies.
#include "options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "applicable.hpp"
#include "arguments.hpp"
#include "numbers.hpp"
#include "standard_output.hpp"
#include "tern/core/utf8.hpp"
#include "tern/data/named_task.hpp"
#include "tern/version.hpp"

namespace bitdistill {
namespace {

std::string version_text() {
  return fmt::format("bitdistill {}.{}.{}", TERN_VERSION_MAJOR, TERN_VERSION_MINOR,
                     TERN_VERSION_PATCH);
}

/// The result of f. Its std::invalid_argument becomes an error of the parser that names the option.
template <class F>
auto checked(const char* name, F&& f) {
  try {
    return f();
  } catch (const std::invalid_argument& e) {
    throw CLI::ValidationError(name, e.what());
  }
}

class command_line {
 public:
  explicit command_line(options& values) : o(values) {
    app.name("bitdistill");
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", version_text());
    app.footer("Each subcommand has its own --help with examples.");
    add_demo();
    add_run();
    add_plan();
    add_tokenizer();
    add_pretrain();
    add_finetune();
    add_distill();
    add_eval();
    add_inspect();
    add_report();
    add_watch();
    add_generate();
    add_embed();
    add_quantize();
    add_export();
    add_serve();
    add_bench();
    take_values_literally(app);
  }

  CLI::App app{
      "Makes full-precision language models ternary (1.58 bits) and keeps their accuracy: "
      "BitNet Distillation."};

 private:
  static constexpr const char* demo_directory = "runs/demo";
  static constexpr std::uint64_t most_threads = 1024;

  CLI::App* subcommand(const char* name, const char* what, const char* examples) {
    CLI::App* c = app.add_subcommand(name, what);
    c->footer(std::string("Examples:\n") + examples);
    c->parse_complete_callback([this, name] { o.command = name; });
    return c;
  }

  void add_demo() {
    auto* c = subcommand("demo", "Run the whole method on the embedded language, in minutes",
                         "  bitdistill demo\n"
                         "  bitdistill demo --out runs/seed2 --seed 2\n"
                         "  bitdistill demo --quick --fresh");
    c->add_option("--out", o.out, "Directory of the run; a run that was begun there is continued")
        ->default_str(demo_directory);
    c->parse_complete_callback([this] {
      o.command = "demo";
      if (o.out.empty()) o.out = demo_directory;
    });
    add_machine(c);
    add_settings(c);
    c->add_flag("--fresh", o.fresh, "Remove the run in the directory and start over");
    c->add_flag("--quick", o.quick,
                "Train a few steps of each stage: shows the program, not the figures");
    c->add_flag("--no-speed", o.no_speed,
                "Do not measure the speed of a model of 0.6 billion parameters at the end");
  }

  void add_run() {
    auto* c = subcommand(
        "run",
        "Run all stages on your task: base, FP-SFT, BitNet-SFT, continual, BitDistill, table",
        "  bitdistill run --task sst2 --data glue/SST-2 --corpus reviews.txt.gz --out runs/sst2\n"
        "  bitdistill run --task mnli --data glue/MNLI --corpus books/*.txt.gz \\\n"
        "      --model runs/base/stages/base --seed 2 --out runs/mnli2\n"
        "  bitdistill run --data mine --prompt '{review} It was' --answer '{stars}' \\\n"
        "      --label-words bad,good --corpus text.txt --set bitdistill.steps=500 --out "
        "runs/mine\n"
        "  bitdistill run --recipe table5 --task microworld --out runs/table5\n"
        "  bitdistill run --recipe grid-layers --task microworld --parallel 2 --out runs/layers\n"
        "  bitdistill run --print-recipe text > mine.json\n"
        "  bitdistill run --out runs/sst2 --resume");
    c->add_option("--out", o.out, "Directory of the run; it is made if it is missing");
    c->add_option("--print-recipe", o.print_recipe, "Print a shipped recipe, and do nothing else")
        ->type_name("NAME");
    add_task(c);
    c->add_option("--unlabelled", o.unlabelled,
                  "Files of further inputs of the task without labels, for stages that distil: "
                  "rows with the columns of --prompt, or a line of text for each")
        ->type_name("FILE...");
    add_corpus(c);
    add_model(c,
              "Folder or file *.gguf of a pretrained model to start from; without it a base is "
              "pretrained");
    add_new_model(c);
    add_separator(c);
    add_end_tokens(c);
    add_machine(c);
    whole(c, "--parallel", o.parallel,
          "Stages of a grid that run at a time; they share the threads, and results do not depend "
          "on it",
          {1, most_threads});
    add_settings(c);
    add_resume(c);
  }

  void add_plan() {
    auto* c = subcommand(
        "plan", "Say what a run will take: memory by part, time of a step, speed, total time",
        "  bitdistill plan --recipe few-tokens --model SmolLM2-135M --task sst2\n"
        "  bitdistill plan --recipe text --task sst2 --set stages.parts=8 --ranks 8");
    add_task(c);
    add_model(c, "Folder or file *.gguf of the pretrained model that the run starts from");
    add_new_model(c);
    whole(c, "--ranks", o.ranks, "Number of ranks of the run", {1, 1 << 16});
    add_machine(c);
    add_settings(c);
  }

  void add_tokenizer() {
    auto* c =
        subcommand("tokenizer", "Train a byte-level BPE tokenizer on text",
                   "  bitdistill tokenizer --corpus text.txt more.txt.gz --vocab-size 8192 \\\n"
                   "      --out tokenizer.json");
    c->add_option("--out", o.out,
                  "File to write, in the form of a Hugging Face tokenizer.json; it must not exist")
        ->required();
    add_corpus(c)->required();
    whole(c, "--vocab-size", o.vocab_size, "Largest number of tokens", {257, 1 << 24});
  }

  void add_pretrain() {
    auto* c = subcommand(
        "pretrain",
        "Train on text to predict the next token: a new base, or more training of a model",
        "  bitdistill pretrain --corpus text.txt.gz --out runs/base\n"
        "  bitdistill pretrain --corpus text.txt.gz --config config.json --out runs/base\n"
        "  bitdistill pretrain --corpus text.txt.gz --model runs/base/stages/base --ternary \\\n"
        "      --out runs/continual");
    add_out(c);
    add_corpus(c);
    add_model(c, "Model folder or file *.gguf to train further; without it the model is new");
    c->add_flag("--ternary", o.ternary,
                "Insert SubLN and make the linears ternary first (continual pre-training)");
    add_new_model(c);
    add_separator(c);
    add_machine(c);
    add_settings(c);
    add_resume(c);
  }

  void add_finetune() {
    auto* c = subcommand(
        "finetune", "Train a model on a task, in full precision or ternary",
        "  bitdistill finetune --model runs/base/stages/base --task sst2 --data glue/SST-2 \\\n"
        "      --out runs/teacher\n"
        "  bitdistill finetune --model runs/base/stages/base --ternary --task sst2 \\\n"
        "      --data glue/SST-2 --out runs/bitnet-sft");
    add_out(c);
    add_model(c, "Model folder or file *.gguf to start from");
    c->add_flag("--ternary", o.ternary, "Make the linears ternary first (BitNet-SFT)");
    add_task(c);
    add_texts(c);
    add_machine(c);
    add_settings(c);
    add_resume(c);
  }

  void add_distill() {
    auto* c =
        subcommand("distill", "Train a ternary student on a task with a teacher (stage 3)",
                   "  bitdistill distill --model runs/continual/stages/continual \\\n"
                   "      --teacher runs/teacher/stages/finetune --task sst2 --data glue/SST-2 \\\n"
                   "      --out runs/student");
    add_out(c);
    add_model(c,
              "Student's model folder or file *.gguf; a model that is not ternary gets SubLN and "
              "becomes ternary");
    c->add_option("--teacher", o.teacher,
                  "Teacher's model folder or file *.gguf, with the same tokenizer");
    add_task(c);
    add_texts(c);
    add_machine(c);
    add_settings(c);
    add_resume(c);
  }

  void add_eval() {
    auto* c = subcommand(
        "eval",
        "Measure accuracy, or BLEU and ROUGE, of a model on a task; or perplexity of a text",
        "  bitdistill eval --model runs/sst2/models/bitdistill --task sst2 --data glue/SST-2\n"
        "  bitdistill eval --model runs/tldr/models/bitdistill --task scitldr --data SciTLDR-A \\\n"
        "      --predictions answers.jsonl --json\n"
        "  bitdistill eval --model runs/sst2/stages/continual --perplexity --corpus held-out.txt\n"
        "  bitdistill eval --model runs/demo/models/fp-sft --task microworld --part dev");
    add_model(c, "Model folder or file *.gguf, with master weights or deployed")->required();
    add_task(c);
    add_texts(c);
    c->add_option(
         "--part", o.part,
         "Part to measure: train, dev, test, or reported, which is test where the task has a file "
         "of it, else dev")
        ->check(CLI::IsMember({"train", "dev", "test", "reported"}))
        ->capture_default_str();
    c->add_flag("--perplexity", o.perplexity,
                "Measure perplexity and bits per byte of the documents of "
                "--corpus instead; each document is measured separately");
    add_corpus(c);
    c->add_option("--predictions", o.predictions,
                  "File to write: one JSON line with prediction and references for each example");
    c->add_option(
        "--teacher", o.teacher,
        "Model to compare with: prints how far the distributions of answer tokens are from "
        "those of this model");
    c->add_flag("--json", o.json, "Print the metrics as one JSON object");
    whole(
        c, "--window", o.window,
        "Tokens that the model sees at a time for --perplexity; without the option fewer where the "
        "model reads fewer",
        {2, 1 << 24});
    add_machine(c);
    add_settings(c);
  }

  void add_inspect() {
    auto* c = subcommand("inspect", "Show what a model folder, a saved state or a run holds",
                         "  bitdistill inspect runs/demo\n"
                         "  bitdistill inspect runs/demo/models/bitdistill\n"
                         "  bitdistill inspect runs/demo/stages/base.state\n"
                         "  bitdistill inspect runs/demo-1 runs/demo-2 runs/demo-3\n"
                         "  bitdistill inspect --csv runs/grid > table.csv\n"
                         "  bitdistill inspect --tensorboard events runs/demo");
    c->add_option("path", o.paths,
                  "Directory of a run, a grid or a model, or a .gguf, .safetensors or .state file; "
                  "for several runs, and for a grid, the means of their tables are shown")
        ->required();
    c->add_flag("--csv", o.csv,
                "Print the table of runs as comma-separated values (RFC 4180) with all digits");
    c->add_option("--tensorboard", o.tensorboard,
                  "Folder for the curves of runs as event files, which TensorBoard reads; older "
                  "ones of the same runs are replaced")
        ->type_name("FOLDER");
  }

  void add_report() {
    auto* c = subcommand("report", "Write one HTML page about runs: results, pictures, settings",
                         "  bitdistill report runs/demo --out report.html\n"
                         "  bitdistill report runs/table5-1 runs/table5-2 --out report.html\n"
                         "  bitdistill report ternary --out report.html --pictures pictures");
    c->add_option("path", o.paths,
                  "Directories of runs, or folders that quantize wrote; runs that differ only in "
                  "their seed are shown as means with errors")
        ->required();
    c->add_option("--out", o.out, "HTML file to write; an older one is replaced")->required();
    c->add_option("--pictures", o.pictures, "Folder for the pictures as SVG files");
  }

  void add_watch() {
    auto* c = subcommand("watch", "Follow a run: steps, loss, speed and time left of each stage",
                         "  bitdistill watch runs/demo");
    c->add_option("path", o.paths, "Directory of the run")->required()->expected(1);
  }

  void add_generate() {
    auto* c =
        subcommand("generate", "Generate text with a model and print it as it is made",
                   "  bitdistill generate --model runs/x/models/base --prompt 'Once upon'\n"
                   "  bitdistill generate --model qwen --chat --prompt 'Why is the sky blue?' \\\n"
                   "      --temperature 0.7 --top-p 0.9 --seed 3\n"
                   "  echo 'Once upon' | bitdistill generate --model folder");
    add_model(c, "Model folder with its tokenizer.json, or file *.gguf")->required();
    c->add_option("--prompt", o.prompt, "Text to continue; without it standard input is read")
        ->type_name("TEXT");
    c->add_flag("--chat", o.chat,
                "Put the prompt as a user's message into the model's own chat template");
    c->add_option("--system", o.system, "System message before the prompt, with --chat");
    c->add_flag("--no-think", o.no_think, "Qwen3: begin the answer after an empty thought");
    whole(c, "--max-tokens", o.max_tokens, "Largest number of tokens to generate", {0, 1 << 24});
    add_tokenizer_place(c);
    add_end_tokens(c);
    c->add_option("--stop", o.stop, "Text that ends the answer; may be given several times")
        ->type_name("TEXT")
        ->expected(1)
        ->take_all();
    constexpr double most = std::numeric_limits<double>::max();
    real(c, "--temperature", o.temperature,
         "Temperature of sampling; 0 always takes the most probable token", {0, most});
    whole(c, "--top-k", o.top_k, "Draw from this number of most probable tokens; 0: all tokens",
          {0, 1 << 24});
    real(c, "--top-p", o.top_p,
         "Draw from the most probable tokens that together have this probability", {0, 1, true});
    real(c, "--min-p", o.min_p,
         "Draw from tokens with at least this share of the largest probability", {0, 1});
    real(c, "--repetition-penalty", o.repetition_penalty,
         "A value above 1 makes tokens less probable that have occurred already", {0, most, true});
    add_seed(c, "Seed of sampling (default 1)");
    add_context(c);
    add_machine(c);
  }

  void add_embed() {
    auto* c =
        subcommand("embed", "Print a vector for each line of the standard input: its embedding",
                   "  bitdistill embed --model bitnet-embedding-0.6b < lines.txt\n"
                   "  bitdistill embed --model embedding.gguf --json < lines.txt\n"
                   "  bitdistill embed --model qwen3 --pooling mean --out lines.npy < lines.txt");
    add_model(c, "Model folder with its tokenizer.json, or file *.gguf")->required();
    add_tokenizer_place(c);
    c->add_option("--pooling", o.pooling,
                  "Hidden states that make the embedding: that of the last token, the mean of all, "
                  "or that of the first token; without it the model's files say it")
        ->check(CLI::IsMember({"last", "mean", "first"}));
    c->add_option("--norm", o.norm,
                  "l2: divide embeddings by their L2 norm; none: leave them as they are; without "
                  "it the model's files say it, and where they do not, l2")
        ->check(CLI::IsMember({"l2", "none"}));
    c->add_flag("--json", o.json, "Print a JSON object a line: index, number of tokens, embedding");
    c->add_option("--out", o.out,
                  "File *.npy to write instead, an array (lines, elements) of floats; it must not "
                  "exist");
    add_machine(c);
  }

  void add_quantize() {
    auto* c = subcommand(
        "quantize", "Make a pretrained model ternary by calibration, in minutes, without training",
        "  bitdistill quantize --model SmolLM2-135M --out ternary\n"
        "  bitdistill quantize --model SmolLM2-135M --calibration text.txt.gz --scale group:64 \\\n"
        "      --out ternary\n"
        "  bitdistill quantize --model finetuned --task sst2 --data glue/SST-2 --out ternary\n"
        "  bitdistill export --model ternary --out packed");
    add_model(c, "Folder or file *.gguf of a full-precision model")->required();
    c->add_option("--out", o.out, "Folder of the ternary model; it must not hold a model")
        ->required();
    c->add_option("--calibration", o.corpus,
                  "Files of text to calibrate on, as --corpus of other commands; without them and "
                  "without --task the model writes the text itself")
        ->type_name("FILE...");
    add_task(c);
    add_texts(c);
    whole(c, "--tokens", o.calibration_tokens, "Number of calibration tokens", {1, 1 << 24});
    c->add_option("--scale", o.scale,
                  "Weights that share a scale: tensor, row, or group:N for N columns of a row")
        ->check([](const std::string& text) {
          constexpr whole_range columns{1, 1 << 24};
          try {
            if (text.starts_with("group:")) whole_number(text.substr(6), columns);
            if (text.starts_with("group:") || text == "tensor" || text == "row")
              return std::string();
          } catch (const std::invalid_argument&) {
          }
          return fmt::format("expected tensor, row or group:N with N from {} to {}, got '{}'",
                             columns.least, columns.most, text);
        })
        ->capture_default_str();
    c->add_option("--sub-ln", o.sub_ln,
                  "matched: insert SubLN whose gains keep what the model computes; all: such norms "
                  "before every linear, a form that bitnet.cpp runs with --scale tensor; none: no "
                  "SubLN")
        ->check(CLI::IsMember({"none", "matched", "all"}))
        ->capture_default_str();
    add_machine(c);
    add_settings(c);
  }

  void add_export() {
    auto* c = subcommand(
        "export", "Store a model in a form that programs run",
        "  bitdistill export --model runs/x/stages/bitdistill --out deployed\n"
        "  bitdistill export --model runs/x/stages/bitdistill --to packed --format two_bit \\\n"
        "      --head-bits 4 --out small\n"
        "  bitdistill export --model runs/x/stages/bitdistill --to bitnet --out for-transformers\n"
        "  bitdistill export --model llama --to gguf --type f16 --out llama.gguf");
    add_model(c, "Model folder of master weights, or file *.gguf")->required();
    add_tokenizer_place(c);
    c->add_option("--out", o.out, "Folder or *.gguf file to make; it must not exist")->required();
    c->add_option("--to", o.to,
                  "packed: form of tern, which is mapped when it is loaded; bitnet: form of "
                  "transformers; gguf: form of llama.cpp, where it knows the model's architecture")
        ->check(CLI::IsMember({"packed", "bitnet", "gguf"}))
        ->capture_default_str();
    c->add_option(
         "--type", o.type,
         "Type of linears in a GGUF file (default f16; for ternary models tq2_0, or q2_0 where the "
         "widths are no multiples of 256); embedding and head are Q8_0, F16 or F32, as --head-bits "
         "says")
        ->check(CLI::IsMember(
            {"f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0", "q2_0", "i2_s", "i2_s_arm"}));
    add_packing(c, {"base3", "two_bit"})->expected(1);
    add_machine(c);
  }

  void add_serve() {
    auto* c = subcommand(
        "serve", "Answer requests over HTTP, in the form that clients of OpenAI's interface know",
        "  bitdistill serve --model deployed\n"
        "  bitdistill serve --model qwen --port 0 --api-key secret --slots 4 --context 4096\n"
        "  bitdistill serve --model deployed --prompt '{review} =>' --label-words bad,good\n"
        "  curl -H 'Content-Type: application/json' -d '{\"prompt\": \"Once upon\"}' \\\n"
        "      http://127.0.0.1:8080/v1/completions");
    add_model(c, "Model folder with its tokenizer.json, or file *.gguf")->required();
    whole(c, "--port", o.port, "Port to listen on; 0: any free one, which is printed", {0, 65535});
    c->add_option("--host", o.host, "Address to listen on; 0.0.0.0 is every address of the machine")
        ->capture_default_str();
    c->add_option("--api-key", o.api_key,
                  "Key that clients must send as 'Authorization: Bearer KEY'");
    c->add_option("--name", o.name,
                  "Name of the model for clients; without the option that of the folder or file");
    whole(c, "--slots", o.slots, "Requests that run at once", {1, 1024});
    whole(c, "--queue", o.queue, "Requests that may wait for a slot; more get status 429",
          {0, 1 << 20});
    whole(c, "--max-tokens", o.most_answer_tokens,
          "Largest number of tokens of an answer; 0: as many as the context holds", {0, 1 << 24});
    whole(c, "--timeout", o.timeout, "Longest time of a request in seconds", {1, 1 << 24});
    whole(c, "--max-body", o.body_kilobytes, "Largest body of a request in KB", {1, 1 << 20});
    whole(c, "--connections", o.connections, "Connections that are served at once", {2, 4096});
    add_tokenizer_place(c);
    add_end_tokens(c);
    add_context(c);
    add_classes(c);
    add_machine(c);
  }

  void add_bench() {
    auto* c = subcommand(
        "bench", "Measure speed and memory of a model, or of a known shape with random weights",
        "  bitdistill bench --shape qwen3-0.6b\n"
        "  bitdistill bench --shape qwen3-1.7b --format base3,two_bit,f32 --threads 1,2 --json\n"
        "  bitdistill bench --shape qwen3-0.6b --context 4096,16384 --kv int8 --new-tokens 16\n"
        "  bitdistill bench --model deployed");
    add_model(c, "Model folder or file *.gguf, which is run as it is stored");
    c->add_option("--shape", o.shape,
                  "Shape of a model with random weights: qwen3-0.6b, qwen3-1.7b or qwen3-4b")
        ->check(CLI::IsMember({"qwen3-0.6b", "qwen3-1.7b", "qwen3-4b"}));
    c->add_option("--scale", o.shape_scale,
                  "Ternary weights of the shape that share a scale: tensor, group:64 or group:128")
        ->check(CLI::IsMember({"tensor", "group:64", "group:128"}));
    add_packing(c, {"base3", "two_bit", "f32"})->delimiter(',');
    c->add_option("--out", o.out, "Folder that keeps the model of the shape, which must be new");
    whole(c, "--prompt-tokens", o.prompt_tokens, "Tokens of the prompt, which are read at once",
          {1, 1 << 20});
    whole(c, "--new-tokens", o.new_tokens, "Tokens that are made one by one, from an empty context",
          {1, 1 << 20});
    whole_list(c, "--threads", o.thread_counts, "Numbers of threads; each is measured",
               {1, most_threads})
        ->default_str("1,2");
    whole_list(c, "--context", o.contexts,
               "Positions that the cache already holds; new tokens behind each are measured, too",
               {1, 1 << 24});
    add_kv(c);
    c->add_flag("--json", o.json, "Print a JSON list of cases instead of a table");
  }

  /// Adds an option that is a whole number. What `value` holds is the default.
  void whole(CLI::App* c, const char* name, std::size_t& value, const char* what,
             whole_range range) {
    c->add_option_function<std::string>(
         name,
         [=, &value](const std::string& text) {
           value = checked(name, [&] { return whole_number(text, range); });
         },
         what)
        ->type_name("N")
        ->default_str(std::to_string(value));
  }
  /// Adds an option that is a list of whole numbers.
  CLI::Option* whole_list(CLI::App* c, const char* name, std::vector<std::size_t>& values,
                          const char* what, whole_range range) {
    return c
        ->add_option_function<std::vector<std::string>>(
            name,
            [=, &values](const std::vector<std::string>& texts) {
              values.clear();
              for (const auto& text : texts)
                values.push_back(checked(name, [&] { return whole_number(text, range); }));
            },
            what)
        ->type_name("N,...")
        ->delimiter(',');
  }
  /// Adds an option that is a number. What `value` holds is the default.
  void real(CLI::App* c, const char* name, double& value, const char* what, real_range range) {
    c->add_option_function<std::string>(
         name,
         [=, &value](const std::string& text) {
           value = checked(name, [&] { return real_number(text, range); });
         },
         what)
        ->type_name("X")
        ->default_str(fmt::format("{}", value));
  }

  void add_seed(CLI::App* c, const char* what) {
    static constexpr whole_range any{0, std::numeric_limits<std::uint64_t>::max()};
    c->add_option_function<std::string>(
         "--seed",
         [this](const std::string& text) {
           o.seed = checked("--seed", [&] { return whole_number(text, any); });
         },
         what)
        ->type_name("N");
  }

  CLI::Option* add_packing(CLI::App* c, const std::vector<std::string>& formats) {
    c->add_option("--head-bits", o.head_bits,
                  "Bits of embedding and head: 4 or 8 with a scale for each group, 16 or 32 float")
        ->check(CLI::IsMember({"4", "8", "16", "32"}))
        ->capture_default_str();
    return c
        ->add_option("--format", o.formats,
                     "Format of ternary weights: base3 (1.6 bits) or two_bit; f32: full precision")
        ->check(CLI::IsMember(formats))
        ->capture_default_str();
  }

  void add_context(CLI::App* c) {
    whole(c, "--context", o.context,
          "Largest number of tokens of prompt and answer together; without the option fewer where "
          "the model reads fewer",
          {2, 1 << 24});
    add_kv(c);
  }

  void add_kv(CLI::App* c) {
    c->add_option("--kv", o.kv, "Type in which keys and values are kept: f32, f16 or int8")
        ->check(CLI::IsMember({"f32", "f16", "int8"}))
        ->capture_default_str();
  }

  void add_out(CLI::App* c) {
    c->add_option("--out", o.out, "Directory of the run; it is made if it is missing")->required();
  }

  CLI::Option* add_model(CLI::App* c, const char* what) {
    return c->add_option("--model", o.model, what);
  }

  void add_new_model(CLI::App* c) {
    c->add_option("--config", o.config,
                  "Hugging Face config.json with the architecture of a new base");
    c->add_option(
        "--tokenizer", o.tokenizer,
        "tokenizer.json, folder with one, or file *.gguf; without it the tokenizer is that "
        "of the model, or is trained on the corpus for a new base");
  }

  void add_tokenizer_place(CLI::App* c) {
    c->add_option("--tokenizer", o.tokenizer,
                  "tokenizer.json, folder with one, or file *.gguf, in place of the model's own");
  }

  void add_separator(CLI::App* c) {
    c->add_option(
         "--separator", o.separator,
         "Token after each document and before each prompt, in place of the one that ends a "
         "text for the model")
        ->type_name("TOKEN");
  }

  void add_end_tokens(CLI::App* c) {
    c->add_option(
         "--end-token", o.end_tokens,
         "Token that ends an answer, in place of those that the model's files name; may be "
         "given several times")
        ->type_name("TOKEN")
        ->expected(1)
        ->take_all();
  }

  /// The options of commands that turn texts into tokens for a given model.
  void add_texts(CLI::App* c) {
    add_tokenizer_place(c);
    add_separator(c);
    add_end_tokens(c);
  }

  CLI::Option* add_corpus(CLI::App* c) {
    return c
        ->add_option("--corpus", o.corpus,
                     "Files of text: plain with blank lines between documents, or JSON lines; also "
                     "compressed by gzip, or a pipe such as /dev/stdin")
        ->type_name("FILE...");
  }

  void add_task(CLI::App* c) {
    std::vector<std::string> tasks;
    for (const tern::text_task& task : tern::named_tasks()) tasks.push_back(task.name);
    tasks.insert(tasks.end(), {"microworld", "own"});
    c->add_option("--task", o.task,
                  "Name of the task; microworld is the embedded language, own is the task that "
                  "--prompt and --answer describe")
        ->check(CLI::IsMember(tasks));
    c->add_option(
        "--data", o.data,
        "Directory of the task's files, such as train.tsv, dev.tsv and test.tsv, or .jsonl");
    const char* own = "Options of a task of your own";
    c->add_option("--prompt", o.prompt,
                  "Text that the model reads; {name} stands for a column of the files")
        ->type_name("TEMPLATE")
        ->group(own);
    c->add_option("--answer", o.answer, "Text that the model should write, such as '{label}'")
        ->type_name("TEMPLATE")
        ->group(own);
    c->add_option(
         "--labels", o.labels,
         "Values of the answer in the files; without them the sorted values of the training file")
        ->delimiter(',')
        ->group(own);
    c->add_option("--label-words", o.label_words,
                  "Words that the model says instead of the labels, in the same order; without "
                  "them the answer is free text")
        ->delimiter(',')
        ->group(own);
  }

  /// The options that say which task the served model was trained on.
  void add_classes(CLI::App* c) {
    std::vector<std::string> tasks;
    for (const tern::text_task& task : tern::named_tasks())
      if (task.classifies()) tasks.push_back(task.name);
    const char* group = "Options of /v1/classify";
    c->add_option("--task", o.task, "Name of the task that the model was trained on")
        ->check(CLI::IsMember(tasks))
        ->group(group);
    c->add_option("--prompt", o.prompt,
                  "Text that the model reads; {name} stands for a column of the input")
        ->type_name("TEMPLATE")
        ->group(group);
    c->add_option("--label-words", o.label_words, "Words of which the model says one, by class")
        ->delimiter(',')
        ->group(group);
    c->add_option("--labels", o.labels,
                  "Names of the classes in answers; without the option the label words")
        ->delimiter(',')
        ->group(group);
    c->add_option("--separator", o.separator,
                  "Token before each prompt, in place of the one that ends a text for the model")
        ->type_name("TOKEN")
        ->group(group);
  }

  void add_machine(CLI::App* c) {
    whole(c, "--threads", o.threads,
          "Number of threads, 0: all of the machine; results do not depend on it",
          {0, most_threads});
  }

  void add_settings(CLI::App* c) {
    add_seed(c, "Seed of weights, data order and generated data (default 1)");
    c->add_option(
        "--recipe", o.recipe,
        "Recipe of the run: the name of a shipped recipe, or a JSON file, which may be the "
        "config.json of another run");
    c->add_option("--set", o.set,
                  "Fields of a stage, of all stages, of the data or of the model, such as "
                  "bitdistill.steps=500, stages.sequences=8 or data.prompt_tokens=64")
        ->type_name("KEY=VALUE ...")
        ->take_all();
  }

  void add_resume(CLI::App* c) {
    c->add_flag("--resume", o.resume,
                "Continue the run in --out; its settings need not be given again");
  }

  options& o;
};

}  // namespace

parsed parse_command_line(const std::vector<std::string>& arguments) {
  parsed result;
  command_line line(result.values);
  result.values.words = arguments;
  try {
    for (std::size_t i = 0; i < arguments.size(); ++i)  // settings are JSON, which must be UTF-8
      if (tern::find_invalid_utf8(arguments[i]) != arguments[i].size())
        throw CLI::ValidationError("argument " + std::to_string(i + 1) + ": expected UTF-8 text");
    auto words = mark_values(line.app, arguments);
    std::ranges::reverse(words);  // as the parser takes a list of words
    line.app.parse(std::move(words));
    if (line.app.get_subcommands().empty()) throw CLI::RequiredError("a subcommand");
    const CLI::App& command = *line.app.get_subcommands().front();
    for (const CLI::Option* option : command.get_options())
      if (option->count() > 0) result.values.given.insert(option->get_name());
    require_applicable(result.values);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      std::ostringstream help;
      result.exit_code = line.app.exit(e, help, help);
      put(help.str());
    } else {
      say(fmt::format("bitdistill: error: {} (see --help)", e.what()));
      result.exit_code = 2;
    }
  }
  return result;
}

}  // namespace bitdistill
