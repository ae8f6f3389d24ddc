// The table of sub-commands, in the order in which data flows; nothing else. A stage's name is its folder, namespace,
// option section, page in docs/ and test label too.
#include <vector>

#include "base/stage.h"
#include "bench/run_bench.h"
#include "data/run_data.h"
#include "eval/run_eval.h"
#include "fit/run_fit.h"
#include "plan/run_plan.h"
#include "report/run_report.h"
#include "study/run_study.h"
#include "train/run_train.h"

int main(int argc, char** argv) {
  const std::vector<moebius::Stage> stages = {
      {"data", "text to tokenizer, token shards and generated tasks", moebius::data::run_data},
      {"plan", "what a model costs, and which model a budget buys", moebius::plan::run_plan},
      {"train", "tokens to a checkpoint", moebius::train::run_train},
      {"eval", "scores of a checkpoint on held-out text and tasks", moebius::eval::run_eval},
      {"study", "a complete experiment from one TOML file: plan, train, evaluate, fit, report",
       moebius::study::run_study},
      {"fit", "coefficients of loss laws from runs, with intervals and verdicts", moebius::fit::run_fit},
      {"report", "one HTML page from a study's records", moebius::report::run_report},
      {"bench", "the peak performance of the machine, and how much of it the program reaches",
       moebius::bench::run_bench},
  };
  return moebius::stage_main(stages, argc, argv);
}
