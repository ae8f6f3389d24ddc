// The blocks behind workspace.h.
#include "kernels/workspace.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "tensor/buffer.h"

namespace moebius::kernels {

namespace {

constexpr int kThreadsMax = 1024;

void* grown(Buffer& buffer, const char* label, i64 bytes) {
  if (buffer.bytes() < bytes) {
    buffer = Buffer();
    buffer = Buffer(label, std::max<i64>(bytes + bytes / 4, 1 << 16));
  }
  return buffer.data();
}

}  // namespace

void* workspace_of_thread(int thread, i64 bytes) {
  static std::array<Buffer, kThreadsMax> buffers;
  CHECK(thread >= 0 && thread < kThreadsMax, "more threads than the workspace knows");
  return grown(buffers[static_cast<size_t>(thread)], "kernel scratch of a thread", bytes);
}

void* workspace_shared(i64 bytes) {
  static Buffer buffer;
  return grown(buffer, "kernel scratch", bytes);
}

}  // namespace moebius::kernels
