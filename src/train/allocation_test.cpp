// Steady-state training allocates nothing: every operator new of this test program is counted between step 3 and 10.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "train/test_support.h"
#include "train/trainer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MOEBIUS_COUNT_NEW 0  // the sanitizers bring their own operator new
#else
#define MOEBIUS_COUNT_NEW 1
#endif

namespace {
std::atomic<long> news{0};
}

#if MOEBIUS_COUNT_NEW
// Below -O2 GCC does not see that these operators belong together.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
void* operator new(std::size_t bytes) {
  news.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void* operator new[](std::size_t bytes) { return operator new(bytes); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
#endif

namespace moebius::train {
namespace {

TEST(TrainSteady, AllocatesNothing) {
  for (const DType compute : {DType::bf16, DType::f32}) {
    const model::ModelConfig config = testing::tiny_config();
    model::Network network(config, compute, true);
    model::init_weights(network.weights(), 1);
    model::refresh_copy(network.weights());
    AdamwState adamw = make_adamw(network.weights());
    data::MemorySource source(testing::tiny_documents(), 8, 32);
    OptimizerOptions options;
    Trainer trainer(network, adamw, options, make_schedule(options, 10), 64);
    i64 buffers = 0;
    long before = 0;
    for (i64 step = 1; step <= 10; ++step) {
      if (step == 4) {
        before = news.load();
        buffers = buffer_allocations();
      }
      trainer.step(source, step);
    }
    EXPECT_EQ(buffer_allocations() - buffers, 0);
    if (MOEBIUS_COUNT_NEW) {
      EXPECT_EQ(news.load() - before, 0);
      EXPECT_GT(news.load(), 0);  // the counter counts
    }
  }
}

}  // namespace
}  // namespace moebius::train
