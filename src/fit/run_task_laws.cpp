// Load, fit, test, print.
#include "fit/run_task_laws.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "fit/task_law.h"
#include "fit/turning_point.h"

namespace moebius::fit {

namespace {

std::string interval_text(const Interval& value) {
  if (!std::isfinite(value.estimate)) return "-";
  return fmt::format("{:+.3g} [{:+.3g}, {:+.3g}]", value.estimate, value.low, value.high);
}

std::string law_text(const TaskLaw& law) {
  const TaskScore& measure = law.measure;
  const std::string skill = measure.skill.empty() ? "skill not said" : measure.skill;
  const std::string name = measure.tasks > 1 ? fmt::format("{}, mean of {} tasks", skill, measure.tasks) : measure.task;
  std::string text = fmt::format("{}, {} ({}): {}\n", name, measure.measure, skill, law.verdict);
  if (!law.fitted) return text;
  text += fmt::format(
      "  {} link; {} configurations, {} runs; residual {:.3g}, seed noise {}; left-out error {:.3g}, of the mean {:.3g}\n",
      task_link_name(law.link), law.configurations, law.runs, law.residual,
      std::isfinite(law.seed_noise) ? fmt::format("{:.3g}", law.seed_noise) : "unknown", law.holdout_error,
      law.holdout_error_constant);
  for (const TaskTerm& term : law.terms) {
    if (term.name == "intercept") continue;
    text += fmt::format("  {:<12} {:<34} {}{}\n", term.name, interval_text(term.value), term_verdict_name(term.verdict),
                        term.note.empty() ? "" : ": " + term.note);
  }
  for (const std::string& note : law.notes) text += "  " + note + "\n";
  return text;
}

std::string turn_text(const TurningPoint& turn) {
  std::string text = fmt::format("{}, {} in {} ({}): {}\n", turn.measure.task, turn.measure.measure, turn.x,
                                 turn.family, turn.verdict);
  if (!turn.found) return text;
  const bool logarithmic = turn.x != "train_loss";
  const auto unit = [&](double value) { return logarithmic ? std::exp2(value) : value; };
  return text + fmt::format("  at {} = {:.4g} [{:.4g}, {:.4g}]; the sides differ by {:.3g} and {:.3g}\n", turn.x,
                            unit(turn.test.at.estimate), unit(turn.test.at.low), unit(turn.test.at.high),
                            turn.test.rise, turn.test.fall);
}

}  // namespace

TaskLawsResult run_task_laws(const std::vector<std::string>& folders) {
  TaskLawsResult result;
  std::vector<std::string> left_out;
  const std::vector<TaskRun> runs = task_runs_load(folders, &left_out);
  for (const std::string& line : left_out) result.left_out.push_back(line);
  result.text = fmt::format(
      "task laws over {} runs: change of eta for each nat of train loss, for each e-fold of active "
      "FLOPs and of tokens per parameter, 95 %\n\n",
      runs.size());
  for (const TaskLaw& law : fit_task_laws(runs)) {
    result.task_laws.push_back(law.to_json());
    result.text += law_text(law);
  }
  if (result.task_laws.count() == 0) result.text += "no run has a task's score\n";
  result.text += "\nturning points as experts are added, all else equal\n\n";
  // What cannot be told is counted, by its reason: a study asks far more often than it gets an answer.
  std::map<std::string, i64> open;
  for (const TurningPoint& turn : find_turning_points(runs)) {
    result.turning_points.push_back(turn.to_json());
    const bool told = turn.verdict.rfind("not determined", 0) != 0;
    if (told) result.text += turn_text(turn);
    if (!told) ++open[turn.verdict.substr(0, turn.verdict.find(" ("))];
  }
  for (const auto& [verdict, count] : open) {
    result.text += fmt::format("{} of {}: {}\n", count, result.turning_points.count(), verdict);
  }
  if (result.turning_points.count() == 0) {
    result.text += "no family of runs has four numbers of experts: nothing to test\n";
  }
  for (const std::string& line : left_out) result.text += "left out: " + line + "\n";
  return result;
}

}  // namespace moebius::fit
