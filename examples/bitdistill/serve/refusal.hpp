// A request that is not served, as a status code and a message.
#pragma once

#include <stdexcept>
#include <string>

namespace bitdistill::serving {

/// Thrown where a request cannot be served. The message tells the client what was expected.
struct refusal : std::runtime_error {
  /// `code`: a name by which programs tell causes apart, such as "context_length_exceeded".
  refusal(int status_code, const std::string& message, std::string cause = {})
      : std::runtime_error(message), status(status_code), code(std::move(cause)) {}

  int status;        ///< HTTP status code
  std::string code;  ///< name of the cause, or empty
};

}  // namespace bitdistill::serving
