// The command line as plain data. Only options.cpp knows the parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace bitdistill {

/// Empty or absent: not given.
struct options {
  std::string command;
  std::string out, task, model, teacher, tokenizer, config, recipe, print_recipe;
  std::string data, prompt, answer, predictions;
  std::vector<std::string> corpus, labels, label_words, set;
  std::optional<std::uint64_t> seed;
  std::size_t threads = 0;  ///< 0 = all
  std::size_t vocab_size = 0;
  bool resume = false, fresh = false, quick = false, ternary = false;
  std::string part = "reported";   ///< of eval
  std::vector<std::string> paths;  ///< of inspect

  // Of models at work: generate, bench, eval --perplexity, export.
  std::vector<std::string> prompts, stop, formats{"base3"};
  std::string system, shape, type, kv = "f16", to = "packed";
  bool chat = false, no_think = false, perplexity = false, json = false;
  double temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
  std::size_t top_k = 0, max_tokens = 256, context = 2048, window = 512;
  std::size_t prompt_tokens = 512, new_tokens = 128, head_bits = 8;
  std::vector<std::size_t> thread_counts{1, 2};
};

struct parsed {
  options values;
  std::optional<int> exit_code;  ///< set where help or an error was all there was to do
};

/// Reads argv; prints help to stdout or one line of error to stderr.
parsed parse_command_line(int argc, char** argv);

}  // namespace bitdistill
