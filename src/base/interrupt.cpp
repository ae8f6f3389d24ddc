// The flag and its handler.
#include "base/interrupt.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "base/error.h"

namespace moebius {

namespace {

std::atomic<int> requests{0};

void on_signal(int) {
  if (requests.fetch_add(1) >= 1) ::_exit(130);
}

}  // namespace

void interrupt_install() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

bool interrupt_requested() { return requests.load(std::memory_order_relaxed) > 0; }

void interrupt_check(const char* what_is_safe) {
  if (interrupt_requested()) throw Error({.what = "interrupted", .fix = what_is_safe});
}

}  // namespace moebius
