// CPython's random.Random for integers: the Mersenne Twister (Matsumoto and Nishimura 1998) seeded by an integer, and
// Random.sample. Few-shot examples are drawn with it so that prompts equal those of lm-evaluation-harness.
// For nothing else: all our own randomness is base/rng.h.
#pragma once

#include <array>
#include <vector>

#include "base/types.h"

namespace moebius::eval {

class PythonRandom {
 public:
  explicit PythonRandom(u32 seed);
  u32 next_u32();
  // Random._randbelow(n), n >= 1.
  i64 below(i64 n);
  // Random.sample(range(n), k): indices. 0 <= k <= n.
  std::vector<i64> sample(i64 n, i64 k);

 private:
  std::array<u32, 624> state_;
  int index_ = 624;
};

}  // namespace moebius::eval
