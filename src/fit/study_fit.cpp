// Laws, comparison, tasks: one object.
#include "fit/study_fit.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/units.h"
#include "fit/fit_output.h"
#include "fit/runs.h"
#include "fit/task_law.h"
#include "fit/turning_point.h"

namespace moebius::fit {

namespace {

// Why no leverage follows from the losses; empty for the other laws, and where it does or is measured.
std::string leverage_fault(const Runs& runs, Law law) {
  if (law != Law::leverage || runs.measures_leverage) return "";
  try {
    leverage_of_losses(runs);
  } catch (const Error& error) {
    return error.parts().what;
  }
  return "";
}

std::string interval_text(const Interval& value) {
  if (!std::isfinite(value.estimate)) return "-";
  return fmt::format("{:+.3g} [{:+.3g}, {:+.3g}]", value.estimate, value.low, value.high);
}

std::string law_text(const TaskLaw& law) {
  const std::string skill = law.skill.empty() ? "no skill given" : law.skill;
  const std::string name = law.tasks > 1 ? fmt::format("{}, mean of {} tasks", skill, law.tasks) : law.task;
  std::string text = fmt::format("{}, {} ({}): {}\n", name, law.measure, skill, law.verdict.text);
  if (!law.fitted()) return text;
  text += fmt::format(
      "  {} link; {} configurations, {}; residual {:.3g}, seed noise {}; left-out error {:.3g}, of the mean {:.3g}\n",
      records::enum_name(*law.link), law.configurations, format_plural(law.runs, "run"), law.residual,
      std::isfinite(law.seed_noise) ? fmt::format("{:.3g}", law.seed_noise) : "unknown", law.holdout_error,
      law.holdout_error_constant);
  for (const TaskTerm& term : law.terms) {
    if (term.name == "intercept") continue;
    text += fmt::format("  {:<12} {:<34} {}{}\n", term.name, interval_text(term.value), records::enum_name(term.sign),
                        term.note.empty() ? "" : ": " + term.note);
  }
  for (const std::string& note : law.notes) text += "  " + note + "\n";
  return text;
}

std::string turn_text(const TurningPoint& turn) {
  const char* x = records::enum_name(turn.x);
  std::string text = fmt::format("{}, {} in {} ({}): {}\n", turn.task, turn.measure, x, turn.family, turn.verdict);
  if (!turn.at) return text;
  return text + fmt::format("  at {} = {:.4g} [{:.4g}, {:.4g}]; the sides differ by {:.3g} and {:.3g}\n", x,
                            turn.at->estimate, turn.at->low, turn.at->high, turn.rise, turn.fall);
}

}  // namespace

std::vector<Law> laws_possible(const Runs& runs, std::vector<SkippedLaw>& skipped) {
  std::vector<Law> laws;
  for (const Law law : all_laws()) {
    const std::string lacking = runs_lack(runs, law);
    const auto skip = [&](const std::string& why) { skipped.push_back({std::string(law_name(law)), why}); };
    if (law != Law::leverage && runs.measures_leverage) {
      skip("the data measure the efficiency leverage, no loss");
    } else if (!lacking.empty()) {
      skip(fmt::format("not all runs have '{}'", lacking));
    } else if (const std::string fault = leverage_fault(runs, law); !fault.empty()) {
      skip(fault);
    } else {
      laws.push_back(law);
    }
  }
  return laws;
}

records::FitFile study_fit(const std::string& folder, const FitOptions& options) {
  records::FitFile file;
  file.tasks = run_task_laws({folder}).laws;  // first: it says what is wrong with the folder
  Runs runs;
  runs_add_study(runs, folder, {});
  std::vector<SkippedLaw> skipped;
  std::vector<LawFit> fits;
  for (const Law law : laws_possible(runs, skipped)) {
    fits.push_back(fit_law(runs, law, options));
    fits.back().notes.insert(fits.back().notes.end(), runs.notes.begin(), runs.notes.end());
  }
  file.loss = fitted_laws(fits, skipped, compare_laws(fits));
  file.loss.runs_total = runs.count();
  file.loss.seed = options.seed;
  file.data = {"."};  // the folder may be moved: its own name would say nothing
  return file;
}

TaskLawsResult run_task_laws(const std::vector<std::string>& folders) {
  TaskLawsResult result;
  records::TaskLaws& laws = result.laws;
  laws.present = true;
  const std::vector<TaskRun> runs = task_runs_load(folders, &laws.left_out);
  result.text = fmt::format(
      "task laws over {}: change of eta for each nat of train loss, for each e-fold of active "
      "FLOPs and of tokens per parameter, 95 %\n\n",
      format_plural(std::ssize(runs), "run"));
  for (const TaskLaw& law : fit_task_laws(runs)) {
    laws.task_laws.push_back(law);
    result.text += law_text(law);
  }
  if (laws.task_laws.empty()) result.text += "no run has a task score\n";
  result.text += "\nturning points as experts are added, all else equal\n\n";
  // Undetermined results are only counted, by reason: they are most of the results of a study.
  std::map<std::string, i64> open;
  laws.turning_points = find_turning_points(runs);
  for (const TurningPoint& turn : laws.turning_points) {
    const bool told = turn.outcome != records::TurnOutcome::not_determined;
    if (told) result.text += turn_text(turn);
    if (!told) ++open[turn.verdict.substr(0, turn.verdict.find(" ("))];
  }
  for (const auto& [verdict, count] : open) {
    result.text += fmt::format("{} of {}: {}\n", count, laws.turning_points.size(), verdict);
  }
  if (laws.turning_points.empty()) {
    result.text += "no family of runs has four numbers of experts: nothing to test\n";
  }
  for (const std::string& line : laws.left_out) result.text += "left out: " + line + "\n";
  return result;
}

}  // namespace moebius::fit
