// Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011). A number is a pure function of
// (seed, stream, step, index), so results depend neither on the number of threads nor on the order of calls.
// Streams are named below, one per use, so that seeds of initialisation, data and items are apart.
#pragma once

#include <array>

#include "base/types.h"

namespace moebius {

// One stream per use. Values are part of every saved result: append, never renumber.
enum class RngStream : u32 {
  init = 1,          // initial weights
  data_order = 2,    // shuffling of documents, mixture draws
  facts = 3,         // generated biographies
  arithmetic = 4,    // generated word problems
  few_shot = 5,      // choice of few-shot examples
  sampling = 6,      // sampled generation
  bootstrap = 7,     // confidence intervals
  test = 8,          // tests only
  task_split = 9,    // held-out splits of generated tasks
  benchmark = 10,    // inputs of benchmarks
  expressions = 11,  // generated expressions
  look_ups = 12,     // generated look-ups
};

// Four 32-bit words from a 128-bit counter and a 64-bit key.
std::array<u32, 4> philox4x32(std::array<u32, 4> counter, std::array<u32, 2> key);

// A position in one stream. Copies are independent; `next_*` advance `index` by one block each.
class Rng {
 public:
  Rng(u64 seed, RngStream stream, u64 step = 0) : seed_(seed), stream_(stream), step_(step) {}

  // 64 random bits.
  u64 next_u64();
  // Uniform in [0, bound), unbiased. bound >= 1.
  u64 next_below(u64 bound);
  // Uniform in [0, 1), 53 bits.
  double next_uniform();
  // Standard normal (Box-Muller).
  double next_normal();

  u64 index() const { return index_; }
  void seek(u64 index) { index_ = index; }

 private:
  u64 seed_;
  RngStream stream_;
  u64 step_;
  u64 index_ = 0;
};

// Random access: the normal number number `index` of a stream, in single precision (used to fill weights in parallel).
float rng_normal_at(u64 seed, RngStream stream, u64 step, u64 index);

// Fisher-Yates over [0, n): fills order[0..n) with a permutation.
void rng_shuffle(Rng& rng, i64* order, i64 n);

}  // namespace moebius
