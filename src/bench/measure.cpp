// Roof, medians, the reset of the peak. In, out: measure.h.
#include "bench/measure.h"

#include <algorithm>
#include <fstream>

#include "base/check.h"

namespace moebius::bench {

namespace {

kernels::Roof mean(const kernels::Roof& a, const kernels::Roof& b) {
  return {0.5 * (a.bf16_flops_per_s + b.bf16_flops_per_s), 0.5 * (a.f32_flops_per_s + b.f32_flops_per_s),
          0.5 * (a.dram_bytes_per_s + b.dram_bytes_per_s), 0.5 * (a.l2_bytes_per_s + b.l2_bytes_per_s),
          0.5 * (a.l3_bytes_per_s + b.l3_bytes_per_s)};
}

}  // namespace

double median(std::vector<double> values) {
  CHECK(!values.empty(), "a median wants a value");
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

RoofAround::RoofAround(i64 milliseconds) : milliseconds_(static_cast<int>(milliseconds)) { begin_again(); }

void RoofAround::begin_again() { last_ = kernels::roof_measure(kernels::isa_current(), milliseconds_, true); }

kernels::Roof RoofAround::next() {
  const kernels::Roof before = last_;
  begin_again();
  means_.push_back(mean(before, last_));
  return means_.back();
}

kernels::Roof median_roof(const std::vector<kernels::Roof>& roofs) {
  const auto of = [&](double kernels::Roof::*figure) {
    std::vector<double> values;
    for (const kernels::Roof& roof : roofs) values.push_back(roof.*figure);
    return median(std::move(values));
  };
  return {of(&kernels::Roof::bf16_flops_per_s), of(&kernels::Roof::f32_flops_per_s), of(&kernels::Roof::dram_bytes_per_s),
          of(&kernels::Roof::l2_bytes_per_s), of(&kernels::Roof::l3_bytes_per_s)};
}

bool memory_peak_reset() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5\n" << std::flush;
  return file.good();
}

}  // namespace moebius::bench
