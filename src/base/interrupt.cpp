// The flag and its handler.
// In, out: interrupt.h.
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

void on_signal_in_child(int) { requests.fetch_add(1); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigaction(signal, &action, nullptr);
}

void mask_both(int how) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  ::sigprocmask(how, &signals, nullptr);
}

}  // namespace

void interrupt_install() {
  handle(SIGINT, on_signal);
  handle(SIGTERM, on_signal);
  handle(SIGXFSZ, SIG_IGN);  // beyond `ulimit -f`, write() fails with EFBIG
}

void interrupt_block_for_child() { mask_both(SIG_BLOCK); }

void interrupt_install_in_child() {
  handle(SIGINT, SIG_IGN);
  handle(SIGTERM, on_signal_in_child);
  handle(SIGXFSZ, SIG_IGN);
  mask_both(SIG_UNBLOCK);
}

bool interrupt_requested() { return requests.load(std::memory_order_relaxed) > 0; }

void interrupt_check(const char* what_is_safe) {
  if (interrupt_requested()) throw Error({.what = "interrupted", .fix = what_is_safe});
}

}  // namespace moebius
