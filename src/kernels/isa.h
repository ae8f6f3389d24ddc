// Instruction sets: which ones the machine has and which one the kernels use. Chosen once when the program starts;
// results are bit for bit the same for one set whatever the number of threads, and differ between sets by rounding.
#pragma once

#include <string>
#include <vector>

namespace moebius::kernels {

// avx512 means AVX-512 F, BW, DQ, VL with BF16 and VNNI; amx means avx512 and AMX tiles with bf16.
enum class Isa { portable, avx2, avx512, amx };

const char* isa_name(Isa isa);
bool isa_supported(Isa isa);
Isa isa_best();
std::vector<Isa> isa_all_supported();

// name: auto, portable, avx2, avx512 or amx. Throws Error when the machine lacks it.
void isa_select(const std::string& name);
Isa isa_current();

// The precision with which training is fastest on the set in use: "bf16" or "f32". What precision "auto" means.
const char* isa_fastest_precision();

}  // namespace moebius::kernels
