// The command serve of a program that was built without an HTTP library.
#include "commands.hpp"
#include "tern/core/error.hpp"

namespace bitdistill {

void serve(const options&) {
  throw tern::config_error(
      "serve is left out of this program: it was built without cpp-httplib (apt: "
      "libcpp-httplib-dev; vcpkg and Conan: cpp-httplib)");
}

}  // namespace bitdistill
