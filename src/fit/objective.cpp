// The evaluator of all laws: blocks of runs, one pass for the exponentials, one for the residuals, one for the
// gradient.
#include "fit/objective.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace moebius::fit {

namespace {

constexpr i64 kBlock = 512;           // runs; a block's scratch stays in the first cache
constexpr double kExponentMax = 700;  // wild starts stay finite

// Four partial sums: a fixed order that the compiler can vectorise.
double dot(const double* a, const double* b, i64 n) {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  i64 i = 0;
  for (; i + 4 <= n; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < n; ++i) s0 += a[i] * b[i];
  return (s0 + s1) + (s2 + s3);
}

std::vector<std::vector<double>> form_columns(Law law, const std::vector<LawPoint>& points) {
  const std::string size = law_needs(law).front();
  const auto value = [&](const std::string& name, const LawPoint& p) {
    if (name == "ln N") return std::log(point_number(p, size));
    if (name == "ln N / ln 10") return std::log(point_number(p, size)) / std::log(10.0);
    if (name == "ln D") return std::log(p.tokens);
    if (name == "ln G") return std::log(p.granularity);
    if (name == "ln (1-S)") return std::log(point_density(p));
    if (name == "lg C") return std::log10(p.flops);
    if (name == "lb G") return std::log2(p.granularity);
    if (name == "(lb G)^2") return std::log2(p.granularity) * std::log2(p.granularity);
    CHECK(name == "ln 10", "every column has a value");
    return std::log(10.0);
  };
  std::vector<std::vector<double>> columns;
  for (const std::string& name : form_of(law).columns) {
    columns.emplace_back();
    for (const LawPoint& p : points) columns.back().push_back(value(name, p));
  }
  return columns;
}

}  // namespace

Objective::Objective(Law law, const std::vector<LawPoint>& points, double huber_delta, double weight_decay)
    : form_(&form_of(law)), huber_delta_(huber_delta), weight_decay_(weight_decay), runs_(std::ssize(points)) {
  columns_ = form_columns(law, points);
  weights_.assign(points.size(), 1.0);
  for (const LawPoint& p : points) measured_.push_back(form_->log_residual ? std::log(p.loss) : p.loss);
  if (form_->start_at >= 0) {
    std::vector<double> arguments;
    for (const LawPoint& p : points) {
      arguments.push_back(law == Law::leverage ? point_density(p) : point_number(p, "experts") - 1);
    }
    shifted_ = arguments;
    std::ranges::sort(shifted_);
    shifted_.erase(std::unique(shifted_.begin(), shifted_.end()), shifted_.end());
    for (const double a : arguments) {
      shifted_index_.push_back(std::lower_bound(shifted_.begin(), shifted_.end(), a) - shifted_.begin());
    }
  }
  level_.resize(shifted_.size());
  level_start_ = level_limit_ = level_;
  exp_.resize(form_->terms.size() * kBlock);
  sum_.resize(kBlock);
  scale_ = part_ = saturated_ = slope_ = sum_;
}

Objective Objective::resampled(const std::vector<i64>& weights) const {
  CHECK(std::ssize(weights) == runs_, "one weight a run");
  Objective sample = *this;
  sample.measured_.clear();
  sample.weights_.clear();
  sample.shifted_index_.clear();
  for (auto& column : sample.columns_) column.clear();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    sample.measured_.push_back(measured_[i]);
    sample.weights_.push_back(weights_[i] * static_cast<double>(weights[i]));
    if (!shifted_index_.empty()) sample.shifted_index_.push_back(shifted_index_[i]);
    for (std::size_t c = 0; c < columns_.size(); ++c) sample.columns_[c].push_back(columns_[c][i]);
  }
  sample.runs_ = std::ssize(sample.measured_);
  return sample;
}

// With s = ln Es, Em = Es (1 + q), q = exp(m): 1/(1/Es - 1/Em) = Es (1 + 1/q), and ln Eh = -ln h with
// h = 1/(x + Es (1 + 1/q)) + 1/Em. Both exponents end where the transform no longer changes.
void Objective::saturate(const double* theta) const {
  if (form_->start_at < 0) return;
  const double s = theta[form_->start_at], m = theta[form_->start_at + 1];
  const bool s_inside = std::fabs(s) < kSaturatingMax, m_inside = std::fabs(m) < kSaturatingMax;
  const double start = std::exp(std::clamp(s, -kSaturatingMax, kSaturatingMax));
  const double q = std::exp(std::clamp(m, -kSaturatingMax, kSaturatingMax));
  const double limit = start * (1 + q), offset = start * (1 + 1 / q);
  for (std::size_t i = 0; i < shifted_.size(); ++i) {
    const double inner = 1 / (shifted_[i] + offset);
    const double h = inner + 1 / limit;
    level_[i] = -std::log(h);
    level_start_[i] = s_inside ? (inner * inner * offset + 1 / limit) / h : 0.0;
    level_limit_[i] = m_inside ? (q / ((1 + q) * limit) - inner * inner * start / q) / h : 0.0;
  }
}

void Objective::part_column(const FormPart& part, i64 begin, i64 end, bool with_saturated) const {
  const i64 n = end - begin;
  double* const out = part_.data();
  if (part.column < 0) {
    std::fill_n(out, n, part.sign);
  } else {
    const double* column = columns_[static_cast<std::size_t>(part.column)].data() + begin;
    for (i64 i = 0; i < n; ++i) out[i] = part.sign * column[i];
  }
  if (!part.saturated || !with_saturated) return;
  const double* const saturated = saturated_.data();
  for (i64 i = 0; i < n; ++i) out[i] *= saturated[i];
}

void Objective::predict_block(const double* theta, i64 begin, i64 end) const {
  const i64 n = end - begin;
  double *const sum = sum_.data(), *const saturated = saturated_.data(), *const part_of = part_.data();
  const i64* const index = shifted_index_.data() + begin;
  for (i64 i = 0; form_->start_at >= 0 && i < n; ++i) saturated[i] = level_[static_cast<std::size_t>(index[i])];
  std::fill_n(sum, n, 0.0);
  for (std::size_t k = 0; k < form_->terms.size(); ++k) {
    double* exponent = exp_.data() + k * kBlock;
    std::fill_n(exponent, n, 0.0);
    for (const FormPart& part : form_->terms[k]) {
      part_column(part, begin, end, true);
      const double factor = theta[part.coefficient];
      for (i64 i = 0; i < n; ++i) exponent[i] += factor * part_of[i];
    }
    for (i64 i = 0; i < n; ++i) {
      exponent[i] = std::exp(std::clamp(exponent[i], -kExponentMax, kExponentMax));
      sum[i] += exponent[i];
    }
  }
}

double Objective::penalty(const double* theta) const {
  double sum = 0;
  for (i64 j = 0; weight_decay_ > 0 && j < parameters(); ++j) sum += theta[j] * theta[j];
  return weight_decay_ * sum;
}

bool Objective::evaluate(const double* theta, double* cost, double* gradient) const {
  for (i64 j = 0; j < parameters(); ++j) {
    if (!std::isfinite(theta[j])) return false;
  }
  saturate(theta);
  double total = penalty(theta);
  if (gradient != nullptr) {
    for (i64 j = 0; j < parameters(); ++j) gradient[j] = 2 * weight_decay_ * theta[j];
  }
  const double delta = huber_delta_;
  for (i64 begin = 0; begin < runs_; begin += kBlock) {
    const i64 end = std::min(begin + kBlock, runs_), n = end - begin;
    predict_block(theta, begin, end);
    const double *const measured = measured_.data() + begin, *const weights = weights_.data() + begin;
    for (i64 i = 0; i < n; ++i) {
      const std::size_t at = static_cast<std::size_t>(i);
      const double residual = (form_->log_residual ? std::log(sum_[at]) : sum_[at]) - measured[i];
      const double size = std::fabs(residual), weight = weights[i];
      total += weight * (size <= delta ? 0.5 * residual * residual : delta * (size - 0.5 * delta));
      const double slope = size <= delta ? residual : std::copysign(delta, residual);
      scale_[at] = weight * slope / (form_->log_residual ? sum_[at] : 1.0);
    }
    if (gradient != nullptr) add_gradient(theta, begin, end, gradient);
  }
  *cost = total;
  bool finite = std::isfinite(total);
  for (i64 j = 0; gradient != nullptr && j < parameters(); ++j) finite = finite && std::isfinite(gradient[j]);
  return finite;
}

void Objective::add_gradient(const double* theta, i64 begin, i64 end, double* gradient) const {
  const i64 n = end - begin;
  double *const slope = slope_.data(), *const part_of = part_.data();
  const double *const scale = scale_.data(), *const saturated = saturated_.data();
  std::fill_n(slope, n, 0.0);
  for (std::size_t k = 0; k < form_->terms.size(); ++k) {
    double* weighted = exp_.data() + k * kBlock;
    for (i64 i = 0; i < n; ++i) weighted[i] *= scale[i];
    for (const FormPart& part : form_->terms[k]) {
      part_column(part, begin, end, false);
      const double factor = theta[part.coefficient];
      for (i64 i = 0; part.saturated && i < n; ++i) {
        slope[i] += factor * weighted[i] * part_of[i];
        part_of[i] *= saturated[i];
      }
      gradient[part.coefficient] += dot(weighted, part_of, n);
    }
  }
  for (i64 i = 0; form_->start_at >= 0 && i < n; ++i) {
    const std::size_t level = static_cast<std::size_t>(shifted_index_[static_cast<std::size_t>(begin + i)]);
    gradient[form_->start_at] += slope[i] * level_start_[level];
    gradient[form_->start_at + 1] += slope[i] * level_limit_[level];
  }
}

void Objective::predict(const double* theta, double* predicted) const {
  saturate(theta);
  for (i64 begin = 0; begin < runs_; begin += kBlock) {
    const i64 end = std::min(begin + kBlock, runs_);
    predict_block(theta, begin, end);
    std::copy_n(sum_.data(), end - begin, predicted + begin);
  }
}

// One run at a time: its gradient is a row of the Jacobian. Slow and simple; called a few times in a fit.
void Objective::gauss_newton(const double* theta, double* matrix, double* column_norms) const {
  const i64 p = parameters();
  std::fill_n(matrix, p * p, 0.0);
  std::fill_n(column_norms, p, 0.0);
  std::vector<double> gradient(static_cast<std::size_t>(p));
  double* const row = gradient.data();
  saturate(theta);
  double weights = 0;
  for (i64 r = 0; r < runs_; ++r) {
    predict_block(theta, r, r + 1);
    const double predicted = sum_[0], weight = weights_[static_cast<std::size_t>(r)];
    const double measured = measured_[static_cast<std::size_t>(r)];
    const double residual = (form_->log_residual ? std::log(predicted) : predicted) - measured;
    scale_[0] = form_->log_residual ? 1 / predicted : 1.0;
    std::fill_n(row, p, 0.0);
    add_gradient(theta, r, r + 1, row);
    const double share = weight * (std::fabs(residual) <= huber_delta_ ? 1.0 : huber_delta_ / std::fabs(residual));
    weights += weight;
    for (i64 a = 0; a < p; ++a) {
      const double scaled = share * row[a];
      column_norms[a] += weight * row[a] * row[a];
      for (i64 b = 0; b < p; ++b) matrix[a * p + b] += scaled * row[b];
    }
  }
  for (i64 a = 0; a < p; ++a) {
    column_norms[a] = std::sqrt(column_norms[a] / weights);
    matrix[a * p + a] += 2 * weight_decay_;
  }
}

}  // namespace moebius::fit
