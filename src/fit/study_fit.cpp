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

}  // namespace moebius::fit
