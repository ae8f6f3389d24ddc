// Reading fits, percentiles and ranges of validity.
#include "plan/law_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/units.h"
#include "fit/fit.h"
#include "fit/optimum.h"

namespace moebius::plan {

namespace {

using fit::Law;

// The ranges of the authors' runs. Sources: the papers' texts (docs/plan.md says where each number is from).
std::map<std::string, std::pair<double, double>> published_ranges(const fit::PublishedFit& fit) {
  switch (fit.law) {
    case Law::chinchilla: return {{"parameters_total", {44e6, 16e9}}, {"tokens", {2e8, 5e11}}};
    case Law::fine_grained:
      return {{"parameters_total", {129e6, 3.7e9}}, {"tokens", {16e9, 130e9}}, {"granularity", {1, 16}}};
    case Law::abnar: return {{"flops", {3e19, 1e21}}, {"activation", {0.02, 1}}};  // sparsity 0 to 0.98
    case Law::joint:
      return {{"parameters_active", {1e7, 2.7e9}}, {"parameters_total", {1e7, 5e9}}, {"experts", {1, 32}}};
    case Law::routed: return {{"parameters_active", {15e6, 1.3e9}}, {"experts", {1, 512}}};
    case Law::leverage: return {{"flops", {3e18, 3e20}}, {"activation", {1.0 / 128, 1}}, {"granularity", {2, 16}}};
    case Law::flame: return {{"flops", {1e18, 2.4e20}}, {"parameters_active", {33e6, 1.8e9}}};
  }
  return {};
}

// Besiroglu et al. 2024 print standard errors and no correlations. Taken as independent they overstate the spread.
const std::map<std::string, std::vector<double>>& published_errors() {
  static const std::map<std::string, std::vector<double>> errors = {{"epoch-2024", {0.03, 124.6, 1293, 0.02, 0.02}}};
  return errors;
}

std::vector<std::vector<double>> draw_samples(const std::vector<double>& values, const std::vector<double>& errors) {
  constexpr int kSamples = 400;
  std::vector<std::vector<double>> samples;
  Rng rng(1, RngStream::bootstrap);
  while (static_cast<int>(samples.size()) < kSamples) {
    std::vector<double> sample(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) sample[i] = values[i] + errors[i] * rng.next_normal();
    const bool sane = std::all_of(sample.begin(), sample.end(), [](double v) { return v > 0; });
    if (sane) samples.push_back(std::move(sample));  // a law with a negative term has no optimum
  }
  return samples;
}

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw Error(
      {.where = path, .what = what, .wanted = "a fit.json as `moebius fit DATA --law ... --out fit.json` writes it"});
}

// Each sample was fitted like the coefficients, with the weight decay: an interval shows the spread of this estimator.
// Without the decay, the samples would scatter around another optimum than the planned one. They do not show the bias
// that the decay gives all of them, so a warning mentions it if it is large.
void decay_note(const records::FittedLaw& law, LawFit& fit) {
  if (!(law.weight_decay > 0)) return;
  if (!fit.interval_source.empty())
    fit.interval_source += fmt::format(", fitted with weight decay {:g} like its coefficients", law.weight_decay);
  if (!(law.penalty > fit::kDecayMuch * law.objective)) return;
  fit.warnings.push_back(fmt::format(
      "{}: the weight decay is {:.0f} % of the fit's objective: it biases the optimum, and the intervals do not show "
      "by how much (compare a fit with --weight-decay 0)",
      law.law, 100 * law.penalty / law.objective));
}

double column_value(const fit::LawPoint& p, const std::string& column) {
  if (column == "parameters_total") return p.parameters_total;
  if (column == "parameters_active") return p.parameters_active;
  if (column == "tokens") return p.tokens;
  if (column == "flops") return p.flops;
  if (column == "experts") return p.experts;
  if (column == "top_k") return p.top_k;
  if (column == "granularity") return p.granularity;
  if (column == "sparsity") return 1 - fit::point_density(p);
  return column == "activation" ? fit::point_density(p) : fit::kMissing;
}

// Data in place of the fit made from them is the likely mistake.
void refuse_data(const std::string& path) {
  const std::string text = file_read(path);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (!path.ends_with(".csv") && (first == std::string::npos || text[first] == '{')) return;
  throw Error({.where = path,
               .what = path.ends_with(".csv") ? "this is a table of runs, not a fit" : "this is not a fit.json",
               .wanted = "the coefficients of laws, as moebius fit writes them with --out",
               .fix = path.ends_with(".csv")
                          ? fmt::format("moebius fit {} --law all --out fit.json; then --fit fit.json", path)
                          : "moebius fit DATA --law all --out fit.json makes one from a table of runs"});
}

}  // namespace

Interval interval_95(std::vector<double> values) {
  constexpr std::size_t kLeast = 20;
  if (values.size() < kLeast) return {};
  std::sort(values.begin(), values.end());
  return {.known = true, .low = percentile(values, 0.025), .high = percentile(values, 0.975)};
}

LawFit published_law_fit(const fit::PublishedFit& published) {
  LawFit fit{.law = published.law,
             .name = published.name,
             .source = published.source,
             .validity = published.validity,
             .values = published.values,
             .samples = {},
             .interval_source = "",
             .ranges = published_ranges(published),
             .warnings = {}};
  const auto errors = published_errors().find(published.name);
  if (errors != published_errors().end()) {
    fit.samples = draw_samples(fit.values, errors->second);
    fit.interval_source = "published standard errors, treated as independent: far too wide, see docs/plan.md";
  }
  return fit;
}

std::vector<LawFit> published_law_fits() {
  std::vector<LawFit> fits;
  for (i64 i = 0; i < fit::kLaws; ++i) fits.push_back(published_law_fit(fit::published_default(static_cast<Law>(i))));
  return fits;
}

std::optional<LawFit> law_fit_of(const records::FittedLaw& law, const std::string& name) {
  LawFit fit;
  fit.law = fit::law_from_name(law.law);
  fit.name = name;
  fit.source = "this fit";
  fit.validity = fmt::format("the runs of {}", name);
  for (const std::string& wanted : fit::law_coefficients(fit.law)) {
    const auto at = std::find_if(law.coefficients.begin(), law.coefficients.end(),
                                 [&](const fit::Coefficient& c) { return c.name == wanted; });
    if (at == law.coefficients.end())
      refuse(name, fmt::format("the law '{}' lacks the coefficient '{}'", law.law, wanted));
    if (std::isnan(at->value)) return std::nullopt;
    fit.values.push_back(at->value);
  }
  for (const std::vector<double>& sample : law.samples) {
    if (sample.size() != fit.values.size())
      refuse(name, fmt::format("a sample has {} coefficients instead of {}", sample.size(), fit.values.size()));
    if (std::all_of(sample.begin(), sample.end(), [](double v) { return std::isfinite(v); }))
      fit.samples.push_back(sample);
  }
  fit.interval_source = fmt::format("{} bootstrap samples of {}", fit.samples.size(), name);
  decay_note(law, fit);
  for (const records::ColumnRange& range : law.range) {
    if (std::isfinite(range.ends[0]) && std::isfinite(range.ends[1]))
      fit.ranges[range.name] = {range.ends[0], range.ends[1]};
  }
  if (!law.determined) fit.warnings.push_back(fmt::format("{}: the fit's own verdict: {}", law.law, law.verdict.text));
  return fit;
}

void replace_from_file(std::vector<LawFit>& fits, const std::string& path) {
  refuse_data(path);
  const records::FitFile file = records::fit_read(path);
  if (file.loss.form == records::LawsForm::none) refuse(path, "the file has no loss laws");
  int read = 0;
  for (const records::FittedLaw& law : file.loss.laws) {
    const std::optional<LawFit> fit = law_fit_of(law, path);
    if (fit) ++read;
    for (LawFit& old : fits) {
      if (old.law != fit::law_from_name(law.law)) continue;
      if (fit) {
        old = *fit;
      } else {
        old.warnings.push_back(fmt::format("{}: the data of {} do not determine its coefficients; planned with {}",
                                           law.law, path, old.name));
      }
    }
  }
  if (read == 0) {
    throw Error(
        {.where = path,
         .what = "no law of this file has all its coefficients",
         .fix = "its data do not determine them: fit more runs, or leave out --fit to plan with the published laws"});
  }
}

std::vector<std::string> extrapolation_warnings(const LawFit& fit, const fit::LawPoint& point) {
  std::vector<std::string> warnings;
  for (const auto& [column, range] : fit.ranges) {
    const double value = column_value(point, column);
    if (!std::isfinite(value) || fit::among_runs(value, range.first, range.second)) continue;
    warnings.push_back(fmt::format("{}: {} {:.3g} is outside {:.3g} to {:.3g}, the runs behind {}",
                                   fit::law_name(fit.law), column, value, range.first, range.second, fit.name));
  }
  return warnings;
}

}  // namespace moebius::plan
