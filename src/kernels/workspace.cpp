// The blocks behind workspace.h.
#include "kernels/workspace.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "base/check.h"
#include "base/parallel.h"
#include "tensor/buffer.h"

namespace moebius::kernels {

namespace {

constexpr int kThreadsMax = 1024;
constexpr const char* kThreadLabel = "kernel scratch of a thread";

std::array<Buffer, kThreadsMax>& thread_buffers() {
  static std::array<Buffer, kThreadsMax> buffers;
  return buffers;
}

std::atomic<i64> largest{0};  // request of any thread

// A little more than requested, so that slightly larger shapes need no reallocation.
i64 grown_bytes(i64 bytes) { return bytes <= 0 ? 0 : std::max<i64>(bytes + bytes / 4, 1 << 16); }

void* grown(Buffer& buffer, const char* label, i64 bytes) {
  if (buffer.bytes() < bytes) {
    buffer = Buffer();
    buffer = Buffer(label, grown_bytes(bytes));
  }
  return buffer.data();
}

}  // namespace

i64 workspace_bytes(const WorkspaceBytes& need, int threads) {
  return buffer_bytes_taken(grown_bytes(need.thread)) * threads + buffer_bytes_taken(grown_bytes(need.shared));
}

void* workspace_of_thread(int thread, i64 bytes) {
  CHECK(thread >= 0 && thread < kThreadsMax, "more threads than the workspace knows");
  i64 seen = largest.load(std::memory_order_relaxed);
  while (seen < bytes && !largest.compare_exchange_weak(seen, bytes)) {}
  return grown(thread_buffers()[static_cast<size_t>(thread)], kThreadLabel, bytes);
}

void* workspace_shared(i64 bytes) {
  static Buffer buffer;
  return grown(buffer, "kernel scratch", bytes);
}

void workspace_level() {
  const i64 bytes = largest.load();
  const int threads = std::min(parallel_threads(), kThreadsMax);
  for (int thread = 0; thread < threads; ++thread)
    grown(thread_buffers()[static_cast<size_t>(thread)], kThreadLabel, bytes);
}

}  // namespace moebius::kernels
