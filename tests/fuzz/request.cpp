// Fuzzes the parsers of requests to `bitdistill serve`: every body is parsed, or refused with a
// status of a client's fault.
#include "serve/requests.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serve/refusal.hpp"

namespace {

template <class F>
void parse(F&& f, std::string_view body) {
  try {
    static_cast<void>(f(body));
  } catch (const bitdistill::serving::refusal& e) {
    if (e.status < 400 || e.status > 499) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace bitdistill::serving;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  parse(parse_completion, body);
  parse(parse_chat, body);
  parse(parse_embedding, body);
  parse(parse_classify, body);
  parse(parse_tokenize, body);
  parse(parse_detokenize, body);
  return 0;
}
