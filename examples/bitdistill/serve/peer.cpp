#include "serve/peer.hpp"

#if defined(_WIN32)

namespace bitdistill::serving {

std::function<bool()> peer_watch(const connection_ends&) {
  return [] { return false; };
}

}  // namespace bitdistill::serving

#else

#  include <netdb.h>
#  include <sys/socket.h>

#  include <array>
#  include <cerrno>
#  include <charconv>
#  include <filesystem>
#  include <optional>
#  include <system_error>
#  include <utility>

namespace bitdistill::serving {
namespace {

/// An address and a port as numbers; no address where the file is no socket of the internet.
std::pair<std::string, int> end_of(int file, decltype(::getpeername)& name_of) {
  sockaddr_storage storage{};
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  socklen_t size = sizeof storage;
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (name_of(file, address, &size) != 0 ||
      (storage.ss_family != AF_INET && storage.ss_family != AF_INET6) ||
      ::getnameinfo(address, size, host.data(), host.size(), port.data(), port.size(),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  int number = 0;
  std::from_chars(port.data(), port.data() + std::string_view(port.data()).size(), number);
  return {host.data(), number};
}

/// The file descriptor of the connection.
std::optional<int> find_socket(const connection_ends& ends) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/fd", error)) {
    const std::string name = entry.path().filename().string();
    int file = -1;
    if (std::from_chars(name.data(), name.data() + name.size(), file).ec != std::errc{}) continue;
    if (end_of(file, ::getpeername) == std::pair(ends.address, ends.port) &&
        end_of(file, ::getsockname).second == ends.own_port)
      return file;
  }
  return {};
}

}  // namespace

std::function<bool()> peer_watch(const connection_ends& ends) {
  return [ends, file = std::optional<std::optional<int>>{}]() mutable {
    if (!file) file = find_socket(ends);
    if (!*file) return false;
    char byte;
    const auto n = ::recv(**file, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  };
}

}  // namespace bitdistill::serving

#endif
