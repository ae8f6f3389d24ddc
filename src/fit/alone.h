// What the runs alone say of each coefficient, beside the bootstrap: errors linearised at the optimum with the weight decay
// taken away, and how far the decay holds a coefficient from where the runs would have it. Levers that move together.
// In: a fitted law; out: half-widths and shifts in theta (objective.h). The bootstrap misses both faults: its samples start
// at the optimum, stay there when a sample has too few different runs, and all carry the same decay.
#pragma once

#include <string>
#include <vector>

#include "fit/fit.h"

namespace moebius::fit {

struct Alone {
  std::vector<double> half;   // half of the 95 % interval: Student's t with runs - coefficients degrees of freedom
  std::vector<double> pull;   // theta without the decay, minus theta; 0 without a decay
  std::vector<bool> flat;     // in a direction that the runs do not have at all; half and pull mean nothing there
  std::vector<double> norms;  // root mean square of the prediction's derivative
};

Alone alone_at(const LawFit& fit);

// Two numbers that the law asks for and that follow each other in these runs: a line in the logarithms, met within 2 %.
struct Together {
  std::string a, b;
  std::vector<bool> coefficients;  // that belong to terms of either number, and so cannot be told apart
};
std::vector<Together> levers_together(const LawFit& fit);

}  // namespace moebius::fit
