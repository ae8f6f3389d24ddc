// Aligned allocation and its counters.
#include "tensor/buffer.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/units.h"

namespace moebius {

namespace {
constexpr i64 kHugePage = i64{2} << 20;
std::atomic<i64> allocations{0}, bytes_in_use{0};

i64 alignment_of(i64 bytes) { return bytes >= kHugePage ? kHugePage : 64; }
}  // namespace

Buffer::Buffer(std::string label, i64 bytes) : label_(std::move(label)), bytes_(bytes) {
  if (bytes <= 0) return;
  const i64 alignment = alignment_of(bytes), rounded = buffer_bytes_taken(bytes);
  data_ = std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(rounded));
  if (data_ == nullptr) {
    throw Error({.where = label_,
                 .what = "not enough memory",
                 .wanted = format_bytes(static_cast<double>(bytes)),
                 .fix = "use a smaller model, micro-batch or sequence"});
  }
  if (alignment == kHugePage) ::madvise(data_, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);
  std::memset(data_, 0, static_cast<std::size_t>(rounded));
  allocations.fetch_add(1);
  bytes_in_use.fetch_add(bytes);
}

Buffer::~Buffer() {
  if (data_ == nullptr) return;
  std::free(data_);
  bytes_in_use.fetch_sub(bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept : label_(std::move(other.label_)), data_(other.data_), bytes_(other.bytes_) {
  other.data_ = nullptr;
  other.bytes_ = 0;
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(label_, other.label_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

i64 buffer_bytes_taken(i64 bytes) {
  const i64 alignment = alignment_of(bytes);
  return (bytes + alignment - 1) / alignment * alignment;
}

i64 buffer_allocations() { return allocations.load(); }
i64 buffer_bytes_in_use() { return bytes_in_use.load(); }

}  // namespace moebius
