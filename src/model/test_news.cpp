// Replaces operator new by one that counts. In its own file, so that no call of it is inlined.
#include "model/test_news.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<moebius::i64> news{0};
}  // namespace

void* operator new(std::size_t bytes) {
  news.fetch_add(1);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace moebius::model {

i64 count_news() { return news.load(); }

}  // namespace moebius::model
