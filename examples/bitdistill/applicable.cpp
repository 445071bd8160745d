#include "applicable.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <initializer_list>
#include <string_view>

#include "tern/core/error.hpp"

namespace bitdistill {
namespace {

/// Refuses those of the options that were given. `why` stands behind the name of the option.
void refuse(const options& o, std::initializer_list<const char*> names, const std::string& why) {
  for (const char* name : names)
    if (o.has(name)) throw tern::config_error(std::string(name) + " " + why);
}

void require_applicable_to_generate(const options& o) {
  if (!o.chat) refuse(o, {"--system", "--no-think"}, "applies only with --chat");
  if (o.temperature == 0)
    refuse(o, {"--top-k", "--top-p", "--min-p", "--seed"},
           "applies only with --temperature above 0: without it the most probable token is taken");
}

void require_applicable_to_eval(const options& o) {
  if (o.perplexity)
    refuse(
        o,
        {"--task", "--data", "--part", "--predictions", "--prompt", "--answer", "--labels",
         "--label-words", "--seed", "--recipe", "--set", "--separator", "--end-token", "--teacher"},
        "does not apply with --perplexity, which measures the text of --corpus");
  else
    refuse(o, {"--corpus", "--window"}, "applies only with --perplexity");
}

void require_applicable_to_export(const options& o) {
  if (o.to != "gguf") refuse(o, {"--type"}, "applies only with --to gguf");
  if (o.to != "packed") refuse(o, {"--format"}, "applies only with --to packed");
  if (o.to == "bitnet")
    refuse(o, {"--head-bits"}, "does not apply with --to bitnet, which stores F16");
}

void require_applicable_to_bench(const options& o) {
  if (!o.model.empty())
    refuse(o, {"--format", "--head-bits", "--out"},
           "applies only with --shape: a model is run as it is stored");
}

void require_applicable_to_serve(const options& o) {
  if (!o.task.empty())
    refuse(o, {"--prompt", "--label-words", "--labels"},
           "does not apply with --task, which says it");
  else if (o.label_words.empty())
    refuse(o, {"--prompt", "--labels", "--separator"}, "applies only with --label-words");
  else if (o.prompt.empty())
    refuse(o, {"--label-words"}, "applies only with --prompt");
}

/// The options of a task. A recipe may name the task, so nothing is known where there is one.
void require_applicable_to_task(const options& o) {
  const bool embedded = o.command == "demo" || o.task == "microworld";
  if (embedded)
    refuse(o,
           {"--data", "--unlabelled", "--corpus", "--calibration", "--prompt", "--answer",
            "--labels", "--label-words"},
           "does not apply to the task microworld, whose texts the program makes");
  const bool task = !o.task.empty() || (!o.prompt.empty() && !o.answer.empty());
  if (!task && o.recipe.empty() && !o.resume)
    refuse(o, {"--data", "--unlabelled", "--prompt", "--answer", "--labels", "--label-words"},
           "applies only with --task, or with both --prompt and --answer");
  if (!o.model.empty())
    refuse(o, {"--config"}, "does not apply with --model, which has an architecture of its own");
  if (!o.recipe.empty() && o.command != "eval")
    refuse(o, {"--quick", "--ternary", "--teacher", "--tokens", "--scale", "--sub-ln"},
           "does not apply with --recipe, whose stages say it");
  if (!o.print_recipe.empty())
    for (const std::string& name : o.given)
      if (name != "--print-recipe")
        throw tern::config_error(name + " does not apply with --print-recipe");
}

/// Endings of names that say of what kind a file is.
constexpr std::array<std::string_view, 25> file_endings{
    ".gguf", ".safetensors", ".json", ".jsonl", ".ndjson", ".tsv",   ".csv",   ".txt",  ".md",
    ".bin",  ".pt",          ".pth",  ".pkl",   ".npz",    ".npy",   ".model", ".onnx", ".h5",
    ".gz",   ".zst",         ".zip",  ".tar",   ".svg",    ".state", ".html"};

/// Refuses a name that ends as files of another kind than `made` do.
void require_name(const char* option, const std::string& path,
                  std::initializer_list<std::string_view> own, const std::string& made) {
  std::string ending = std::filesystem::path(path).extension().string();
  std::ranges::transform(ending, ending.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (std::ranges::count(own, ending) != 0 || std::ranges::count(file_endings, ending) == 0) return;
  throw tern::config_error(std::string(option) + " '" + path + "': the name ends in " + ending +
                           ", but " + made);
}

void require_output_names(const options& o) {
  if (o.command == "export" && o.to == "gguf")
    require_name("--out", o.out, {".gguf"}, "--to gguf makes a GGUF file");
  else if (o.command == "export")
    require_name("--out", o.out, {}, "--to " + o.to + " makes a folder");
  else if (o.command == "embed")
    require_name("--out", o.out, {".npy"}, "embed writes an array of NumPy");
  else if (o.command == "tokenizer")
    require_name("--out", o.out, {".json"}, "the tokenizer is written as a tokenizer.json");
  else if (o.command == "report")
    require_name("--out", o.out, {".html"}, "the report is a page of HTML");
  else
    require_name("--out", o.out, {}, o.command + " makes a folder");
  require_name("--predictions", o.predictions, {".jsonl", ".ndjson", ".json", ".txt"},
               "predictions are written as JSON lines");
}

}  // namespace

void require_applicable(const options& o) {
  if (o.command == "generate") require_applicable_to_generate(o);
  if (o.command == "eval") require_applicable_to_eval(o);
  if (o.command == "export") require_applicable_to_export(o);
  if (o.command == "bench") require_applicable_to_bench(o);
  if (o.command == "serve") return require_applicable_to_serve(o);
  if (o.command == "inspect" && o.csv)
    refuse(o, {"--tensorboard"}, "does not apply with --csv, which prints the tables");
  if (o.command == "embed" && o.json)
    refuse(o, {"--out"}, "does not apply with --json, which prints the embeddings");
  if (o.command != "generate" && o.command != "embed" && o.command != "export")
    require_applicable_to_task(o);
  require_output_names(o);
}

}  // namespace bitdistill
