// The only place that creates threads: one small pool for the process. Work is divided by shape, never by the number of
// threads, and each output is written by one task, so results do not depend on the number of threads. Calls from inside
// a task run in place. Not for blocking I/O.
#pragma once

#include <functional>

#include "base/types.h"

namespace moebius {

// Sets the number of threads (>= 1; 0 = one for each available core). Call between parallel regions only.
void parallel_set_threads(int num_threads);
int parallel_threads();
int parallel_cores_available();

// A non-owning reference to `void(i64 task, int thread)`, so that a call allocates nothing.
class TaskRef {
 public:
  template <typename F>
  TaskRef(const F& function)  // NOLINT: implicit on purpose
      : object_(&function),
        call_([](const void* object, i64 task, int thread) { (*static_cast<const F*>(object))(task, thread); }) {}
  void operator()(i64 task, int thread) const { call_(object_, task, thread); }

 private:
  const void* object_;
  void (*call_)(const void*, i64, int);
};

// Runs task(0..num_tasks-1, thread) and returns when all are done. Each thread begins with a contiguous share of the
// tasks, in their order, then helps with the last tasks of the others: neighbouring tasks should touch neighbouring
// memory. `thread` is in [0, parallel_threads()) and names scratch space. The first exception of a task is rethrown
// here.
void parallel_for(i64 num_tasks, TaskRef task);

// Number of chunks of `grain` in n (the last may be short): the usual cut of work by shape.
inline i64 parallel_chunks(i64 n, i64 grain) { return (n + grain - 1) / grain; }

}  // namespace moebius
