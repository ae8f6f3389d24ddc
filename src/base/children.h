// Child processes of a program: each is started with its own arguments and returns one JSON value or its Error. For
// whole runs, which then have their own memory, threads and faults; not for short work (base/parallel.h).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius {

class Children {
 public:
  // `program`: path of an executable that calls child_main() when it gets the arguments of start().
  explicit Children(std::string program) : program_(std::move(program)) {}
  ~Children();  // kills those that still run
  Children(const Children&) = delete;
  Children& operator=(const Children&) = delete;

  // Starts `program words...`. `name` is for messages, wait() returns `id`. A child does not outlive its parent.
  void start(i64 id, std::string name, const std::vector<std::string>& words);

  i64 running() const { return static_cast<i64>(children_.size()); }

  struct Ended {
    i64 id = 0;
    Json value;
  };
  // Waits until one has ended. If it failed, or on Ctrl-C, tells the others to stop where nothing is lost
  // (base/interrupt.h), waits for all of them, and throws the first Error. At least one must be running.
  Ended wait();

 private:
  struct Child {
    i64 id = 0;
    std::string name;
    int pid = 0, answer_fd = -1;
    std::string answer;
  };
  void stop_all();
  std::size_t wait_for_end();
  Ended collect(std::size_t index);

  std::string program_;
  std::vector<Child> children_;
  bool stopping_ = false;
};

// The child's side: Ctrl-C is left to the parent, and the answer to `work` goes to standard output. Returns the exit
// code.
int child_main(const std::string& name, const std::function<Json()>& work);

}  // namespace moebius
