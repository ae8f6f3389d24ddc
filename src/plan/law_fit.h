// A law as a plan uses it: coefficients with their source, the spread of what follows from them, and the ranges in
// which they were fitted. In: the published fits, or a fit.json made by `moebius fit --out` (docs/formats.md). Out:
// LawFit. Not for fitting.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fit/law.h"
#include "records/fit_file.h"

namespace moebius::plan {

struct Interval {
  bool known = false;
  double low = 0, high = 0;
};
// The 2.5 and 97.5 percentiles (linear between order statistics); unknown for fewer than 20 values.
Interval interval_95(std::vector<double> values);

struct LawFit {
  fit::Law law = fit::Law::chinchilla;
  std::string name;  // of the published fit, or the file
  std::string source, validity;
  std::vector<double> values;
  std::vector<std::vector<double>> samples;  // for intervals; empty: their width is not known
  std::string interval_source;               // what the samples are
  // Column (of LawPoint) -> smallest and largest value among the runs of the fit.
  std::map<std::string, std::pair<double, double>> ranges;
  std::vector<std::string> warnings;  // what the fit itself says against its use
};

// The default published fit of every law, or those named.
std::vector<LawFit> published_law_fits();
LawFit published_law_fit(const fit::PublishedFit& fit);
// A law of a fit.json under the `name` of its file; nothing when the runs do not determine one of its coefficients.
// Throws Error for an unknown law, a missing coefficient, or samples of another length.
std::optional<LawFit> law_fit_of(const records::FittedLaw& law, const std::string& name);
// Each law of the file takes the place of the published one, which stays if the file's data do not determine a
// coefficient; that, and coefficients that are not determined, become warnings. Throws Error when the file is no
// fit.json, when a coefficient is missing, or when no law of it has one.
void replace_from_file(std::vector<LawFit>& fits, const std::string& path);

// "tokens 5.9e+11 are outside 1.6e+10 to 1.3e+11, ..." for every column of the point outside the fit's ranges.
std::vector<std::string> extrapolation_warnings(const LawFit& fit, const fit::LawPoint& point);

}  // namespace moebius::plan
