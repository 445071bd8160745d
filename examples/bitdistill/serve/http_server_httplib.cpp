// The HTTP server by cpp-httplib.
#include <httplib.h>

#include <utility>

#include "serve/http_server.hpp"
#include "serve/peer.hpp"
#include "tern/core/error.hpp"

namespace bitdistill::serving {
namespace {

/// A function that tells whether the client closed the connection.
template <class Request>
std::function<bool()> gone_of(const Request& r) {
  if constexpr (requires { r.is_connection_closed(); })
    return r.is_connection_closed;
  else
    return peer_watch({r.remote_addr, r.remote_port, r.local_port});
}

bool is_json(const httplib::Request& r) {
  const std::string type = r.get_header_value("Content-Type");
  return type == "application/json" || type.starts_with("application/json;");
}

}  // namespace

struct http_server::state {
  httplib::Server server;
  std::function<http_response(const http_request&)> handler;
  std::function<std::string(int)> error_body;
  http_limits limits;

  /// Answers a request whose body was read.
  void answer(const httplib::Request& from, std::string body, httplib::Response& to) const {
    http_response r = handler({from.method, from.path, from.get_header_value("Authorization"),
                               std::move(body), gone_of(from)});
    to.status = r.status;
    for (const auto& [name, value] : r.headers) to.set_header(name, value);
    if (!r.stream) return to.set_content(std::move(r.body), r.content_type);
    to.set_chunked_content_provider(
        r.content_type, [stream = std::move(r.stream)](std::size_t, httplib::DataSink& sink) {
          bool open = true;
          stream([&](std::string_view piece) {
            open = open &&
                   (piece.empty() ? sink.is_writable() : sink.write(piece.data(), piece.size()));
            return open;
          });
          if (open) sink.done();
          return open;
        });
  }

  void refuse(httplib::Response& to, int status) const {
    to.status = status;
    to.set_content(error_body(status), "application/json");
  }

  /// Reads the body of a request, never more than the limit, and answers it.
  void read_and_answer(const httplib::Request& from, httplib::Response& to,
                       const httplib::ContentReader& read) const {
    if (!from.has_header("Content-Length") && !from.has_header("Transfer-Encoding"))
      return refuse(to, 411);
    if (!is_json(from)) return refuse(to, 415);
    std::string body;
    bool fits = true;
    const bool whole = read([&](const char* data, std::size_t n) {
      fits = fits && n <= limits.body_bytes - body.size();
      if (fits) body.append(data, n);
      return fits;
    });
    if (!fits) return refuse(to, 413);
    if (!whole) return refuse(to, to.status >= 400 ? to.status : 400);
    answer(from, std::move(body), to);
  }
};

http_server::http_server(std::function<http_response(const http_request&)> handler,
                         std::function<std::string(int)> error_body, const http_limits& limits)
    : state_(new state{{}, std::move(handler), std::move(error_body), limits}) {
  httplib::Server& server = state_->server;
  server.new_task_queue = [n = limits.connections] { return new httplib::ThreadPool(n); };
  server.set_keep_alive_max_count(1);  // what is left of a refused request is never read as one
  server.set_read_timeout(limits.seconds);
  server.set_write_timeout(limits.seconds);
  server.set_payload_max_length(limits.body_bytes);
  server.set_tcp_nodelay(true);
  server.set_socket_options([](auto socket) {  // no other process may take the same port
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, reinterpret_cast<const char*>(&yes), sizeof yes);
  });
  const auto whole = [s = state_.get()](const httplib::Request& from, httplib::Response& to) {
    s->answer(from, {}, to);
  };
  const auto unread = [whole](const httplib::Request& from, httplib::Response& to,
                              const httplib::ContentReader&) { whole(from, to); };
  server.Get(".*", whole);
  server.Options(".*", whole);
  server.Put(".*", unread);
  server.Patch(".*", unread);
  server.Delete(".*", unread);
  server.Post(".*", [s = state_.get()](const httplib::Request& from, httplib::Response& to,
                                       const httplib::ContentReader& read) {
    s->read_and_answer(from, to, read);
  });
  server.set_exception_handler([s = state_.get()](const httplib::Request&, httplib::Response& to,
                                                  std::exception_ptr) { s->refuse(to, 500); });
  server.set_error_handler([s = state_.get()](const httplib::Request&, httplib::Response& to) {
    if (to.body.empty()) s->refuse(to, to.status);
  });
}

http_server::~http_server() = default;

int http_server::bind(const std::string& host, int port) {
  const int bound = port == 0 ? state_->server.bind_to_any_port(host)
                              : (state_->server.bind_to_port(host, port) ? port : -1);
  if (bound < 0)
    throw tern::io_error("cannot listen on " + host + ", port " + std::to_string(port) +
                         ": it is in use, or the address is not one of this machine");
  return bound;
}

void http_server::run() { state_->server.listen_after_bind(); }

void http_server::stop() { state_->server.stop(); }

}  // namespace bitdistill::serving
