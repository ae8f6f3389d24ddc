// The records of `moebius bench` as figures: of `train` the time of every operation beside its roofline bound, of
// `grid` the map of the shares of the bound, of `operation` the operations alone beside their bounds. In:
// `bench_train`, `bench_grid`, `bench_operation` records (docs/formats.md). Out: StepRecord, GridRecord, BenchRecord,
// Figures with their CSVs. Measures nothing.
#pragma once

#include <string>
#include <vector>

#include "report/figures.h"

namespace moebius::report {

// They throw Error that names the key when the record is not as docs/formats.md says.
StepRecord step_parse(const Json& record);
GridRecord grid_parse(const Json& record);
BenchRecord operation_parse(const Json& record);

// The sentences of the summary.
std::string step_summary(const StepRecord& record);
std::string grid_summary(const GridRecord& record);
std::string operations_summary(const std::vector<BenchRecord>& records);

// "Time by operation"; `number` counts the records of a folder from 0.
Figure figure_step(const StepRecord& record, std::size_t number);
// "Share of the bound, shape by shape".
Figure figure_grid(const GridRecord& record, std::size_t number);
// One figure of all records; the last of them are drawn, all are in the CSV.
Figure figure_operations(const std::vector<BenchRecord>& records);

}  // namespace moebius::report
