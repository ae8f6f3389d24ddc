// The map of a measured grid (`moebius bench grid`, docs/formats.md): one SVG, a panel for each operation and
// direction, a cell for each shape, coloured by the share of its roofline bound that was reached.
// In: a `bench_grid` record, or what the command prints with --json; out: text. Measures nothing (bench), judges
// nothing.
#pragma once

#include <string>

#include "base/json.h"

namespace moebius::report {

// More rows than this are no grid of ours.
constexpr i64 kGridRowsMax = 20000;

// A complete <svg> element with its own styles; texts are escaped. A row without a bound is left out. Throws Error that
// names the key when the record is not as docs/formats.md says.
std::string grid_map(const Json& record);

}  // namespace moebius::report
