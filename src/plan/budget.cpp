// The optimum of every law under a budget: the modes, the search over forms, intervals, built shapes.
#include "plan/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/units.h"
#include "fit/optimum.h"

namespace moebius::plan {

namespace {

using fit::Law;

constexpr double kWidthLow = 48, kWidthHigh = 131072;
constexpr double kRoutedTokens = 130e9;  // of every run of the routed law

// What is minimised under one law, and what is given.
struct Task {
  enum class Mode {
    compute,    // the least loss for `compute`
    split,      // `compute` and `tokens` given: the shape follows
    tokens,     // `tokens` given and memory bounds the size
    per_token,  // `compute` and `flops_per_token` given (Ling's allocation)
    inference,  // `loss` given: the fewest FLOPs of training and inference
  };
  Mode mode = Mode::compute;
  double compute = 0, tokens = 0, flops_per_token = 0, loss = 0, inference_tokens = 0;
  std::string reason;  // why there is no task
};

double value_of(const LawFit& fit, const std::vector<double>& coefficients, const Form& form, const Numbers& numbers,
                double tokens) {
  return fit::law_value(fit.law, coefficients, law_point(form, numbers, tokens));
}

// Lower is better.
double score_of(const Task& task, const Choice& choice) {
  if (task.mode == Task::Mode::inference) return choice.flops_training + choice.flops_inference;
  return choice.form.law == Law::leverage ? -choice.value : choice.value;
}

void fill(Choice& choice, const Budget& budget, const LawFit& fit, const std::vector<double>& coefficients) {
  const double per_token = law_flops_per_token(choice.form, choice.numbers);
  choice.value = value_of(fit, coefficients, choice.form, choice.numbers, choice.tokens);
  choice.flops_training = per_token * choice.tokens;
  choice.flops_inference = per_token / 3 * budget.inference_tokens;
}

// Whether a law that cannot count inference gives no plan: --inference-tokens is given, not assumed.
bool must_trade(const Budget& budget) { return budget.inference_tokens > 0 && !budget.inference_assumed; }

// The greatest width whose model fits the memory; nothing when not even the smallest does.
std::optional<double> width_limit(const Form& form, const Budget& budget) {
  if (budget.memory <= 0) return kWidthHigh;
  const auto bytes = [&](double d) { return memory_bytes(numbers_at(form, budget.geometry, d)); };
  if (bytes(kWidthHigh) <= budget.memory) return kWidthHigh;
  return fit::solve_rising_log(bytes, budget.memory, kWidthLow, kWidthHigh);
}

// The best width of one form, continuous; nothing when the form cannot satisfy the constraints.
std::optional<Choice> solve_form(const Form& form, const LawFit& fit, const std::vector<double>& coefficients,
                                 const Task& task, const Budget& budget) {
  const std::optional<double> limit = width_limit(form, budget);
  if (!limit) return std::nullopt;
  const auto numbers = [&](double d) { return numbers_at(form, budget.geometry, d); };
  fit::Frontier frontier;
  frontier.flops_per_token = [&](double d) { return law_flops_per_token(form, numbers(d)); };
  frontier.loss = [&](double d, double tokens) { return value_of(fit, coefficients, form, numbers(d), tokens); };
  frontier.size_low = kWidthLow;
  frontier.size_high = *limit;
  double width = 0, tokens = task.tokens;
  if (task.mode == Task::Mode::compute) {
    const fit::Optimum optimum = fit::optimum_at_compute(frontier, task.compute);
    width = optimum.size, tokens = optimum.tokens;
  } else if (task.mode == Task::Mode::inference) {
    const auto optimum = fit::optimum_with_inference(frontier, task.loss, task.inference_tokens);
    if (!optimum) return std::nullopt;
    width = optimum->size, tokens = optimum->tokens;
  } else if (task.mode == Task::Mode::tokens) {
    width = fit::minimise_log([&](double d) { return frontier.loss(d, tokens); }, kWidthLow, *limit).at;
  } else {
    const double wanted = task.mode == Task::Mode::split ? task.compute / task.tokens : task.flops_per_token;
    if (frontier.flops_per_token(kWidthLow) > wanted) return std::nullopt;
    const auto solved = fit::solve_rising_log(frontier.flops_per_token, wanted, kWidthLow, *limit);
    // The leverage is not a loss: it does not say how much a model that is too small for its compute loses.
    if (!solved && task.mode == Task::Mode::per_token) return std::nullopt;
    width = solved.value_or(*limit);
    if (task.mode == Task::Mode::per_token) tokens = task.compute / frontier.flops_per_token(width);
  }
  if (width < kWidthLow * 1.01) return std::nullopt;  // the law's optimum is smaller than anything that can be built
  Choice choice;
  choice.form = form;
  choice.numbers = numbers(width);
  choice.tokens = tokens;
  choice.memory_binds = budget.memory > 0 && width > *limit * 0.9999;
  fill(choice, budget, fit, coefficients);
  return std::isfinite(choice.value) ? std::optional(choice) : std::nullopt;
}

std::optional<Choice> solve_forms(const std::vector<Form>& forms, const LawFit& fit,
                                  const std::vector<double>& coefficients, const Task& task, const Budget& budget) {
  std::optional<Choice> best;
  for (const Form& form : forms) {
    const auto choice = solve_form(form, fit, coefficients, task, budget);
    if (choice && (!best || score_of(task, *choice) < score_of(task, *best))) best = choice;
  }
  return best;
}

// Without a compute budget: the one for which `tokens` are optimal.
double compute_for_tokens(const std::vector<Form>& forms, const LawFit& fit, const std::vector<double>& coefficients,
                          const Budget& budget) {
  if (fit.law == Law::leverage) {
    const auto tokens = [](double compute) { return fit::ling_allocation(compute, true).tokens; };
    return fit::solve_rising_log(tokens, budget.tokens, 1e10, 1e34).value_or(0);
  }
  const auto tokens = [&](double compute) {
    const Task task{.mode = Task::Mode::compute, .compute = compute, .reason = ""};
    const auto best = solve_forms(forms, fit, coefficients, task, budget);
    return best ? best->tokens : 0.0;
  };
  return fit::solve_rising_log(tokens, budget.tokens, 1e10, 1e34).value_or(0);
}

Task routed_task(const Budget& budget) {
  if (must_trade(budget)) return {.reason = "the law has no term for tokens, so it cannot trade tokens for size"};
  if (budget.compute <= 0) return {.reason = "the law has no term for tokens; add --compute"};
  return {.mode = Task::Mode::split,
          .compute = budget.compute,
          .tokens = budget.tokens > 0 ? budget.tokens : kRoutedTokens,
          .reason = ""};
}

Task leverage_task(const Budget& budget, double compute) {
  if (must_trade(budget)) return {.reason = "the law predicts leverage, not loss, so there is no loss to keep equal"};
  if (compute <= 0) return {.reason = "the law requires --compute"};
  if (budget.compute > 0 && budget.tokens > 0) {
    return {.mode = Task::Mode::split, .compute = compute, .tokens = budget.tokens, .reason = ""};
  }
  return {.mode = Task::Mode::per_token,
          .compute = compute,
          .flops_per_token = fit::ling_allocation(compute, true).flops_per_token,
          .reason = ""};
}

Task task_of(const Budget& budget, const LawFit& fit, const std::vector<double>& coefficients,
             const std::vector<Form>& forms) {
  if (fit.law == Law::routed) return routed_task(budget);
  const bool tokens_alone = budget.compute <= 0;
  if (tokens_alone && budget.memory > 0 && fit.law != Law::leverage) {
    return {.mode = Task::Mode::tokens, .tokens = budget.tokens, .reason = ""};
  }
  const double compute = tokens_alone ? compute_for_tokens(forms, fit, coefficients, budget) : budget.compute;
  if (fit.law == Law::leverage) return leverage_task(budget, compute);
  if (compute <= 0) return {.reason = "no compute makes this number of tokens optimal for a shape that can be built"};
  if (!tokens_alone && budget.tokens > 0) {
    return {.mode = Task::Mode::split, .compute = compute, .tokens = budget.tokens, .reason = ""};
  }
  Task task{.mode = Task::Mode::compute, .compute = compute, .reason = ""};
  if (budget.inference_tokens <= 0) return task;
  const auto best = solve_forms(forms, fit, coefficients, task, budget);
  if (!best) return {.reason = "no shape is small enough for the compute"};
  return {.mode = Task::Mode::inference,
          .compute = compute,
          .loss = best->value,
          .inference_tokens = budget.inference_tokens,
          .reason = ""};
}

// A built shape that satisfies the constraints as closely as its size allows; nothing if it cannot.
std::optional<Choice> built_choice(const Form& form, const LawFit& fit, const Task& task, const Budget& budget,
                                   i64 width) {
  Choice choice;
  choice.form = form;
  choice.config = build(form, budget.geometry, width);
  choice.form.granularity = law_granularity(form, choice.config);
  choice.numbers = numbers_of(choice.config, budget.geometry.sequence);
  if (budget.memory > 0 && memory_bytes(choice.numbers) > budget.memory) return std::nullopt;
  const double per_token = law_flops_per_token(choice.form, choice.numbers);
  choice.tokens =
      task.mode == Task::Mode::tokens || task.mode == Task::Mode::split ? task.tokens : task.compute / per_token;
  if (task.mode == Task::Mode::inference) {
    const auto tokens = fit::tokens_for_loss(
        [&](double t) { return value_of(fit, fit.values, choice.form, choice.numbers, t); }, task.loss);
    if (!tokens) return std::nullopt;
    choice.tokens = *tokens;
  }
  fill(choice, budget, fit, fit.values);
  choice.extrapolated = !extrapolation_warnings(fit, law_point(choice.form, choice.numbers, choice.tokens)).empty();
  return choice;
}

// How far a built shape is from the target of the task, where the task fixes the size; else its score.
double shape_score(const Task& task, const Choice& choice) {
  if (task.mode == Task::Mode::split) return std::fabs(std::log(choice.flops_training / task.compute));
  if (task.mode == Task::Mode::per_token) {
    return std::fabs(std::log(law_flops_per_token(choice.form, choice.numbers) / task.flops_per_token));
  }
  return score_of(task, choice);
}

std::vector<Choice> build_shapes(const std::vector<Form>& forms, const LawFit& fit, const Task& task,
                                 const Budget& budget) {
  static const std::vector<i64> widths = buildable_widths();
  std::vector<Choice> shapes;
  for (const Form& form : forms) {
    const auto continuous = solve_form(form, fit, fit.values, task, budget);
    if (!continuous) continue;
    std::optional<Choice> best;
    for (const i64 width : widths) {
      const double ratio = static_cast<double>(width) / continuous->numbers.d_model;
      if (ratio < 0.5 || ratio > 2 || !buildable(form, budget.geometry, width))
        continue;  // the law's valley has one bottom
      const auto choice = built_choice(form, fit, task, budget, width);
      if (choice && (!best || shape_score(task, *choice) < shape_score(task, *best))) best = choice;
    }
    if (best) shapes.push_back(*best);
  }
  std::stable_sort(shapes.begin(), shapes.end(),
                   [&](const Choice& a, const Choice& b) { return score_of(task, a) < score_of(task, b); });
  return shapes;
}

void fill_intervals(LawPlan& plan, const std::vector<Form>& forms, const Budget& budget) {
  std::vector<double> active, total, tokens, value, experts;
  for (const std::vector<double>& sample : plan.fit.samples) {
    const Task task = task_of(budget, plan.fit, sample, forms);
    if (!task.reason.empty()) continue;
    const auto best = solve_forms(forms, plan.fit, sample, task, budget);
    if (!best) continue;
    active.push_back(best->numbers.active);
    total.push_back(best->numbers.total);
    tokens.push_back(best->tokens);
    value.push_back(best->value);
    experts.push_back(static_cast<double>(best->form.experts));
  }
  plan.parameters_active = interval_95(std::move(active));
  plan.parameters_total = interval_95(std::move(total));
  plan.tokens = interval_95(std::move(tokens));
  plan.value = interval_95(std::move(value));
  plan.experts = interval_95(std::move(experts));
}

double idle_share(const Form& form) {
  return 1 - static_cast<double>(form.top_k + form.shared) / static_cast<double>(form.experts + form.shared);
}

bool sparser(const Form& a, const Form& b) { return idle_share(a) < idle_share(b); }

LawPlan plan_law(const Budget& budget, const LawFit& fit) {
  LawPlan plan;
  plan.fit = fit;
  const std::vector<Form> forms = forms_of(fit.law, fit.name);
  const Task task = task_of(budget, fit, fit.values, forms);
  plan.reason = task.reason;
  if (!plan.reason.empty()) return plan;
  plan.optimum = solve_forms(forms, fit, fit.values, task, budget);
  if (!plan.optimum) {
    plan.reason = budget.memory > 0 ? "no shape fits the memory and the budget"
                                    : "the budget is too small for any shape with this vocabulary (--vocab)";
    return plan;
  }
  const auto [least, most] = std::minmax_element(forms.begin(), forms.end(), sparser);
  plan.sparsest = idle_share(*most) > idle_share(*least) && idle_share(plan.optimum->form) > 0.999 * idle_share(*most);
  if (task.mode == Task::Mode::inference) {
    const Task training{.mode = Task::Mode::compute, .compute = budget.compute, .reason = ""};
    plan.compute_optimal = solve_forms(forms, fit, fit.values, training, budget);
  }
  plan.shapes = build_shapes(forms, fit, task, budget);
  if (plan.shapes.empty()) {
    plan.reason = "no shape that can be built is near the optimum";
    plan.optimum.reset();
    return plan;
  }
  fill_intervals(plan, forms, budget);
  plan.warnings = fit.warnings;
  const auto far =
      extrapolation_warnings(fit, law_point(plan.optimum->form, plan.optimum->numbers, plan.optimum->tokens));
  plan.warnings.insert(plan.warnings.end(), far.begin(), far.end());
  const double guess = std::log(static_cast<double>(budget.geometry.base.vocab));
  if (fit.law != Law::leverage && plan.optimum->value > guess) {
    plan.warnings.push_back(
        fmt::format("{}: a loss of {:.2f} is above {:.2f}, that of equal probabilities for all tokens",
                    fit::law_name(fit.law), plan.optimum->value, guess));
  }
  if (fit.law == Law::routed && budget.tokens > 0 && budget.tokens != kRoutedTokens) {
    plan.warnings.push_back("routed: the law is for 130B tokens; the effect of other numbers of tokens is unknown");
  }
  return plan;
}

void widen(Interval& interval, double value) {
  interval.low = interval.known ? std::min(interval.low, value) : value;
  interval.high = interval.known ? std::max(interval.high, value) : value;
  interval.known = true;
}

}  // namespace

void check_budget(const Budget& budget) {
  const auto refuse = [](const std::string& what, const std::string& fix) {
    throw Error({.where = "moebius plan", .what = what, .fix = fix});
  };
  if (budget.compute <= 0 && budget.tokens <= 0) {
    refuse("no budget of training FLOPs or tokens is given", "add --compute 1e21, or --tokens 100B, or both");
  }
  const double sequence = static_cast<double>(budget.geometry.sequence);
  if (budget.tokens > 0 && budget.tokens < sequence) {
    refuse(fmt::format("{:g} training tokens are less than one sequence of {:g}", budget.tokens, sequence),
           "use more tokens, for example --tokens 100B");
  }
  if (budget.inference_tokens > 0 && budget.tokens > 0) {
    refuse("--tokens and --inference-tokens cannot be combined: the latter chooses the number of training tokens",
           "leave out --tokens");
  }
  if (budget.inference_tokens > 0 && budget.compute <= 0) {
    refuse("--inference-tokens requires --compute: it keeps the compute-optimal loss of that budget", "give --compute");
  }
}

std::vector<LawPlan> plan_budget(const Budget& budget, const std::vector<LawFit>& fits) {
  check_budget(budget);
  std::vector<LawPlan> plans;
  for (const LawFit& fit : fits) plans.push_back(plan_law(budget, fit));
  const bool any =
      std::any_of(plans.begin(), plans.end(), [](const LawPlan& plan) { return plan.optimum.has_value(); });
  if (!any) {
    std::string reasons;
    for (const LawPlan& plan : plans) {
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", fit::law_name(plan.fit.law), plan.reason);
    }
    const double d = static_cast<double>(buildable_widths().front());
    const Numbers least =
        numbers_of(build({.width = 2}, budget.geometry, buildable_widths().front()), budget.geometry.sequence);
    throw Error(
        {.where = "moebius plan",
         .what = "no model fits this budget",
         .got = reasons,
         .fix = fmt::format("{}use more compute or memory, or a smaller --vocab: the smallest dense shape (d {:g}) has "
                            "{} parameters with this vocabulary and needs {} of memory",
                            must_trade(budget) ? "leave out --inference-tokens, or " : "", d,
                            format_exact(std::llround(least.total)), format_bytes(memory_bytes(least)))});
  }
  return plans;
}

const LawPlan* recommended_law(const std::vector<LawPlan>& plans) {
  for (const Law law :
       {Law::joint, Law::abnar, Law::fine_grained, Law::leverage, Law::flame, Law::chinchilla, Law::routed}) {
    for (const LawPlan& plan : plans) {
      const bool usable = plan.optimum && plan.warnings.empty() && !plan.shapes.front().extrapolated;
      if (usable && plan.fit.law == law) return &plan;
    }
  }
  return nullptr;
}

Disagreement disagreement(const std::vector<LawPlan>& plans) {
  Disagreement spread;
  for (const LawPlan& plan : plans) {
    if (!plan.optimum) continue;
    widen(spread.parameters_active, plan.optimum->numbers.active);
    widen(spread.tokens, plan.optimum->tokens);
    widen(spread.tpp, plan.optimum->tokens / plan.optimum->numbers.total);
  }
  return spread;
}

}  // namespace moebius::plan
