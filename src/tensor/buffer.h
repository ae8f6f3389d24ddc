// Owned, labelled, 64-byte aligned memory, zero-initialised. Large buffers request huge pages. Every allocation is counted,
// so that tests can show that steady-state training allocates nothing.
#pragma once

#include <string>

#include "base/types.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

namespace moebius {

class Buffer {
 public:
  Buffer() = default;
  // Throws Error with the label and the size when the machine does not have enough memory.
  Buffer(std::string label, i64 bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  i64 bytes() const { return bytes_; }
  const std::string& label() const { return label_; }
  void* data() const { return data_; }
  float* f32() const { return static_cast<float*>(data_); }
  bf16* b16() const { return static_cast<bf16*>(data_); }
  i32* i32s() const { return static_cast<i32*>(data_); }

 private:
  std::string label_;
  void* data_ = nullptr;
  i64 bytes_ = 0;
};

// Memory that a buffer of this size takes: from the size of one huge page on, whole huge pages.
i64 buffer_bytes_taken(i64 bytes);

i64 buffer_allocations();  // number of allocations since the start
i64 buffer_bytes_in_use();

}  // namespace moebius
