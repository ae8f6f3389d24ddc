// The depth of planned shapes: a power law through the widths and depths of published models.
// In: a width. Out: a number of layers, continuous. Not for the laws: they see parameters, and no depth.
#pragma once

#include <span>
#include <string>

#include "base/types.h"

namespace moebius::plan {

struct PublishedDepth {
  const char* model;
  i64 d_model, layers;
  const char* source;
};
std::span<const PublishedDepth> published_depths();

// exp(a + b ln d), the least-squares line through the logarithms of the table: 0.141 d^0.683. Rises with d.
double published_depth(double d_model);
// Empty while d lies between the least and the greatest width of the table.
std::string depth_warning(double d_model);

}  // namespace moebius::plan
