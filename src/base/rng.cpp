// Philox4x32-10 and the few distributions we need.
#include "base/rng.h"

#include <cmath>

#include "base/check.h"

namespace moebius {

namespace {

constexpr u32 kMul0 = 0xD2511F53u;
constexpr u32 kMul1 = 0xCD9E8D57u;
constexpr u32 kWeyl0 = 0x9E3779B9u;
constexpr u32 kWeyl1 = 0xBB67AE85u;
constexpr double kTwoPi = 6.283185307179586476925286766559;

// Counter words: index (64 bits), step (low 32 bits), stream mixed with the step's high bits.
std::array<u32, 4> block_at(u64 seed, RngStream stream, u64 step, u64 index) {
  const std::array<u32, 4> counter = {static_cast<u32>(index), static_cast<u32>(index >> 32), static_cast<u32>(step),
                                      static_cast<u32>(stream) ^ (static_cast<u32>(step >> 32) << 8)};
  return philox4x32(counter, {static_cast<u32>(seed), static_cast<u32>(seed >> 32)});
}

double to_unit(u64 bits) { return static_cast<double>(bits >> 11) * 0x1.0p-53; }

}  // namespace

std::array<u32, 4> philox4x32(std::array<u32, 4> counter, std::array<u32, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const u64 product0 = static_cast<u64>(kMul0) * counter[0];
    const u64 product1 = static_cast<u64>(kMul1) * counter[2];
    counter = {static_cast<u32>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<u32>(product1),
               static_cast<u32>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<u32>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

u64 Rng::next_u64() {
  const auto block = block_at(seed_, stream_, step_, index_++);
  return static_cast<u64>(block[0]) | (static_cast<u64>(block[1]) << 32);
}

u64 Rng::next_below(u64 bound) {
  CHECK(bound >= 1, "a bound of zero has no values");
  // Lemire's multiply-shift with rejection of the biased low part.
  const u64 threshold = (0 - bound) % bound;
  for (;;) {
    const u64 bits = next_u64();
    const unsigned __int128 product = static_cast<unsigned __int128>(bits) * bound;
    if (static_cast<u64>(product) >= threshold) return static_cast<u64>(product >> 64);
  }
}

double Rng::next_uniform() { return to_unit(next_u64()); }

double Rng::next_normal() {
  const auto block = block_at(seed_, stream_, step_, index_++);
  const double u = to_unit(static_cast<u64>(block[0]) | (static_cast<u64>(block[1]) << 32));
  const double v = to_unit(static_cast<u64>(block[2]) | (static_cast<u64>(block[3]) << 32));
  return std::sqrt(-2.0 * std::log(1.0 - u)) * std::cos(kTwoPi * v);
}

float rng_normal_at(u64 seed, RngStream stream, u64 step, u64 index) {
  Rng rng(seed, stream, step);
  rng.seek(index);
  return static_cast<float>(rng.next_normal());
}

void rng_shuffle(Rng& rng, i64* order, i64 n) {
  for (i64 i = 0; i < n; ++i) order[i] = i;
  for (i64 i = n - 1; i > 0; --i) {
    const i64 j = static_cast<i64>(rng.next_below(static_cast<u64>(i + 1)));
    std::swap(order[i], order[j]);
  }
}

}  // namespace moebius
