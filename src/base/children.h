// Work in child processes, side by side: each a fork of this process that calls a function and sends back its JSON value or
// its Error. For whole runs, whose memory, threads and faults are then their own; not for short work (base/parallel.h).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius {

class Children {
 public:
  Children() = default;
  ~Children();  // ends those that still run at once
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // Forks; `work` begins in the child. This process must have one thread (parallel_set_threads(1)), since a fork copies no
  // other; the child may start its own. `name` is for messages, `id` comes back from wait(). A child does not outlive its parent.
  void start(i64 id, std::string name, const std::function<Json()>& work);

  i64 running() const { return static_cast<i64>(children_.size()); }

  struct Ended {
    i64 id = 0;
    Json value;
  };
  // Waits until one has ended. If it failed, or on Ctrl-C, asks the others to stop where nothing is lost
  // (base/interrupt.h), waits for all of them, and throws the first Error. At least one must be running.
  Ended wait();

 private:
  struct Child {
    i64 id = 0;
    std::string name;
    int pid = 0, answer_fd = -1;
    std::string answer;
  };
  void ask_to_stop();
  std::size_t wait_for_end();
  Ended collect(std::size_t index);

  std::vector<Child> children_;
  bool asked_ = false;
};

}  // namespace moebius
