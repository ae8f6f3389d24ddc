// The table of sub-commands, in the order of the data's way; nothing else. A stage's name is its folder, namespace,
// option section, page in docs/ and test label too.
#include <vector>

#include "base/stage.h"

// A stage stands in the table when its folder is there.
#if __has_include("data/run_data.h")
#include "data/run_data.h"
#endif
#if __has_include("plan/run_plan.h")
#include "plan/run_plan.h"
#endif
#if __has_include("train/run_train.h")
#include "train/run_train.h"
#endif
#if __has_include("eval/run_eval.h")
#include "eval/run_eval.h"
#endif
#if __has_include("study/run_study.h")
#include "study/run_study.h"
#endif
#if __has_include("report/run_report.h")
#include "report/run_report.h"
#endif
#if __has_include("bench/run_bench.h")
#include "bench/run_bench.h"
#endif

int main(int argc, char** argv) {
  const std::vector<moebius::Stage> stages = {
#if __has_include("data/run_data.h")
      {"data", "text to tokenizer, token shards and generated tasks", moebius::data::run_data},
#endif
#if __has_include("plan/run_plan.h")
      {"plan", "parameters, FLOPs, tokens per parameter and memory of a model", moebius::plan::run_plan},
#endif
#if __has_include("train/run_train.h")
      {"train", "tokens to a checkpoint", moebius::train::run_train},
#endif
#if __has_include("eval/run_eval.h")
      {"eval", "scores of a checkpoint on held-out text and tasks", moebius::eval::run_eval},
#endif
#if __has_include("study/run_study.h")
      {"study", "a whole experiment from one TOML file: plan, train, evaluate, report", moebius::study::run_study},
#endif
#if __has_include("report/run_report.h")
      {"report", "one HTML page from a study's records", moebius::report::run_report},
#endif
#if __has_include("bench/run_bench.h")
      {"bench", "the machine's roof and the program's speed beside it", moebius::bench::run_bench},
#endif
  };
  return moebius::stage_main(stages, argc, argv);
}
