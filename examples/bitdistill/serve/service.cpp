#include "serve/service.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <exception>
#include <new>
#include <random>
#include <utility>
#include <variant>

#include "chat.hpp"
#include "tern/core/error.hpp"
#include "tern/text/chat_prompt.hpp"
#include "tern/text/end_tokens.hpp"

namespace bitdistill::serving {
namespace {

/// How often a thread that waits for an answer looks whether its client is still there.
constexpr std::chrono::milliseconds look_after{100};

http_response json_response(const ordered_json& json, int status = 200) {
  return {status, to_text(json)};
}

http_response error_response(const refusal& why) {
  http_response r = json_response(error_json(why.status, why.what(), why.code), why.status);
  if (why.status == 401) r.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (why.status == 429 || why.status == 503) r.headers.emplace_back("Retry-After", "1");
  return r;
}

/// The refusal for the exception that is being handled.
refusal current_refusal() {
  try {
    throw;
  } catch (const refusal& e) {
    return e;
  } catch (const tern::error& e) {  // of a template or a tokenizer that the request does not suit
    return {400, e.what()};
  } catch (const std::bad_alloc&) {
    return {503, "there is not enough memory", "out_of_memory"};
  } catch (const std::exception& e) {
    return {500, e.what()};
  }
}

/// Compares two texts in a time that does not tell where they differ.
bool same_secret(const std::string& a, const std::string& b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^
                  static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]);
  return difference == 0;
}

std::uint64_t fresh_seed() {
  std::random_device random;
  return static_cast<std::uint64_t>(random()) << 32 | random();
}

std::string event(const ordered_json& json) { return "data: " + to_text(json) + "\n\n"; }

/// Waits until step() says that a task is done. step() waits for a short time. Throws a refusal
/// where the client is gone.
template <class Step>
void wait_for(const std::function<bool()>& gone, Step&& step) {
  while (!step())
    if (gone()) throw refusal(499, "the client closed the connection");
}

/// An object whose end abandons the task: then nobody waits for it, whatever happened.
std::shared_ptr<void> while_wanted(std::shared_ptr<task> t) {
  task* const pointer = t.get();
  return {pointer, [t = std::move(t)](task*) { t->abandon(); }};
}

}  // namespace

service::service(const tern::model_text& text, const embedder& vectors, engine& runner,
                 metrics& figures, const tern::session<>& session, const classifier* classes,
                 service_options options)
    : text_(text),
      embedder_(vectors),
      config_(vectors.model.config()),
      engine_(runner),
      metrics_(figures),
      session_(session),
      classifier_(classes),
      options_(std::move(options)),
      started_(static_cast<std::int64_t>(std::time(nullptr))) {
  for (const bool chat : {false, true}) {
    token_sets& sets = chat ? chat_ : plain_;
    sets.ends = ends_of(text, options_.end_tokens, chat);
    sets.never = tern::ids_without_text(*text.tokenizer, config_.vocab_size, sets.ends);
  }
  try {
    const tern::chat_message sample{"user", "a"};
    const auto written = chat_text(text, {&sample, 1}, true, config_.model_type);
    tern::require_control_tokens(*text.tokenizer, written, {&sample, 1});
  } catch (const tern::error& e) {
    chat_problem_ = e.what();
  }
}

std::span<const service::endpoint> service::endpoints() {
  static constexpr std::array<endpoint, 10> all{{
      {"GET", "/health", &service::health},
      {"GET", "/metrics", &service::show_metrics},
      {"GET", "/v1/models", &service::models},
      {"GET", "/v1/models/", &service::model},
      {"POST", "/v1/completions", &service::completion},
      {"POST", "/v1/chat/completions", &service::chat},
      {"POST", "/v1/embeddings", &service::embeddings},
      {"POST", "/v1/classify", &service::classify},
      {"POST", "/tokenize", &service::tokenize},
      {"POST", "/detokenize", &service::detokenize},
  }};
  return all;
}

http_response service::answer(const http_request& request) {
  std::string label = "other";
  http_response response;
  try {
    response = route(request, label);
  } catch (...) {
    response = error_response(current_refusal());
  }
  metrics_.count(label, response.status);
  return response;
}

std::string service::error_body(int status) {
  const char* const message = status == 400   ? "the request is not valid HTTP"
                              : status == 411 ? "expected a Content-Length"
                              : status == 413 ? "the body is larger than the server allows"
                              : status == 414 ? "the address is too long"
                              : status == 415 ? "expected Content-Type: application/json"
                                              : "the request failed";
  return to_text(error_json(status, message, ""));
}

http_response service::route(const http_request& request, std::string& label) {
  const auto is_for = [&](const endpoint& e) {
    const std::string_view path = e.path;
    return path.ends_with('/') ? request.path.starts_with(path) : request.path == path;
  };
  const auto found = std::ranges::find_if(endpoints(), is_for);
  if (found == endpoints().end()) {
    require_key(request);
    throw refusal(404, "there is no " + request.path.substr(0, 80), "not_found");
  }
  label = found->path;
  if (found->function != &service::health) require_key(request);
  const bool head = request.method == "HEAD" && std::string_view(found->method) == "GET";
  if (request.method != found->method && !head) {
    http_response r = error_response(
        {405, std::string(found->path) + " takes " + found->method, "method_not_allowed"});
    r.headers.emplace_back("Allow", found->method);
    return r;
  }
  return (this->*found->function)(request);
}

void service::require_key(const http_request& request) const {
  if (options_.api_key.empty()) return;
  constexpr std::string_view scheme = "Bearer ";
  const std::string& given = request.authorization;
  if (!given.starts_with(scheme) || !same_secret(given.substr(scheme.size()), options_.api_key))
    throw refusal(401, "expected the header Authorization: Bearer KEY with the server's key",
                  "invalid_api_key");
}

void service::require_model(const std::string& name) const {
  if (!name.empty() && name != options_.name)
    throw refusal(
        404,
        "there is no model '" + name.substr(0, 80) + "'; this server has '" + options_.name + "'",
        "model_not_found");
}

http_response service::health(const http_request&) {
  if (engine_.closed()) throw refusal(503, "the server is shutting down", "shutting_down");
  return json_response({{"status", "ok"}});
}

http_response service::show_metrics(const http_request&) {
  return {200, metrics_.text(session_.cache().shape().sequences), "text/plain; version=0.0.4"};
}

ordered_json service::model_json() const {
  return {{"id", options_.name}, {"object", "model"}, {"created", started_}, {"owned_by", "tern"}};
}

http_response service::models(const http_request&) {
  return json_response({{"object", "list"}, {"data", ordered_json::array({model_json()})}});
}

http_response service::model(const http_request& request) {
  require_model(request.path.substr(std::string_view("/v1/models/").size()));
  return json_response(model_json());
}

http_response service::tokenize(const http_request& request) {
  const tokenize_request r = parse_tokenize(request.body);
  return json_response(
      {{"tokens",
        text_.tokenizer->encode(
            r.content, r.parse_special ? tern::added_text::recognise : tern::added_text::plain,
            r.add_special ? tern::special_tokens::add : tern::special_tokens::none)}});
}

http_response service::detokenize(const http_request& request) {
  return json_response(
      {{"content", text_.tokenizer->decode(parse_detokenize(request.body).tokens)}});
}

std::vector<std::int32_t> service::tokens_of(const text_or_tokens& input) const {
  if (const auto* const text = std::get_if<std::string>(&input))
    return text_.tokenizer->encode(*text, tern::added_text::recognise, tern::special_tokens::add);
  const auto& tokens = std::get<std::vector<std::int32_t>>(input);
  for (const std::int32_t token : tokens)
    if (static_cast<std::size_t>(token) >= config_.vocab_size)
      throw refusal(400, fmt::format("the model has no token {}", token), "invalid_value");
  return tokens;
}

http_response service::completion(const http_request& request) {
  const completion_request r = parse_completion(request.body);
  require_model(r.model);
  return generate(request, r, tokens_of(r.prompt), false);
}

http_response service::chat(const http_request& request) {
  const chat_request r = parse_chat(request.body);
  require_model(r.model);
  if (!chat_problem_.empty()) throw refusal(400, chat_problem_, "no_chat");
  if (!r.enable_thinking && !can_skip_thoughts(text_))
    throw refusal(400,
                  "chat_template_kwargs.enable_thinking: the chat template of the model does not "
                  "know it",
                  "unsupported_parameter");
  const std::string words = chat_text(text_, r.messages, r.enable_thinking, config_.model_type);
  return generate(request, r, text_.tokenizer->encode(words), true);
}

void service::require_fits(std::size_t prompt, std::size_t added) const {
  if (prompt == 0) throw refusal(400, "the prompt has no tokens", "empty_prompt");
  if (prompt + added > context())
    throw refusal(
        400,
        fmt::format("the prompt has {} tokens{}, but prompt and answer together may "
                    "have {}",
                    prompt, added == 0 ? "" : fmt::format(" and the answer {}", added), context()),
        "context_length_exceeded");
}

tern::generation_options service::options_of(const generation_request& request, std::size_t prompt,
                                             bool chat) const {
  if (options_.max_tokens != 0 && request.max_tokens.value_or(0) > options_.max_tokens)
    throw refusal(
        400,
        fmt::format("max_tokens: expected at most {}, as the server allows", options_.max_tokens),
        "invalid_value");
  require_fits(prompt, request.max_tokens.value_or(0));
  std::size_t most = request.max_tokens.value_or(context() - prompt);
  if (options_.max_tokens != 0) most = std::min(most, options_.max_tokens);
  tern::generation_options g;
  g.sampling = request.sampling;
  if (!request.seeded) g.sampling.seed = fresh_seed();
  g.max_tokens = most;
  g.stop_tokens = (chat ? chat_ : plain_).ends;
  g.never = (chat ? chat_ : plain_).never;
  g.stop_strings = request.stop;
  return g;
}

http_response service::generate(const http_request& http, const generation_request& request,
                                std::vector<std::int32_t> prompt, bool chat) {
  const std::size_t prompt_tokens = prompt.size();
  const auto options = options_of(request, prompt_tokens, chat);
  const auto work = std::make_shared<answer_task>(
      std::move(prompt), serving_clock::now() + options_.timeout, options, config_.vocab_size,
      *text_.tokenizer, request.logprobs);
  answer_json json(chat, request.logprobs.has_value(), options_.name, *text_.tokenizer);
  auto wanted = while_wanted(work);
  engine_.submit({work});
  if (!request.stream) {
    answer_part all;
    wait_for(http.gone, [&] {
      answer_part part;
      const bool done = work->next(part, look_after);
      all.text += part.text;
      std::ranges::move(part.logprobs, std::back_inserter(all.logprobs));
      return done;
    });
    return json_response(json.whole(all, work->finish(), prompt_tokens, work->tokens()));
  }
  http_response response{200, {}, "text/event-stream"};
  response.headers.emplace_back("Cache-Control", "no-cache");
  response.stream = [work, wanted, json, chat, prompt_tokens,
                     usage = request.include_usage](const send_piece& send) mutable {
    bool open = true;
    const auto put = [&](const ordered_json& piece) { open = open && send(event(piece)); };
    try {
      if (chat) put(json.opening());
      wait_for([&] { return !open || !send({}); },
               [&] {
                 answer_part part;
                 const bool done = work->next(part, look_after);
                 if (!part.text.empty() || !part.logprobs.empty()) put(json.piece(part));
                 return done;
               });
      put(json.end(work->finish()));
      if (usage) put(json.usage(prompt_tokens, work->tokens()));
    } catch (...) {
      const refusal why = current_refusal();
      put(error_json(why.status, why.what(), why.code));
    }
    if (open) send("data: [DONE]\n\n");
  };
  return response;
}

http_response service::embeddings(const http_request& request) {
  const embedding_request r = parse_embedding(request.body);
  require_model(r.model);
  constexpr std::size_t most_together = 1024;  // tokens of one task, between two steps
  std::vector<tern::token_batch> batches(1);
  std::size_t tokens = 0;
  for (const auto& input : r.input) {
    const auto ids = tokens_of(input);
    require_fits(ids.size(), 0);
    if (!batches.back().tokens.empty() && batches.back().tokens.size() + ids.size() > most_together)
      batches.emplace_back();
    batches.back().add(ids);
    tokens += ids.size();
  }
  const auto deadline = serving_clock::now() + options_.timeout;
  const std::size_t width = config_.hidden_size;
  auto data = ordered_json::array();
  for (auto& batch : batches) {
    const auto work = std::make_shared<embedding_task>(std::move(batch), deadline, embedder_);
    const auto wanted = while_wanted(work);
    engine_.submit({work});
    const std::vector<float>* found = nullptr;
    wait_for(request.gone, [&] { return (found = work->vectors(look_after)) != nullptr; });
    for (std::size_t at = 0; at < found->size(); at += width)
      data.push_back({{"object", "embedding"},
                      {"index", data.size()},
                      {"embedding", vector_json(std::span(*found).subspan(at, width), r.base64)}});
  }
  return json_response({{"object", "list"},
                        {"model", options_.name},
                        {"data", std::move(data)},
                        {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}});
}

http_response service::classify(const http_request& request) {
  if (classifier_ == nullptr)
    throw refusal(404,
                  "this server knows no task: it was started without --label-words and --prompt, "
                  "and without --task",
                  "no_task");
  const classify_request r = parse_classify(request.body);
  require_model(r.model);
  std::vector<std::vector<std::int32_t>> prompts;
  std::size_t tokens = 0;
  for (const auto& input : r.input) {
    prompts.push_back(classifier_->prompt(input));
    require_fits(prompts.back().size(), classifier_->added_tokens());
    tokens += prompts.back().size();
  }
  const auto deadline = serving_clock::now() + options_.timeout;
  auto data = ordered_json::array();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto parts = classifier_->tasks(prompts[i], deadline);
    std::vector<std::shared_ptr<void>> wanted;
    for (const auto& part : parts) wanted.push_back(while_wanted(part));
    engine_.submit({parts.begin(), parts.end()});
    std::vector<double> scores(classifier_->labels().size());
    for (const auto& part : parts)
      wait_for(request.gone, [&] {
        const auto found = part->scores(look_after);
        for (std::size_t c = 0; found && c < scores.size(); ++c) scores[c] += (*found)[c];
        return found.has_value();
      });
    const auto shares = probabilities(scores);
    auto named = ordered_json::object();
    for (std::size_t c = 0; c < shares.size(); ++c) named[classifier_->labels()[c]] = shares[c];
    const auto best = static_cast<std::size_t>(std::ranges::max_element(shares) - shares.begin());
    data.push_back({{"index", i},
                    {"label", classifier_->labels()[best]},
                    {"probabilities", std::move(named)}});
  }
  return json_response({{"object", "list"},
                        {"model", options_.name},
                        {"data", std::move(data)},
                        {"usage", usage_json(tokens, 0)}});
}

}  // namespace bitdistill::serving
