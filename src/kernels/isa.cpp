// Which instruction sets the processor and the operating system offer, and the one in use.
// Not for what the sets do: that is table.h and the folders of the sets.
#include "kernels/isa.h"

#include <atomic>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"
#include "kernels/tile_check.h"

namespace moebius::kernels {

namespace {

struct Features {
  bool avx2 = false, avx512 = false, amx = false;
};

#if defined(__x86_64__)
bool bit(unsigned value, int index) { return (value >> index & 1u) != 0; }

unsigned long long enabled_states() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<unsigned long long>(high) << 32 | low;
}

// Tiles are switched on per process: ARCH_REQ_XCOMP_PERM (0x1023) for XTILEDATA (18). If the kernel refuses, there is
// no AMX.
bool tiles_permitted() { return syscall(SYS_arch_prctl, 0x1023, 18) == 0; }

Features detect() {
  Features features;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || !bit(c, 27)) return features;  // OSXSAVE
  const bool fma = bit(c, 12), avx = bit(c, 28), f16c = bit(c, 29);
  const unsigned long long states = enabled_states();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  const bool wide = (states & 0xe6u) == 0xe6u;
  features.avx2 = avx && fma && f16c && bit(b, 5) && (states & 6u) == 6u;
  const bool foundation = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);  // F, DQ, BW, VL
  const bool vnni = bit(c, 11), tiles = bit(d, 24) && bit(d, 22);                // AMX-TILE, AMX-BF16
  unsigned a1 = 0, b1 = 0, c1 = 0, d1 = 0;
  const bool bf16_dot = __get_cpuid_count(7, 1, &a1, &b1, &c1, &d1) != 0 && bit(a1, 5);
  features.avx512 = features.avx2 && wide && foundation && vnni && bf16_dot;
  features.amx = features.avx512 && tiles && (states & 0x60000u) == 0x60000u && tiles_permitted() &&
                 holds_in_child([] { return products_agree(amx_table(), avx512_table()); });
  return features;
}
#else
Features detect() { return {}; }
#endif

const Features& features() {
  static const Features found = detect();
  return found;
}

std::atomic<int>& chosen() {
  static std::atomic<int> value{static_cast<int>(isa_best())};
  return value;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::amx: return "amx";
  }
  return "unknown";
}

bool isa_supported(Isa isa) {
  switch (isa) {
    case Isa::portable: return true;
    case Isa::avx2: return features().avx2;
    case Isa::avx512: return features().avx512;
    case Isa::amx: return features().amx;
  }
  return false;
}

Isa isa_best() { return isa_all_supported().back(); }

std::vector<Isa> isa_all_supported() {
  std::vector<Isa> supported;
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::amx})
    if (isa_supported(isa)) supported.push_back(isa);
  return supported;
}

void isa_select(const std::string& name) {
  if (name == "auto") {
    chosen().store(static_cast<int>(isa_best()));
    return;
  }
  std::string offered = "auto";
  for (Isa isa : isa_all_supported()) {
    offered += std::string(", ") + isa_name(isa);
    if (name != isa_name(isa)) continue;
    chosen().store(static_cast<int>(isa));
    return;
  }
  throw Error({.where = "instruction set",
               .what = "this machine has no instruction set '" + name + "'",
               .wanted = "one of " + offered,
               .got = name,
               .fix = "leave it at auto, or choose one of these"});
}

// Measured with `moebius bench train --precision` on models of d = 64 (dense; E = 32, k = 8) and d = 384: sets without
// bf16 arithmetic train 5 to 36 % faster in f32. avx512 is 5 to 29 % faster in bf16 even where its dot product is slow
// (Intel).
const char* isa_fastest_precision() { return isa_current() >= Isa::avx512 ? "bf16" : "f32"; }

Isa isa_current() { return static_cast<Isa>(chosen().load(std::memory_order_relaxed)); }

}  // namespace moebius::kernels
