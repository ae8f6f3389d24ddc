// The records of `moebius bench train` as a figure: time of every operation beside its roofline bound, and their ratio.
// In: `bench_train` records (docs/formats.md). Out: BenchRecord, Figure with its CSV. Measures nothing.
#pragma once

#include <string>
#include <vector>

#include "report/figures.h"

namespace moebius::report {

// Throws Error that names the key when the record is not as docs/formats.md says.
BenchRecord bench_parse(const Json& record);

// The sentence of the summary.
std::string bench_summary(const BenchRecord& record);

// "Time by operation"; `number` counts the records of a folder from 0.
Figure figure_bench(const BenchRecord& record, std::size_t number);

}  // namespace moebius::report
