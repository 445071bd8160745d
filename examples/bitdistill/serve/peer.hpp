// Whether the client of a connection went away, for versions of the HTTP library that do not tell.
#pragma once

#include <functional>
#include <string>

namespace bitdistill::serving {

/// The two ends of a TCP connection.
struct connection_ends {
  std::string address;  ///< numeric address of the client
  int port;             ///< port of the client
  int own_port;         ///< port of this process
};

/// A function that tells whether the client closed the connection. It may be called while the
/// connection is open on our side. Where the system has no list of sockets, it always says no.
std::function<bool()> peer_watch(const connection_ends& ends);

}  // namespace bitdistill::serving
