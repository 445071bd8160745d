// The options of all subcommands, each defined once and added where it applies.
#include "options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string_view>

#include "tern/core/utf8.hpp"
#include "tern/data/named_task.hpp"
#include "tern/version.hpp"

namespace bitdistill {
namespace {

std::string version_text() {
  return fmt::format("bitdistill {}.{}.{}", TERN_VERSION_MAJOR, TERN_VERSION_MINOR,
                     TERN_VERSION_PATCH);
}

class command_line {
 public:
  explicit command_line(options& values) : o(values) {
    app.name("bitdistill");
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", version_text());
    app.footer("Each subcommand has a --help of its own with examples.");
    add_demo();
    add_run();
    add_tokenizer();
    add_pretrain();
    add_finetune();
    add_distill();
    add_eval();
    add_inspect();
    add_generate();
    add_export();
    add_bench();
  }

  CLI::App app{
      "Makes full-precision language models ternary (1.58 bits) and keeps their accuracy: "
      "BitNet Distillation."};

 private:
  static constexpr const char* demo_directory = "runs/demo";

  CLI::App* subcommand(const char* name, const char* what, const char* examples) {
    CLI::App* c = app.add_subcommand(name, what);
    c->footer(std::string("Examples:\n") + examples);
    c->parse_complete_callback([this, name] { o.command = name; });
    return c;
  }

  void add_demo() {
    auto* c = subcommand("demo", "The whole method on the embedded language, in minutes",
                         "  bitdistill demo\n"
                         "  bitdistill demo --out runs/seed2 --seed 2\n"
                         "  bitdistill demo --quick --fresh");
    c->add_option("--out", o.out, "Directory of the run; one that was begun is continued")
        ->default_str(demo_directory);
    c->parse_complete_callback([this] {
      o.command = "demo";
      if (o.out.empty()) o.out = demo_directory;
    });
    add_machine(c);
    add_settings(c);
    c->add_flag("--fresh", o.fresh, "Remove the run that the directory holds and start over");
    c->add_flag("--quick", o.quick, "A few steps of each stage: shows the path, not the figures");
  }

  void add_run() {
    auto* c = subcommand(
        "run", "All stages on your task: base, FP-SFT, BitNet-SFT, continual, BitDistill, table",
        "  bitdistill run --task sst2 --data glue/SST-2 --corpus reviews.txt.gz --out runs/sst2\n"
        "  bitdistill run --task mnli --data glue/MNLI --corpus books/*.txt.gz \\\n"
        "      --model runs/base/stages/base --seed 2 --out runs/mnli2\n"
        "  bitdistill run --data mine --prompt '{review} It was' --answer '{stars}' \\\n"
        "      --label-words bad,good --corpus text.txt --set bitdistill.steps=500 --out "
        "runs/mine\n"
        "  bitdistill run --recipe table5 --task microworld --out runs/table5\n"
        "  bitdistill run --print-recipe text > mine.json\n"
        "  bitdistill run --out runs/sst2 --resume");
    c->add_option("--out", o.out, "Directory of the run, made if missing");
    c->add_option("--print-recipe", o.print_recipe, "Print a shipped recipe and do nothing else")
        ->type_name("NAME");
    add_task(c);
    add_corpus(c);
    add_model(c, "Pretrained model folder to start from; without it a base is pretrained");
    add_new_model(c);
    add_machine(c);
    add_settings(c);
    add_resume(c);
  }

  void add_tokenizer() {
    auto* c =
        subcommand("tokenizer", "Train a byte-level BPE tokenizer on text",
                   "  bitdistill tokenizer --corpus text.txt more.txt.gz --vocab-size 8192 \\\n"
                   "      --out tokenizer.json");
    c->add_option("--out", o.out, "File to write (Hugging Face tokenizer.json); must not exist")
        ->required();
    add_corpus(c)->required();
    c->add_option("--vocab-size", o.vocab_size, "Tokens at most (default 4096)")
        ->check(CLI::Range(257, 1 << 24));
  }

  void add_pretrain() {
    auto* c = subcommand(
        "pretrain", "Next-token training on text: a new base, or more training of a model",
        "  bitdistill pretrain --corpus text.txt.gz --out runs/base\n"
        "  bitdistill pretrain --corpus text.txt.gz --config config.json --out runs/base\n"
        "  bitdistill pretrain --corpus text.txt.gz --model runs/base/stages/base --ternary \\\n"
        "      --out runs/continual");
    add_out(c);
    add_corpus(c);
    add_model(c, "Model folder or file *.gguf to go on with; without it the model is new");
    c->add_flag("--ternary", o.ternary,
                "Insert SubLN and make the linears ternary first: continual pre-training");
    add_new_model(c);
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
    c->add_flag("--ternary", o.ternary, "Make the linears ternary first: BitNet-SFT");
    add_task(c);
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
              "Student's model, folder or file *.gguf; one that is not ternary gets SubLN and "
              "becomes so");
    c->add_option("--teacher", o.teacher,
                  "Teacher's model folder or file *.gguf, of the same vocabulary");
    add_task(c);
    add_machine(c);
    add_settings(c);
    add_resume(c);
  }

  void add_eval() {
    auto* c = subcommand(
        "eval", "Accuracy, or BLEU and ROUGE, of a model on a task; or perplexity of a text",
        "  bitdistill eval --model runs/sst2/models/bitdistill --task sst2 --data glue/SST-2\n"
        "  bitdistill eval --model runs/tldr/models/bitdistill --task scitldr --data SciTLDR-A \\\n"
        "      --predictions answers.jsonl --json\n"
        "  bitdistill eval --model runs/sst2/stages/continual --perplexity --corpus held-out.txt\n"
        "  bitdistill eval --model runs/demo/models/fp-sft --task microworld --part dev");
    add_model(c, "Model folder or file *.gguf, of masters or deployed")->required();
    add_task(c);
    c->add_option("--part", o.part,
                  "train, dev, test, or reported: test where there is one, else dev")
        ->check(CLI::IsMember({"train", "dev", "test", "reported"}))
        ->capture_default_str();
    c->add_flag("--perplexity", o.perplexity, "Of the documents of --corpus, each on its own");
    add_corpus(c);
    c->add_option("--predictions", o.predictions,
                  "File to write: a JSON line with prediction and references for each example");
    c->add_flag("--json", o.json, "The metrics as one JSON object");
    c->add_option("--window", o.window,
                  "Tokens that are seen at a time for it, cut to what the model allows")
        ->check(CLI::Range(2, 1 << 20))
        ->capture_default_str();
    add_machine(c);
    add_settings(c);
  }

  void add_inspect() {
    auto* c = subcommand("inspect", "What a model folder, a checkpoint or a run holds",
                         "  bitdistill inspect runs/demo\n"
                         "  bitdistill inspect runs/demo/models/bitdistill\n"
                         "  bitdistill inspect runs/demo/stages/base.state\n"
                         "  bitdistill inspect runs/demo-1 runs/demo-2 runs/demo-3");
    c->add_option("path", o.paths,
                  "Directory of a run or a model, or a .gguf, .safetensors or .state file; several "
                  "runs give "
                  "the means of their tables")
        ->required();
  }

  void add_generate() {
    auto* c =
        subcommand("generate", "Text from a model, as it is made",
                   "  bitdistill generate --model runs/x/models/base --prompt 'Once upon'\n"
                   "  bitdistill generate --model qwen --chat --prompt 'Why is the sky blue?' \\\n"
                   "      --temperature 0.7 --top-p 0.9 --seed 3\n"
                   "  echo 'Once upon' | bitdistill generate --model folder");
    add_model(c, "Model folder with its tokenizer.json, or file *.gguf")->required();
    c->add_option("--prompt", o.prompts, "What to go on with; without it standard input is read")
        ->type_name("TEXT")
        ->expected(1);
    c->add_flag("--chat", o.chat, "The prompt is a user's message, in the Qwen family's template");
    c->add_option("--system", o.system, "System message before it");
    c->add_flag("--no-think", o.no_think, "Qwen3: open the answer behind an empty thought");
    c->add_option("--max-tokens", o.max_tokens, "Tokens at most")->capture_default_str();
    c->add_option("--stop", o.stop, "Text that ends the answer; may be given several times")
        ->type_name("TEXT")
        ->expected(1)
        ->take_all();
    c->add_option("--temperature", o.temperature, "0 takes the most probable token always")
        ->capture_default_str();
    c->add_option("--top-k", o.top_k, "Draw from so many of the most probable; 0: all")
        ->capture_default_str();
    c->add_option("--top-p", o.top_p, "Draw from the most probable that have this share")
        ->capture_default_str();
    c->add_option("--min-p", o.min_p, "And that have this share of the most probable one's")
        ->capture_default_str();
    c->add_option("--repetition-penalty", o.repetition_penalty, "Above 1: against tokens seen")
        ->capture_default_str();
    c->add_option("--seed", o.seed, "Of the draws (default 1)")->check(CLI::NonNegativeNumber);
    add_context(c);
    add_machine(c);
  }

  void add_export() {
    auto* c = subcommand(
        "export", "A model in the form that runs it",
        "  bitdistill export --model runs/x/stages/bitdistill --out deployed\n"
        "  bitdistill export --model runs/x/stages/bitdistill --to packed --format two_bit \\\n"
        "      --head-bits 4 --out small\n"
        "  bitdistill export --model runs/x/stages/bitdistill --to bitnet --out for-transformers\n"
        "  bitdistill export --model llama --to gguf --type f16 --out llama.gguf");
    add_model(c, "Model folder of master weights, or file *.gguf")->required();
    c->add_option("--out", o.out, "Folder or *.gguf file to make; must not exist")->required();
    c->add_option("--to", o.to,
                  "packed: tern's own, mapped when loaded; bitnet: as transformers stores them; "
                  "gguf: for llama.cpp, where one of its architectures holds the model")
        ->check(CLI::IsMember({"packed", "bitnet", "gguf"}))
        ->capture_default_str();
    c->add_option(
         "--type", o.type,
         "Of linears in a GGUF file (default tq2_0 for ternary models, else f16); embedding "
         "and head are Q8_0, F16 or F32 by --head-bits")
        ->check(
            CLI::IsMember({"f32", "f16", "bf16", "q8_0", "tq1_0", "tq2_0", "i2_s", "i2_s_arm"}));
    add_packing(c, {"base3", "two_bit"});
    add_machine(c);
  }

  void add_bench() {
    auto* c = subcommand(
        "bench", "Speed and memory of a model, or of a known shape with random weights",
        "  bitdistill bench --shape qwen3-0.6b\n"
        "  bitdistill bench --shape qwen3-1.7b --format base3,two_bit,f32 --threads 1,2 --json\n"
        "  bitdistill bench --model deployed");
    add_model(c, "Model folder or file *.gguf, run as it is");
    c->add_option("--shape", o.shape, "qwen3-0.6b, qwen3-1.7b or qwen3-4b")
        ->check(CLI::IsMember({"qwen3-0.6b", "qwen3-1.7b", "qwen3-4b"}));
    add_packing(c, {"base3", "two_bit", "f32"})->delimiter(',');
    c->add_option("--prompt-tokens", o.prompt_tokens, "Tokens of the prompt, read at once")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    c->add_option("--new-tokens", o.new_tokens, "Tokens made one by one, from an empty context")
        ->check(CLI::Range(1, 1 << 20))
        ->capture_default_str();
    c->add_option("--threads", o.thread_counts, "Numbers of threads, a case each")
        ->delimiter(',')
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    add_kv(c);
    c->add_flag("--json", o.json, "A JSON list of cases instead of a table");
  }

  CLI::Option* add_packing(CLI::App* c, const std::vector<std::string>& formats) {
    c->add_option("--head-bits", o.head_bits,
                  "Of embedding and head: 4 or 8 with a scale to each group, 16 or 32 float")
        ->check(CLI::IsMember({4, 8, 16, 32}))
        ->capture_default_str();
    return c
        ->add_option("--format", o.formats,
                     "Of ternary weights: base3 (1.6 bits) or two_bit; f32: full precision")
        ->check(CLI::IsMember(formats))
        ->capture_default_str();
  }

  void add_context(CLI::App* c) {
    c->add_option("--context", o.context, "Tokens that prompt and answer may have together")
        ->check(CLI::Range(2, 1 << 24))
        ->capture_default_str();
    add_kv(c);
  }

  void add_kv(CLI::App* c) {
    c->add_option("--kv", o.kv, "Keys and values are kept as f32, f16 or int8")
        ->check(CLI::IsMember({"f32", "f16", "int8"}))
        ->capture_default_str();
  }

  void add_out(CLI::App* c) {
    c->add_option("--out", o.out, "Directory of the run, made if missing")->required();
  }

  CLI::Option* add_model(CLI::App* c, const char* what) {
    return c->add_option("--model", o.model, what);
  }

  void add_new_model(CLI::App* c) {
    c->add_option("--config", o.config, "Architecture of a new base: a Hugging Face config.json");
    c->add_option("--tokenizer", o.tokenizer,
                  "tokenizer.json of a new base; without it one is trained on the corpus");
  }

  CLI::Option* add_corpus(CLI::App* c) {
    return c
        ->add_option("--corpus", o.corpus,
                     "Text files: plain (blank lines between documents) or .jsonl, also .gz")
        ->type_name("FILE...");
  }

  void add_task(CLI::App* c) {
    std::vector<std::string> tasks;
    for (const tern::text_task& task : tern::named_tasks()) tasks.push_back(task.name);
    tasks.insert(tasks.end(), {"microworld", "own"});
    c->add_option("--task", o.task,
                  "A task by its name; microworld is the embedded language, own is what --prompt "
                  "and --answer say")
        ->check(CLI::IsMember(tasks));
    c->add_option("--data", o.data,
                  "Directory of the task's files: train.tsv and dev.tsv, or .jsonl");
    const char* own = "Examples";
    c->add_option("--prompt", o.prompt,
                  "What the model reads; {name} stands for a column of the files")
        ->type_name("TEMPLATE")
        ->group(own);
    c->add_option("--answer", o.answer, "What it should write: '{label}', say")
        ->type_name("TEMPLATE")
        ->group(own);
    c->add_option(
         "--labels", o.labels,
         "Values of the answer in the files; without it those of the training file, sorted")
        ->delimiter(',')
        ->group(own);
    c->add_option("--label-words", o.label_words,
                  "Words that stand for the labels, in the labels' order; without them the answer "
                  "is free text")
        ->delimiter(',')
        ->group(own);
  }

  void add_machine(CLI::App* c) {
    c->add_option("--threads", o.threads, "0 = all of the machine; results do not depend on it")
        ->check(CLI::Range(0, 1024))
        ->capture_default_str();
  }

  void add_settings(CLI::App* c) {
    c->add_option("--seed", o.seed, "Of weights, data order and generated data (default 1)")
        ->check(CLI::NonNegativeNumber);
    c->add_option("--recipe", o.recipe,
                  "Stages as data: a shipped recipe by name, or a JSON file; the config.json of a "
                  "run is one");
    c->add_option("--set", o.set,
                  "One field of a stage or of the data, e.g. bitdistill.steps=500 or "
                  "bitdistill.losses.logits.weight=1")
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

parsed parse_command_line(int argc, char** argv) {
  parsed result;
  command_line line(result.values);
  try {
    for (int i = 1; i < argc; ++i)  // settings are kept as JSON
      if (const std::string_view word = argv[i]; tern::find_invalid_utf8(word) != word.size())
        throw CLI::ValidationError("argument " + std::to_string(i) + ": expected UTF-8 text");
    line.app.parse(argc, argv);
    if (line.app.get_subcommands().empty()) throw CLI::RequiredError("a subcommand");
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) {
      result.exit_code = line.app.exit(e);
    } else {
      fmt::print(stderr, "bitdistill: error: {} (see --help)\n", e.what());
      result.exit_code = 2;
    }
  }
  return result;
}

}  // namespace bitdistill
