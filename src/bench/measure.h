// What every measurement of bench shares: the roof before and after each repeat, medians.
// In: nothing but the machine. Out: numbers. Not for the operations that are measured.
#pragma once

#include <vector>

#include "base/types.h"
#include "kernels/roof.h"

namespace moebius::bench {

// Of at least one value; the mean of the middle two when their number is even.
double median(std::vector<double> values);

// The machine is shared and its speed moves, so each repeat is compared with the mean of the roof before and after it.
class RoofAround {
 public:
  // Measures once. `milliseconds` for each of the five figures.
  explicit RoofAround(i64 milliseconds);
  // Measures again; the mean of this and the last measurement.
  kernels::Roof next();
  // Measures again and forgets the last one, when time has passed or the number of threads has changed.
  void begin_again();
  // The mean of every next() so far, in their order.
  const std::vector<kernels::Roof>& means() const { return means_; }

 private:
  int milliseconds_;
  kernels::Roof last_;
  std::vector<kernels::Roof> means_;
};

// Figure by figure, of at least one.
kernels::Roof median_roof(const std::vector<kernels::Roof>& roofs);

}  // namespace moebius::bench
