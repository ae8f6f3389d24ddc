// Roof, medians. In, out: measure.h.
#include "bench/measure.h"

#include <algorithm>

#include "base/check.h"

namespace moebius::bench {

double median(std::vector<double> values) {
  CHECK(!values.empty(), "a median wants a value");
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

RoofAround::RoofAround(i64 milliseconds) : milliseconds_(static_cast<int>(milliseconds)) { begin_again(); }

void RoofAround::begin_again() {
  last_ = kernels::roof_measure(kernels::isa_current(), milliseconds_, kernels::RoofMemory::all);
}

kernels::Roof RoofAround::next() {
  const kernels::Roof before = last_;
  begin_again();
  means_.push_back(kernels::roof_mean(before, last_));
  return means_.back();
}

kernels::Roof median_roof(const std::vector<kernels::Roof>& roofs) {
  const auto of = [&](double kernels::Roof::*figure) {
    std::vector<double> values;
    for (const kernels::Roof& roof : roofs) values.push_back(roof.*figure);
    return median(std::move(values));
  };
  return {of(&kernels::Roof::bf16_flops_per_s), of(&kernels::Roof::f32_flops_per_s),
          of(&kernels::Roof::dram_bytes_per_s), of(&kernels::Roof::l2_bytes_per_s), of(&kernels::Roof::l3_bytes_per_s)};
}

}  // namespace moebius::bench
