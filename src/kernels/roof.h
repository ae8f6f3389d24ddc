// The machine's roof, measured: a loop of multiply-adds on registers or tiles in L1 for each precision, and reads of
// memory larger than every cache; all threads. Shared by train, plan and bench.
#pragma once

#include "base/json.h"
#include "kernels/isa.h"

namespace moebius::kernels {

struct Roof {
  double bf16_flops_per_s = 0;  // the fastest form of bf16 products on this set: tiles, dot product or f32 FMA
  double f32_flops_per_s = 0;
  double dram_bytes_per_s = 0;  // reads
  double l2_bytes_per_s = 0, l3_bytes_per_s = 0;
};

// Which figures of memory are measured; the others stay 0. dram: what a roofline needs.
enum class RoofMemory { none, dram, all };

// Takes about `milliseconds` a figure.
Roof roof_measure(Isa isa, int milliseconds, RoofMemory memory);

// Figure by figure.
Roof roof_mean(const Roof& a, const Roof& b);

// isa and threads (the program's now), and the figures that were measured, as in results and records: the keys are
// the fields' names.
Json roof_json(const Roof& roof);

}  // namespace moebius::kernels
