// The records of `moebius bench` as figures: of `train` the time of every operation beside its roofline bound, of `grid` the
// map of the shares of the bound. In: `bench_train`, `bench_grid` records (docs/formats.md). Out: BenchRecord, GridRecord,
// Figures with their CSVs. Measures nothing.
#pragma once

#include <string>
#include <vector>

#include "report/figures.h"

namespace moebius::report {

// They throw Error that names the key when the record is not as docs/formats.md says.
BenchRecord bench_parse(const Json& record);
GridRecord grid_parse(const Json& record);

// The sentences of the summary.
std::string bench_summary(const BenchRecord& record);
std::string grid_summary(const GridRecord& record);

// "Time by operation"; `number` counts the records of a folder from 0.
Figure figure_bench(const BenchRecord& record, std::size_t number);
// "Share of the bound, shape by shape".
Figure figure_grid(const GridRecord& record, std::size_t number);

}  // namespace moebius::report
