// What clients ask for: the body of a request as a struct. The parsers are pure functions of the
// body. They throw a refusal that names the member which is wrong or not supported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tern/infer/sampler.hpp"
#include "tern/text/chat_template.hpp"

namespace bitdistill::serving {

/// A prompt, or a text to embed, as text or as tokens.
using text_or_tokens = std::variant<std::string, std::vector<std::int32_t>>;

/// What a completion and a chat have in common.
struct generation_request {
  std::string model;                      ///< name of the model, or empty
  std::optional<std::size_t> max_tokens;  ///< most tokens of the answer
  tern::sampling_options sampling;        ///< without a seed where the request has none
  bool seeded = false;                    ///< whether the request has a seed
  std::vector<std::string> stop;          ///< texts that end the answer
  bool stream = false;                    ///< whether the answer is sent as it grows
  bool include_usage = false;             ///< whether a stream ends with the number of tokens
  /// Number of alternatives whose log-probabilities are sent beside that of each token; nothing if
  /// no log-probabilities are wanted.
  std::optional<std::size_t> logprobs;
};

/// The body of POST /v1/completions.
struct completion_request : generation_request {
  text_or_tokens prompt;  ///< what the answer continues
};

/// The body of POST /v1/chat/completions.
struct chat_request : generation_request {
  std::vector<tern::chat_message> messages;  ///< at least one
  bool enable_thinking = true;               ///< from chat_template_kwargs
};

/// The body of POST /v1/embeddings.
struct embedding_request {
  std::string model;                  ///< name of the model, or empty
  std::vector<text_or_tokens> input;  ///< at least one
  bool base64 = false;                ///< whether vectors are sent as base64 of their floats
};

/// The body of POST /v1/classify.
struct classify_request {
  std::string model;  ///< name of the model, or empty
  /// For each input the value of each column, or one value without a name for a task with one
  /// column.
  std::vector<std::map<std::string, std::string>> input;
};

/// The body of POST /tokenize.
struct tokenize_request {
  std::string content;        ///< the text
  bool add_special = false;   ///< whether to add the tokens that stand around a text
  bool parse_special = true;  ///< whether spellings such as <|im_end|> become their tokens
};

/// The body of POST /detokenize.
struct detokenize_request {
  std::vector<std::int32_t> tokens;  ///< ids of tokens
};

/// The most inputs of one request for embeddings or classes.
inline constexpr std::size_t most_inputs = 256;

completion_request parse_completion(std::string_view body);  ///< see completion_request
chat_request parse_chat(std::string_view body);              ///< see chat_request
embedding_request parse_embedding(std::string_view body);    ///< see embedding_request
classify_request parse_classify(std::string_view body);      ///< see classify_request
tokenize_request parse_tokenize(std::string_view body);      ///< see tokenize_request
detokenize_request parse_detokenize(std::string_view body);  ///< see detokenize_request

}  // namespace bitdistill::serving
