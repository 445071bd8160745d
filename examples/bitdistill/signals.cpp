#include "signals.hpp"

#include <csignal>

namespace bitdistill {
namespace {

volatile std::sig_atomic_t stop = 0;

extern "C" void request_stop(int number) {
  stop = 1;
  std::signal(number, SIG_DFL);  // a second signal ends the program
}

}  // namespace

void catch_signals() {
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
#if defined(SIGBREAK)  // Ctrl-Break of a Windows console
  std::signal(SIGBREAK, request_stop);
#endif
}

bool stop_requested() { return stop != 0; }

}  // namespace bitdistill
