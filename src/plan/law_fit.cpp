// Reading fits, percentiles and ranges of validity.
#include "plan/law_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"
#include "base/units.h"
#include "fit/fit.h"
#include "fit/optimum.h"

namespace moebius::plan {

namespace {

using fit::Law;

// What the authors' runs spanned. Sources: the papers' texts (docs/plan.md says which numbers are read off where).
std::map<std::string, std::pair<double, double>> published_ranges(const fit::PublishedFit& fit) {
  switch (fit.law) {
    case Law::chinchilla: return {{"parameters_total", {44e6, 16e9}}, {"tokens", {2e8, 5e11}}};
    case Law::fine_grained:
      return {{"parameters_total", {129e6, 3.7e9}}, {"tokens", {16e9, 130e9}}, {"granularity", {1, 16}}};
    case Law::abnar: return {{"flops", {3e19, 1e21}}, {"sparsity", {0, 0.98}}};
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

std::vector<double> numbers_or_throw(const Json& array, std::size_t count, const std::string& path) {
  std::vector<double> values;
  for (const Json& value : array.as_array()) values.push_back(value.is_null() ? fit::kMissing : value.as_double());
  if (values.size() != count) refuse(path, fmt::format("a sample has {} coefficients for {}", values.size(), count));
  return values;
}

// Each sample was fitted as the coefficients were, weight decay included: the law's estimator, whose spread an interval is to
// show. Without the decay the samples would lie about another optimum than the one planned by. What the decay pulls all of
// them by they cannot show, so that is said where it matters.
void decay_note(const Json& json, LawFit& fit) {
  const double decay = json.get_double("weight_decay", 0), penalty = json.get_double("penalty", 0),
               cost = json.get_double("objective", 0);
  if (!(decay > 0)) return;
  if (!fit.interval_source.empty())
    fit.interval_source += fmt::format(", fitted with weight decay {:g} as its coefficients were", decay);
  if (!(penalty > fit::kDecayMuch * cost)) return;
  fit.warnings.push_back(fmt::format(
      "{}: the weight decay is {:.0f} % of the fit's objective: it pulls the optimum, and the intervals do not show "
      "by how much (compare a fit with --weight-decay 0)",
      fit::law_name(fit.law), 100 * penalty / cost));
}

// Nothing when the fit says of a coefficient that the data do not hold it.
bool read_law(const Json& json, const std::string& path, LawFit& fit) {
  fit.law = fit::law_from_name(json.at("law").as_string());
  fit.name = path;
  fit.source = "this fit";
  const Json& coefficients = json.at("coefficients");
  for (const std::string& name : fit::law_coefficients(fit.law)) {
    const Json* entry = coefficients.find(name);
    if (entry == nullptr)
      refuse(path, fmt::format("the law '{}' lacks the coefficient '{}'", fit::law_name(fit.law), name));
    const Json& value = entry->at("value");
    if (value.is_null()) return false;
    fit.values.push_back(value.as_double());
  }
  if (const Json* samples = json.find("samples"); samples != nullptr && samples->is_array()) {
    for (const Json& sample : samples->as_array()) {
      std::vector<double> values = numbers_or_throw(sample, fit.values.size(), path);
      if (std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
        fit.samples.push_back(std::move(values));
      }
    }
    fit.interval_source = fmt::format("{} bootstrap samples of {}", fit.samples.size(), path);
  }
  decay_note(json, fit);
  if (const Json* range = json.find("range"); range != nullptr && range->is_object()) {
    for (const auto& [column, ends] : range->as_object()) {
      if (ends.is_array() && ends.count() == 2 && !ends[0].is_null() && !ends[1].is_null()) {
        fit.ranges[column] = {ends[0].as_double(), ends[1].as_double()};
      }
    }
  }
  fit.validity = fmt::format("the runs of {}", path);
  if (!json.get_bool("determined", true)) {
    fit.warnings.push_back(fmt::format("{}: the fit's own verdict: {}", fit::law_name(fit.law),
                                       json.get_string("verdict", "not determined")));
  }
  return true;
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

}  // namespace

Interval interval_95(std::vector<double> values) {
  constexpr std::size_t kLeast = 20;
  if (values.size() < kLeast) return {};
  std::sort(values.begin(), values.end());
  const auto percentile = [&](double p) {
    const double at = p * static_cast<double>(values.size() - 1);
    const std::size_t below = static_cast<std::size_t>(at);
    const std::size_t above = std::min(below + 1, values.size() - 1);
    return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
  };
  return {.known = true, .low = percentile(0.025), .high = percentile(0.975)};
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
    fit.interval_source = "published standard errors as if independent: far too wide, see docs/plan.md";
  }
  return fit;
}

std::vector<LawFit> published_law_fits() {
  std::vector<LawFit> fits;
  for (i64 i = 0; i < fit::kLaws; ++i) fits.push_back(published_law_fit(fit::published_default(static_cast<Law>(i))));
  return fits;
}

void replace_from_file(std::vector<LawFit>& fits, const std::string& path) {
  const Json json = Json::parse_file(path);
  if (!json.is_object() || (!json.contains("law") && !json.contains("laws")))
    refuse(path, "neither 'law' nor 'laws' is in it");
  const Json::Array laws = json.contains("laws") ? json.at("laws").as_array() : Json::Array{json};
  int read = 0;
  for (const Json& entry : laws) {
    LawFit fit;
    const bool whole = read_law(entry, path, fit);
    if (whole) ++read;
    for (LawFit& old : fits) {
      if (old.law != fit.law) continue;
      if (whole) {
        old = fit;
      } else {
        old.warnings.push_back(fmt::format("{}: the data of {} do not hold its coefficients: planned by {}",
                                           fit::law_name(fit.law), path, old.name));
      }
    }
  }
  if (read == 0) {
    throw Error(
        {.where = path,
         .what = "no law of this file has all its coefficients",
         .fix = "its data do not determine them: fit more runs, or leave out --fit and plan by the published laws"});
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
