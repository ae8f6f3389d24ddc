// Laws, comparison, tasks: one object.
#include "fit/study_fit.h"

#include <fmt/format.h>

#include "base/error.h"
#include "fit/compare.h"
#include "fit/leverage_runs.h"
#include "fit/run_task_laws.h"

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

}  // namespace

std::vector<Law> laws_possible(const Runs& runs, std::vector<SkippedLaw>& skipped) {
  std::vector<Law> laws;
  for (const Law law : all_laws()) {
    const std::string lacking = runs_lack(runs, law);
    if (law != Law::leverage && runs.measures_leverage) {
      skipped.emplace_back(law, "the data measure the efficiency leverage, no loss");
    } else if (!lacking.empty()) {
      skipped.emplace_back(law, fmt::format("not all runs have '{}'", lacking));
    } else if (const std::string fault = leverage_fault(runs, law); !fault.empty()) {
      skipped.emplace_back(law, fault);
    } else {
      laws.push_back(law);
    }
  }
  return laws;
}

Json study_fit(const std::string& folder, const FitOptions& options) {
  const TaskLawsResult tasks = run_task_laws({folder});  // first: it says what is wrong with the folder
  Runs runs;
  runs_add_study(runs, folder, {});
  std::vector<SkippedLaw> skipped;
  std::vector<LawFit> fits;
  for (const Law law : laws_possible(runs, skipped)) {
    fits.push_back(fit_law(runs, law, options));
    fits.back().notes.insert(fits.back().notes.end(), runs.notes.begin(), runs.notes.end());
  }
  Json result = fits_to_json(fits, skipped, compare_laws(fits));
  result.set("runs_dropped", 0);
  result.set("runs_total", runs.count());
  // The folder may be moved: its own name would say nothing.
  result.set("data", Json(Json::Array{Json(".")}));
  result.set("seed", options.seed);
  result.set("task_laws", tasks.task_laws);
  result.set("turning_points", tasks.turning_points);
  result.set("left_out", tasks.left_out);
  return result;
}

}  // namespace moebius::fit
