// Scratch memory of the drivers: one block for each thread and one shared by a call; grown when a larger shape comes,
// never freed, so steady state allocates nothing. Kernels are called by one thread at a time (they spread the work).
#pragma once

#include "base/types.h"

namespace moebius::kernels {

// Cuts one block of memory into arrays, each on a 64-byte line. First add up with `bytes`, then take.
class Scratch {
 public:
  explicit Scratch(void* base) : next_(static_cast<u8*>(base)) {}
  template <typename T>
  T* take(i64 count) {
    T* result = reinterpret_cast<T*>(next_);
    next_ += bytes(count * static_cast<i64>(sizeof(T)));
    return result;
  }
  void* take_bytes(i64 count) { return take<u8>(count); }
  static i64 bytes(i64 count) { return (count + 127) / 64 * 64; }

 private:
  u8* next_;
};

// What a call takes at most: of a thread's block and of the shared one. Each driver says it for a shape
// (`..._workspace`).
struct WorkspaceBytes {
  i64 thread = 0, shared = 0;
  void widen(const WorkspaceBytes& other) {
    thread = thread < other.thread ? other.thread : thread;
    shared = shared < other.shared ? other.shared : shared;
  }
};
// Memory that the blocks of `threads` threads take when no call needs more than `need`.
i64 workspace_bytes(const WorkspaceBytes& need, int threads);

// At least `bytes`, contents unspecified. `thread` as parallel_for hands it out. Valid until the next call for the
// thread.
void* workspace_of_thread(int thread, i64 bytes);
void* workspace_shared(i64 bytes);

// Grows every thread's block to the largest that any thread has requested. Which thread runs which task is not fixed,
// so without this a thread could meet its first large task, and allocate, in the middle of steady work. Outside of
// tasks only.
void workspace_level();

}  // namespace moebius::kernels
