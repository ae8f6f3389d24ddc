// The Mersenne Twister MT19937 and CPython's method of drawing a sample with it.
#include "eval/python_random.h"

#include <cmath>
#include <unordered_set>

#include "base/check.h"

namespace moebius::eval {

PythonRandom::PythonRandom(u32 seed) {
  // init_genrand(19650218), then init_by_array({seed}).
  state_[0] = 19650218u;
  for (u32 i = 1; i < 624; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  u32 i = 1;
  auto wrap = [&] {
    if (++i >= 624) {
      state_[0] = state_[623];
      i = 1;
    }
  };
  for (int k = 0; k < 624; ++k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1664525u)) + seed;
    wrap();
  }
  for (int k = 0; k < 623; ++k) {
    state_[i] = (state_[i] ^ ((state_[i - 1] ^ (state_[i - 1] >> 30)) * 1566083941u)) - i;
    wrap();
  }
  state_[0] = 0x80000000u;
}

u32 PythonRandom::next_u32() {
  if (index_ >= 624) {
    for (std::size_t k = 0; k < 624; ++k) {
      const u32 y = (state_[k] & 0x80000000u) | (state_[(k + 1) % 624] & 0x7FFFFFFFu);
      state_[k] = state_[(k + 397) % 624] ^ (y >> 1) ^ ((y & 1u) ? 0x9908B0DFu : 0u);
    }
    index_ = 0;
  }
  u32 y = state_[static_cast<std::size_t>(index_++)];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9D2C5680u;
  y ^= (y << 15) & 0xEFC60000u;
  return y ^ (y >> 18);
}

i64 PythonRandom::below(i64 n) {
  CHECK(n >= 1 && n <= 0x7FFFFFFF, "one word is enough");
  int bits = 0;
  while ((n >> bits) != 0) ++bits;
  i64 draw = n;
  while (draw >= n) draw = static_cast<i64>(next_u32() >> (32 - bits));
  return draw;
}

std::vector<i64> PythonRandom::sample(i64 n, i64 k) {
  CHECK(k >= 0 && k <= n, "a sample is not larger than its population");
  std::vector<i64> chosen;
  i64 set_size = 21;  // CPython: a small set is cheaper than a list of n below this
  if (k > 5)
    set_size += static_cast<i64>(std::pow(4.0, std::ceil(std::log(static_cast<double>(k * 3)) / std::log(4.0))));
  if (n <= set_size) {
    std::vector<i64> pool;
    for (i64 i = 0; i < n; ++i) pool.push_back(i);
    for (i64 i = 0; i < k; ++i) {
      const i64 j = below(n - i);
      chosen.push_back(pool[static_cast<std::size_t>(j)]);
      pool[static_cast<std::size_t>(j)] = pool[static_cast<std::size_t>(n - i - 1)];
    }
    return chosen;
  }
  std::unordered_set<i64> taken;
  for (i64 i = 0; i < k; ++i) {
    i64 j = below(n);
    while (!taken.insert(j).second) j = below(n);
    chosen.push_back(j);
  }
  return chosen;
}

}  // namespace moebius::eval
