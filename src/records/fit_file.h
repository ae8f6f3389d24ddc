// fit.json as structs with one list of fields each: `fit` and `study` fill and write them, `plan`, `study` and `report`
// read them. The keys are described in docs/formats.md. Not for computing anything.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "records/fields.h"

namespace moebius::records {

// What the runs determine about a law: all of its coefficients, some of them, or none.
enum class Knowledge { determined, partly, none };
template <>
inline constexpr std::array kEnumNames<Knowledge> = {"determined", "partly determined", "not determined"};

struct Verdict {
  Knowledge knowledge = Knowledge::none;
  std::string text;  // "partly determined: not alpha"
  Verdict() = default;
  explicit Verdict(Knowledge knowledge, const std::string& why = "")
      : knowledge(knowledge), text(enum_name(knowledge) + (why.empty() ? "" : ": " + why)) {}
  bool known() const { return knowledge != Knowledge::none; }
  // The text after "not determined: ", for sentences that already say that nothing is known.
  std::string reason() const {
    const std::string prefix = std::string(enum_name(knowledge)) + ": ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  }
  void visit(Fields& f);  // two members of the object that has the verdict
};

struct Coefficient {
  std::string name;
  double value = kUnknown;                 // NaN: nothing in the data could determine it
  double low = kUnknown, high = kUnknown;  // 95 %
  bool determined = false;
  std::string note = {};  // why not
  Interval interval() const { return {value, low, high}; }
  void visit(Fields& f);
};

// A point of a curve, or a run beside it: x is a size, a sparsity, a train loss or FLOPs, y a loss or a score.
struct CurvePoint {
  std::string run = {};
  double x = kUnknown, y = kUnknown, low = kUnknown, high = kUnknown;
  double tokens = kUnknown, experts = kUnknown, top_k = kUnknown;
};

// The size with the least loss; its numbers are NaN unless it is determined.
struct Optimum {
  Interval size;
  double tokens = kUnknown, loss = kUnknown;
  bool determined = false;
  std::string verdict;
  void visit(Fields& f);
};

// Runs of equal compute that differ in size and tokens (x: size), with the law's curve through them.
struct IsoflopGroup {
  std::string family;
  double compute = kUnknown;
  std::string size_column;
  i64 runs = 0;
  std::vector<CurvePoint> points, curve;
  Optimum optimum;
  void visit(Fields& f);
};

// Runs of equal compute, tokens and top-k that differ in the number of experts (x: sparsity).
struct SparsityGroup {
  std::string family;
  double compute = kUnknown, tokens = kUnknown;
  i64 runs = 0;
  std::vector<CurvePoint> points, curve;
  void visit(Fields& f);
};

struct LawCurves {
  std::vector<IsoflopGroup> isoflop;
  std::vector<SparsityGroup> sparsity;
  std::vector<std::array<double, 2>> predicted;  // 95 % intervals, in the order of the residuals
  std::string isoflop_note, sparsity_note;       // why there are none
  void visit(Fields& f);
};

struct Residual {
  std::string run;
  double measured = kUnknown, predicted = kUnknown, compute = kUnknown;
  void visit(Fields& f);
};

struct Holdout {
  std::string kind;
  std::vector<std::string> runs;
  std::vector<double> errors;  // relative, signed; in the order of `runs`
  double error = kUnknown, error_se = kUnknown;
  void visit(Fields& f);
};

// A complete coefficient vector with its objective.
struct LawOptimum {
  double objective = kUnknown;
  std::vector<double> coefficients;
  void visit(Fields& f);
};

// The least and the largest value of a column over the runs.
struct ColumnRange {
  std::string name;
  std::array<double, 2> ends = {kUnknown, kUnknown};
  void visit(Fields& f) { f.value(ends); }
};

struct FittedLaw {
  std::string law, formula, source, meaning, quantity;
  double objective = kUnknown, penalty = 0;
  std::string residual;  // "log" or "linear"
  double huber_delta = kUnknown, weight_decay = 0;
  std::vector<Coefficient> coefficients;
  bool determined = false;
  Verdict verdict;
  std::vector<std::string> notes;
  std::optional<Holdout> holdout;
  double rmse = kUnknown, rmse_log = kUnknown, aicc = kUnknown;
  i64 runs = 0;
  std::vector<ColumnRange> range;
  std::vector<LawOptimum> optima;
  double interval_level = kUnknown;
  std::vector<std::vector<double>> samples;  // bootstrap coefficient vectors
  std::vector<Residual> residuals;
  LawCurves curves;
  double holdout_error() const { return holdout ? holdout->error : kUnknown; }
  void visit(Fields& f);
};

struct SkippedLaw {
  std::string law, reason;
  void visit(Fields& f);
};

struct RankedLaw {
  std::string law;
  double aicc = kUnknown, aicc_difference = kUnknown, holdout_error = kUnknown;
  void visit(Fields& f);
};

struct ComparedPair {
  std::string a, b;  // a has the lower AICc
  double aicc_difference = kUnknown, holdout_difference = kUnknown, holdout_difference_se = kUnknown;
  bool distinct = false;
  std::string text;
  void visit(Fields& f);
};

struct Comparison {
  std::vector<RankedLaw> laws;  // the lowest AICc first
  std::vector<ComparedPair> pairs;
  std::string verdict;
  void visit(Fields& f);
};

// y = eta, exp(eta), or floor + (ceiling - floor) / (1 + exp(-eta)).
enum class TaskLink { linear, exponential, sigmoid, sigmoid_ceiling };
template <>
inline constexpr std::array kEnumNames<TaskLink> = {"linear", "exponential", "sigmoid", "sigmoid with fitted ceiling"};

enum class Sign { positive, negative, not_determined };
template <>
inline constexpr std::array kEnumNames<Sign> = {"positive", "negative", "not determined"};

// One coefficient of eta = intercept + a (train loss - reference) + b ln(flops / reference) + c ln(tpp / reference).
struct TaskTerm {
  std::string name;             // intercept, train_loss, flops, tpp; ceiling
  double reference = kUnknown;  // mean of the train loss; geometric means of FLOPs and TPP
  Interval value;               // 95 %: Student's t over configurations, linearised; unknown when not determined
  Sign sign = Sign::not_determined;
  std::string note;  // why it is not determined
  bool determined() const { return sign != Sign::not_determined; }
  bool is_slope() const { return name != "intercept" && name != "ceiling"; }
  void visit(Fields& f);
};

// One configuration against the law.
struct TaskLawPoint {
  std::string model;
  i64 seeds = 0;
  double train_loss = kUnknown, flops = kUnknown, tpp = kUnknown;
  double measured = kUnknown, predicted = kUnknown;
  double left_out = kUnknown;  // predicted by the law that had not seen it
  void visit(Fields& f);
};

// Lines with 95 % bands of the law's mean (x: train loss, FLOPs), the other terms at `at`.
struct TaskCurves {
  struct At {
    double train_loss = kUnknown, flops = kUnknown, tpp = kUnknown;
    void visit(Fields& f);
  };
  std::vector<CurvePoint> over_train_loss, over_flops;
  At at;
  void visit(Fields& f);
};

struct TaskLaw {
  std::string task, skill, measure;
  i64 tasks = 1;
  std::optional<TaskLink> link;                 // none without a fit
  double floor = kUnknown, ceiling = kUnknown;  // of the sigmoids
  std::vector<TaskTerm> terms;                  // intercept, train_loss, flops, tpp; with sigmoid_ceiling also ceiling
  i64 configurations = 0, runs = 0, df = 0;
  double residual = kUnknown;                // of configurations' means around the law, in y; divided by df
  double seed_noise = kUnknown;              // of one run around its configuration's mean
  bool misfit = false;                       // the residual is larger than the seed noise allows (F test, 5 %)
  double holdout_error = kUnknown;           // root mean square over configurations left out one at a time
  double holdout_error_constant = kUnknown;  // the same for the mean of the others
  Verdict verdict;
  std::vector<std::string> notes;
  std::vector<TaskLawPoint> points;
  TaskCurves curves;
  bool fitted() const { return link.has_value(); }
  void visit(Fields& f);
};

enum class Extremum { maximum, minimum };
template <>
inline constexpr std::array kEnumNames<Extremum> = {"maximum", "minimum"};

enum class TurnAxis { tpp, parameters_total, train_loss };
template <>
inline constexpr std::array kEnumNames<TurnAxis> = {"tpp", "parameters_total", "train_loss"};

enum class TurnShape {
  inside,          // rises, then falls, beyond noise
  low_end,         // the best point is the first: falling beyond noise from there on
  high_end,        // the best point is the last
  several,         // no single rise and fall fits: more than one turn
  not_determined,  // the data cannot say
};
template <>
inline constexpr std::array kEnumNames<TurnShape> = {"turning point inside", "best at the low end",
                                                     "best at the high end", "more than one turn", "not determined"};

enum class TurnOutcome { found, none, not_determined };
template <>
inline constexpr std::array kEnumNames<TurnOutcome> = {"found", "none", "not determined"};

// A test for a rise and a fall of a score (or a fall and a rise of a loss) along x as experts are added.
struct TurningPoint {
  struct Point {
    double x = kUnknown, y = kUnknown;
    i64 runs = 0;
    void visit(Fields& f);
  };
  std::string task, skill, measure;
  Extremum direction = Extremum::maximum;  // maximum of scores, minimum of losses
  TurnAxis x = TurnAxis::tpp;
  std::string family;  // runs that differ in the number of experts alone
  TurnShape shape = TurnShape::not_determined;
  double p = kUnknown;                      // of the rise and the fall together
  double p_adjusted = kUnknown;             // Holm over the distinct tests of all tasks, families and x
  i64 tests = 0;                            // how many these were
  std::optional<Interval> at;               // in x's unit; when it was found
  double rise = kUnknown, fall = kUnknown;  // of the most convincing blocks
  double seed_noise = kUnknown;
  i64 seeds = 0;  // fewest at any configuration
  std::vector<Point> points;
  TurnOutcome outcome = TurnOutcome::not_determined;
  std::string verdict;
  bool found() const { return outcome == TurnOutcome::found; }
  void visit(Fields& f);
};

// A shape as `moebius plan --json` prints it, as far as it is shown.
struct RecommendedShape {
  double d_model = kUnknown, layers = kUnknown, experts = kUnknown, top_k = kUnknown;
  double parameters_total = kUnknown, parameters_active = kUnknown, tokens = kUnknown, loss = kUnknown;
  void visit(Fields& f);  // reads
};

// One law's own optimum under the budget of the recommendation.
struct LawChoice {
  std::string law, reason;  // why there is none
  RecommendedShape optimum;
  std::array<double, 2> parameters_active_95 = {kUnknown, kUnknown};
  void visit(Fields& f);  // reads
};

struct Recommendation {
  Verdict verdict;
  double compute = kUnknown;
  std::string law;
  Json model;  // as plan prints a shape; null when none is recommended
  std::vector<std::string> reasons;
  Json laws = Json::array();  // as plan prints them, without shapes
  // Read from the two above.
  std::optional<RecommendedShape> shape;
  std::vector<LawChoice> choices;
  void visit(Fields& f);
};

// The published coefficients that synthetic runs were made with.
struct Planted {
  struct Value {
    std::string name;
    double number = kUnknown;
    void visit(Fields& f) { f.value(number); }
  };
  std::string name, law;
  std::vector<Value> coefficients;
  void visit(Fields& f);
};

// one: `laws` has one entry, whose keys are the file's own; all: the form of `--law all`.
enum class LawsForm { none, one, all };

struct LossLaws {
  LawsForm form = LawsForm::none;
  std::vector<FittedLaw> laws;
  std::vector<SkippedLaw> skipped;
  Comparison comparison;
  i64 runs_dropped = 0, runs_total = 0, seed = 0;
};

struct TaskLaws {
  bool present = false;
  std::vector<TaskLaw> task_laws;
  std::vector<TurningPoint> turning_points;
  std::vector<std::string> left_out;  // lines on runs that could not be used
};

struct FitFile {
  LossLaws loss;
  std::vector<std::string> data;
  std::optional<Planted> planted;
  TaskLaws tasks;
  std::optional<Recommendation> recommended;
  const FittedLaw* law(std::string_view name) const;
  void visit(Fields& f);
};

// Throws Error with the file and the key; also for a file of a version before `knowledge` existed.
FitFile fit_read(const std::string& path);
FitFile fit_parse(const Json& json, const std::string& where);
void fit_write(const FitFile& fit, const std::string& path);
// `brief`: without samples, residuals, curves, and the held-out runs with their errors.
Json fit_to_json(const FitFile& fit, bool brief = false);

}  // namespace moebius::records
