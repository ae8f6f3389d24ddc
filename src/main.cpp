// The table of sub-commands, in the order of the data's way; nothing else. A stage's name is its folder, namespace,
// option section, page in docs/ and test label too.
#include <vector>

#include "base/stage.h"

// A stage stands in the table when its folder is there.
#ifdef MOEBIUS_STAGE_DATA
#include "data/run_data.h"
#endif
#ifdef MOEBIUS_STAGE_PLAN
#include "plan/run_plan.h"
#endif
#ifdef MOEBIUS_STAGE_TRAIN
#include "train/run_train.h"
#endif
#ifdef MOEBIUS_STAGE_EVAL
#include "eval/run_eval.h"
#endif
#ifdef MOEBIUS_STAGE_STUDY
#include "study/run_study.h"
#endif
#ifdef MOEBIUS_STAGE_REPORT
#include "report/run_report.h"
#endif
#ifdef MOEBIUS_STAGE_BENCH
#include "bench/run_bench.h"
#endif

int main(int argc, char** argv) {
  const std::vector<moebius::Stage> stages = {
#ifdef MOEBIUS_STAGE_DATA
      {"data", "text to tokenizer, token shards and generated tasks", moebius::data::run_data},
#endif
#ifdef MOEBIUS_STAGE_PLAN
      {"plan", "parameters, FLOPs, tokens per parameter and memory of a model", moebius::plan::run_plan},
#endif
#ifdef MOEBIUS_STAGE_TRAIN
      {"train", "tokens to a checkpoint", moebius::train::run_train},
#endif
#ifdef MOEBIUS_STAGE_EVAL
      {"eval", "scores of a checkpoint on held-out text and tasks", moebius::eval::run_eval},
#endif
#ifdef MOEBIUS_STAGE_STUDY
      {"study", "a whole experiment from one TOML file: plan, train, evaluate, report", moebius::study::run_study},
#endif
#ifdef MOEBIUS_STAGE_REPORT
      {"report", "one HTML page from a study's records", moebius::report::run_report},
#endif
#ifdef MOEBIUS_STAGE_BENCH
      {"bench", "the machine's roof and the program's speed beside it", moebius::bench::run_bench},
#endif
  };
  return moebius::stage_main(stages, argc, argv);
}
