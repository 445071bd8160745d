// The command line as plain data. Only options.cpp knows the parser.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace bitdistill {

/// The values of all options. An option that is empty or absent was not given.
struct options {
  std::string command;             ///< the subcommand
  std::vector<std::string> words;  ///< command line as it was given
  std::set<std::string> given;     ///< names of the options that were given, such as "--model"
  std::string out, task, model, teacher, tokenizer, config, recipe, print_recipe;
  std::string data, prompt, answer, predictions, separator, pictures, tensorboard;
  std::vector<std::string> corpus, unlabelled, labels, label_words, set, end_tokens;
  std::optional<std::uint64_t> seed;
  std::size_t threads = 0;   ///< number of threads; 0: all of the machine
  std::size_t parallel = 1;  ///< stages of a grid that run at a time
  std::size_t ranks = 1;     ///< number of ranks of plan
  std::size_t vocab_size = 4096;
  bool resume = false, fresh = false, quick = false, no_speed = false, ternary = false;
  std::string scale = "row", sub_ln = "none";  ///< scales and norms of quantize
  std::size_t calibration_tokens = 16384;
  std::string part = "reported";   ///< part of the task that eval measures
  std::vector<std::string> paths;  ///< arguments of inspect, report and watch

  // The options of commands that run models: generate, embed, bench, eval --perplexity and export.
  std::vector<std::string> stop, formats{"base3"};
  std::string system, shape, shape_scale = "tensor", type, kv = "f16", to = "packed";
  std::string pooling, norm;  ///< options of embed; empty: the model's files decide
  bool csv = false;           ///< inspect prints tables as comma-separated values
  bool chat = false, no_think = false, perplexity = false, json = false;
  double temperature = 0, top_p = 1, min_p = 0, repetition_penalty = 1;
  std::size_t top_k = 0, max_tokens = 256, context = 2048, window = 512;
  std::size_t prompt_tokens = 512, new_tokens = 128, head_bits = 8;
  std::vector<std::size_t> thread_counts{1, 2};
  std::vector<std::size_t> contexts;  ///< positions behind which bench measures new tokens

  // The options of serve.
  std::string host = "127.0.0.1", api_key, name;
  std::size_t port = 8080, slots = 8, queue = 64, timeout = 600, body_kilobytes = 1024;
  std::size_t connections = 128, most_answer_tokens = 0;

  /// Whether an option was given.
  [[nodiscard]] bool has(const char* option) const { return given.contains(option); }
};

/// What parse_command_line() read.
struct parsed {
  options values;                ///< options that were given, and defaults
  std::optional<int> exit_code;  ///< set where the program should end after help or an error
};

/// Reads the arguments behind the name of the program. Prints help to stdout, or one line about an
/// error to stderr.
parsed parse_command_line(const std::vector<std::string>& arguments);

}  // namespace bitdistill
