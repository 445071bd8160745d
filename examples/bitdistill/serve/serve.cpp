// The command serve: puts a model behind HTTP.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <optional>

#include "commands.hpp"
#include "machine.hpp"
#include "serve/classifier.hpp"
#include "serve/engine.hpp"
#include "serve/http_server.hpp"
#include "serve/service.hpp"
#include "signals.hpp"
#include "standard_output.hpp"
#include "tern/checkpoint/load_model.hpp"
#include "tern/checkpoint/pooling_files.hpp"
#include "tern/core/thread_pool.hpp"
#include "tern/data/named_task.hpp"
#include "texts.hpp"

namespace bitdistill {
namespace {

/// The longest that running requests may take after the first signal.
constexpr std::chrono::seconds grace{30};

/// Tokens of a prompt that are read in one pass. Sequences that generate share the pass, so it is
/// short enough for them to go on.
constexpr std::size_t prompt_chunk = 96;

std::string name_of(const options& o) {
  if (!o.name.empty()) return o.name;
  const std::filesystem::path path = std::filesystem::absolute(o.model).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).stem().string();
}

std::size_t context_of(const options& o, const tern::model_config& config) {
  const std::size_t most = config.max_position_embeddings;
  if (o.has("--context") && o.context > most)
    throw tern::config_error(
        fmt::format("--context {}: the model reads at most {} tokens (max_position_embeddings)",
                    o.context, most));
  return std::min(o.context, most);
}

/// The classifier of the task that the options name, if they name one.
std::optional<serving::classifier> classifier_of(const options& o, const tern::model_text& text) {
  serving::task_description task{o.prompt, o.label_words, o.labels, o.separator};
  if (!o.task.empty()) {
    const tern::text_task known = tern::named_task(o.task);
    task = {known.prompt, known.label_words, known.labels, o.separator};
  }
  if (task.words.empty()) return {};
  return serving::classifier(task, text);
}

/// Serves until a signal asks for a stop. Then requests that run may finish within the grace.
void run(serving::http_server& server, serving::engine& engine) {
  auto done = std::async(std::launch::async, [&] { server.run(); });
  while (!stop_requested())
    if (done.wait_for(std::chrono::milliseconds(100)) == std::future_status::ready)
      throw tern::io_error("the server stopped accepting connections");
  fmt::print(stderr,
             "bitdistill: stopping: requests that run may take {} s more; a second signal ends "
             "them at once\n",
             grace.count());
  engine.close();
  server.stop();
  if (done.wait_for(grace) != std::future_status::ready) engine.stop();
  done.get();
}

}  // namespace

void serve(const options& o) {
  catch_signals();
  auto model = tern::load_model<>(o.model);
  const auto text = read_text_of(o.model, o.tokenizer);
  static_cast<void>(text.required(o.model));
  const auto classes = classifier_of(o, text);
  tern::thread_pool pool(o.threads);
  tern::session<> session(model,
                          {.sequences = o.slots,
                           .capacity = context_of(o, model.config()),
                           .chunk = prompt_chunk,
                           .storage = kv_storage_of(o)},
                          pool);
  serving::metrics figures;
  serving::engine engine(session, o.queue, figures);
  const serving::embedder vectors{model, tern::read_pooling(o.model).value_or(tern::pooling_rule{}),
                                  pool};
  serving::service service(text, vectors, engine, figures, session, classes ? &*classes : nullptr,
                           {.name = name_of(o),
                            .api_key = o.api_key,
                            .max_tokens = o.most_answer_tokens,
                            .timeout = std::chrono::seconds(o.timeout),
                            .end_tokens = o.end_tokens});
  serving::http_server server(
      [&](const serving::http_request& request) { return service.answer(request); },
      serving::service::error_body,
      {.body_bytes = o.body_kilobytes * 1000, .connections = o.connections});
  const int port = server.bind(o.host, static_cast<int>(o.port));
  const bool is_v6 = o.host.find(':') != o.host.npos;
  put(fmt::format("listening on http://{}:{}\n", is_v6 ? "[" + o.host + "]" : o.host, port));
  require_output();
  run(server, engine);
}

}  // namespace bitdistill
