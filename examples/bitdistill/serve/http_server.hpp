// The HTTP server behind a small interface, so that only one file knows the library that does it.
// Every connection carries one request.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bitdistill::serving {

/// A request that has arrived whole.
struct http_request {
  std::string method;         ///< such as "POST"
  std::string path;           ///< without what follows a question mark
  std::string authorization;  ///< value of this header, or empty
  std::string body;           ///< decompressed
  /// Whether the client closed the connection.
  std::function<bool()> gone = [] { return false; };
};

/// Sends a piece of a streamed body. Returns false where the client is gone. An empty piece sends
/// nothing.
using send_piece = std::function<bool(std::string_view)>;

/// What a client gets.
struct http_response {
  int status = 200;                                            ///< status code
  std::string body{};                                          ///< empty where `stream` is given
  std::string content_type = "application/json";               ///< type of the body
  std::vector<std::pair<std::string, std::string>> headers{};  ///< more headers
  /// Where given, this function sends the body piece by piece. It throws nothing.
  std::function<void(const send_piece&)> stream{};
};

/// Limits of the server.
struct http_limits {
  std::size_t body_bytes = 1 << 20;  ///< largest body; a larger one is refused with status 413
  std::size_t connections = 128;     ///< connections that are served at once; others wait
  int seconds = 10;  ///< longest pause within a request, and longest wait for a slow reader
};

class http_server {
 public:
  /// Answers requests with `handler`, which several threads call at once and which throws nothing.
  /// `error_body` makes the body for a status that the server itself sets, such as 400 for what is
  /// not HTTP.
  http_server(std::function<http_response(const http_request&)> handler,
              std::function<std::string(int)> error_body, const http_limits& limits);
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Binds to the port, or to any free one for port 0. Clients can connect from then on. Returns
  /// the port. Throws tern::io_error.
  int bind(const std::string& host, int port);
  /// Serves clients until stop() was called and all requests are answered.
  void run();
  /// Accepts no more connections. Any thread.
  void stop();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace bitdistill::serving
