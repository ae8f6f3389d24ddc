// The machine's roof: loops of multiply-adds on registers or tiles, and reads of memory of three sizes, all threads.
// In: a set and a time for each figure. Out: Roof. Figures are means over that time, so other processes lower the roof
// as they lower the speed of the program.
#include "kernels/roof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <numeric>
#include <vector>

#include "base/parallel.h"
#include "kernels/table.h"
#include "tensor/buffer.h"

namespace moebius::kernels {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

constexpr double kStartSeconds = 0.05;  // how long a thread waits for the others to begin

const OpTable& table_of(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::avx2) return avx2_table();
  if (isa == Isa::avx512) return avx512_table();
  if (isa == Isa::amx) return amx_table();
#endif
  (void)isa;
  return portable_table();
}

// Work per second of `round` (which returns the work of one call): every thread repeats it for about `milliseconds` on
// its own, all at the same time, and the mean counts, because the program also shares the machine with whatever else
// runs.
template <class Round>
double measure(int milliseconds, Round round) {
  const int threads = parallel_threads();
  std::vector<double> rate(static_cast<size_t>(threads));
  std::atomic<int> begun{0};
  parallel_for(threads, [&](i64 task, int) {
    begun.fetch_add(1);
    const Clock::time_point called = Clock::now();
    while (begun.load() < threads && seconds_since(called) < kStartSeconds) {}
    const Clock::time_point begin = Clock::now();
    double work = 0, seconds = 0;
    do {
      work += round(static_cast<int>(task));
      seconds = seconds_since(begin);
    } while (seconds * 1000 < milliseconds);
    rate[static_cast<size_t>(task)] = work / seconds;
  });
  return std::accumulate(rate.begin(), rate.end(), 0.0);
}

// Memory for each thread that is read from DRAM: together four times the last cache, if the machine reports its size.
i64 dram_bytes_per_thread() {
  constexpr i64 kLeast = 64 << 20, kMost = 512 << 20;
  std::ifstream file("/sys/devices/system/cpu/cpu0/cache/index3/size");
  i64 kib = 0;
  if (!(file >> kib) || kib <= 0) return kMost;
  return std::clamp<i64>(4 * kib * 1024 / parallel_threads() / 4096 * 4096, kLeast, kMost);
}

// Bytes per second of reading `bytes` for each thread, again and again for about two milliseconds a round.
double measure_reads(const OpTable& table, i64 bytes, int milliseconds) {
  const int threads = parallel_threads();
  const Buffer memory("roof", bytes * threads);
  const i64 count = bytes / 4, passes = std::max<i64>(1, (16 << 20) / bytes);
  return measure(milliseconds, [&](int thread) {
    double largest = 0;
    for (i64 pass = 0; pass < passes; ++pass)
      largest = std::max(largest, table.roof_read(memory.f32() + thread * count, count));
    // The memory is zero, so this adds nothing; it keeps the reads alive.
    return static_cast<double>(bytes) * static_cast<double>(passes) + largest;
  });
}

}  // namespace

Roof roof_measure(Isa isa, int milliseconds, RoofMemory memory) {
  const OpTable& table = table_of(isa);
  constexpr i64 kRepeats = 100000;
  Roof roof;
  roof.f32_flops_per_s = measure(milliseconds, [&](int) { return table.roof_f32(kRepeats); });
  roof.bf16_flops_per_s = measure(milliseconds, [&](int) { return table.roof_bf16(kRepeats); });
  roof.bf16_flops_per_s = std::max(roof.bf16_flops_per_s, roof.f32_flops_per_s);
  if (memory == RoofMemory::none) return roof;
  if (memory == RoofMemory::all) {
    roof.l2_bytes_per_s = measure_reads(table, 512 << 10, milliseconds);
    roof.l3_bytes_per_s = measure_reads(table, 8 << 20, milliseconds);
  }
  roof.dram_bytes_per_s = measure_reads(table, dram_bytes_per_thread(), milliseconds);
  return roof;
}

Roof roof_mean(const Roof& a, const Roof& b) {
  return {0.5 * (a.bf16_flops_per_s + b.bf16_flops_per_s), 0.5 * (a.f32_flops_per_s + b.f32_flops_per_s),
          0.5 * (a.dram_bytes_per_s + b.dram_bytes_per_s), 0.5 * (a.l2_bytes_per_s + b.l2_bytes_per_s),
          0.5 * (a.l3_bytes_per_s + b.l3_bytes_per_s)};
}

Json roof_json(const Roof& roof) {
  Json json = Json::object({{"isa", isa_name(isa_current())}, {"threads", parallel_threads()}});
  const auto figure = [&](const char* key, double value) {
    if (value > 0) json.set(key, value);
  };
  figure("bf16_flops_per_s", roof.bf16_flops_per_s);
  figure("f32_flops_per_s", roof.f32_flops_per_s);
  figure("dram_bytes_per_s", roof.dram_bytes_per_s);
  figure("l2_bytes_per_s", roof.l2_bytes_per_s);
  figure("l3_bytes_per_s", roof.l3_bytes_per_s);
  return json;
}

}  // namespace moebius::kernels
