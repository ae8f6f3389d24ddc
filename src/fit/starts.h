// Where the search for an optimum begins: published grids, grids made from the data, published coefficients.
// In: a law and its runs; out: vectors theta, always the same ones for the same runs.
#pragma once

#include <vector>

#include "fit/objective.h"

namespace moebius::fit {

// Chinchilla and FLAME: the grid of Besiroglu et al. 2024 (4500 points) too. All: a grid of shares of the loss and of
// exponents, its scales set so that the mean run is predicted; the published sets.
std::vector<std::vector<double>> starts_of(Law law, const std::vector<LawPoint>& points);

}  // namespace moebius::fit
