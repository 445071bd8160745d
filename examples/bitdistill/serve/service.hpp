// The endpoints: what a request for a path gets.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "serve/answer_task.hpp"
#include "serve/classifier.hpp"
#include "serve/embedding_task.hpp"
#include "serve/engine.hpp"
#include "serve/http_server.hpp"
#include "serve/metrics.hpp"
#include "serve/requests.hpp"
#include "serve/responses.hpp"
#include "tern/checkpoint/model_text.hpp"
#include "tern/model/config.hpp"

namespace bitdistill::serving {

/// What the endpoints know about the model and what they allow.
struct service_options {
  std::string name;                       ///< name of the model
  std::string api_key;                    ///< key that clients must send; empty: none
  std::size_t max_tokens = 0;             ///< most tokens of an answer; 0: as many as fit
  std::chrono::seconds timeout{600};      ///< longest time from a request to the end of its answer
  std::vector<std::string> end_tokens{};  ///< tokens that end an answer, or empty: the model's own
};

class service {
 public:
  /// All arguments must outlive the service. `classes` may be null.
  service(const tern::model_text& text, const embedder& vectors, engine& runner, metrics& figures,
          const tern::session<>& session, const classifier* classes, service_options options);

  /// Answers a request. Any thread; throws nothing.
  http_response answer(const http_request& request);

  /// The body for an error that the server sets itself.
  static std::string error_body(int status);

 private:
  using endpoint_function = http_response (service::*)(const http_request&);
  struct endpoint {
    const char* method;
    const char* path;
    endpoint_function function;
  };
  static std::span<const endpoint> endpoints();

  [[nodiscard]] http_response route(const http_request& request, std::string& label);
  void require_key(const http_request& request) const;
  void require_model(const std::string& name) const;

  http_response health(const http_request&);
  http_response show_metrics(const http_request&);
  http_response models(const http_request&);
  http_response model(const http_request&);
  http_response tokenize(const http_request& request);
  http_response detokenize(const http_request& request);
  http_response completion(const http_request& request);
  http_response chat(const http_request& request);
  http_response embeddings(const http_request& request);
  http_response classify(const http_request& request);

  [[nodiscard]] std::vector<std::int32_t> tokens_of(const text_or_tokens& input) const;
  /// Generates an answer to a prompt, which is sent whole or as it grows.
  http_response generate(const http_request& http, const generation_request& request,
                         std::vector<std::int32_t> prompt, bool chat);
  [[nodiscard]] tern::generation_options options_of(const generation_request& request,
                                                    std::size_t prompt, bool chat) const;
  [[nodiscard]] ordered_json model_json() const;
  [[nodiscard]] std::size_t context() const { return session_.cache().shape().capacity; }
  void require_fits(std::size_t prompt, std::size_t added) const;

  const tern::model_text& text_;
  const embedder& embedder_;
  const tern::model_config& config_;
  engine& engine_;
  metrics& metrics_;
  const tern::session<>& session_;
  const classifier* classifier_;
  service_options options_;
  std::int64_t started_;
  std::string chat_problem_;  ///< why the model cannot chat, or empty
  /// Tokens that end an answer and tokens that are never chosen: for completions, and for chats.
  struct token_sets {
    std::vector<std::int32_t> ends, never;
  };
  token_sets plain_, chat_;
};

}  // namespace bitdistill::serving
