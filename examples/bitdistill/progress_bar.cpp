#include "progress_bar.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "system.hpp"

namespace bitdistill {
namespace {

bool is_dumb() {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) == "dumb";
}

}  // namespace

progress_bar::progress_bar(std::FILE* stream)
    : stream_(stream), possible_(is_terminal(stream) && !is_dumb()) {}

void progress_bar::show(const std::string& what, std::size_t done, std::size_t all,
                        const std::function<std::string()>& more) {
  if (!possible_ || all == 0 || clock::now() - last_ <= std::chrono::milliseconds(100)) return;
  constexpr std::size_t width = 40;
  const std::size_t full = width * std::min(done, all) / all;
  fmt::print(stream_, "\r\x1b[K{} [{}{}] {:3}%{}", what, std::string(full, '#'),
             std::string(width - full, '.'), 100 * done / all, more ? more() : "");
  std::fflush(stream_);
  last_ = clock::now();
  drawn_ = true;
}

void progress_bar::clear() {
  if (drawn_) fmt::print(stream_, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace bitdistill
