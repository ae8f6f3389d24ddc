// A whole training run: makes or resumes the network, steps to the budget, evaluates at chosen steps, saves, records.
// In: options and a configuration; out: OUT/ as docs/formats.md lays it out. A finished run is recognised and skipped; a
// killed one resumes from its last checkpoint and ends with the same bits.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/batch.h"
#include "kernels/roof.h"
#include "model/network.h"
#include "train/options.h"
#include "train/run_totals.h"

namespace moebius::train {

struct TrainHooks {
  // Whether evaluate() is called after this step (0: before the first). Empty: never.
  std::function<bool(i64 step, i64 steps_total)> evaluates;
  // Returns the fields of `eval` records, without step and tokens. Must not change the weights.
  std::function<std::vector<Json>(model::Network& network, i64 step, i64 tokens)> evaluate;
  kernels::Roof roof;  // all 0: measured when the run starts and when it ends
  std::string run;     // the run's name; empty: the last part of the folder's
  // A trunk: after these steps its whole state is kept in OUT/branch-STEP, independent of its later checkpoints.
  std::vector<i64> branch_steps;
  // A branch: TRUNK/branch-STEP, from which it starts while it has no checkpoint of its own. The trunk's steps and records
  // up to there become its own. The trunk has the schedule `constant`, both have the same warmup-steps, and the branch's
  // decay does not begin before STEP: then it equals, bit for bit, the run that trains all of its steps by itself.
  std::string branch_from;
};

struct TrainResult {
  bool skipped = false;  // was finished already
  i64 steps = 0;
  RunTotals totals;       // over all processes; of a branch with the trunk's part
  double loss_final = 0;  // mean over the last 5 % of the tokens
  double tokens_per_s = 0;
  double roof_flops_per_s = 0;
  double mfu = 0;  // model FLOPs per second / roof (docs/train.md)
  i64 micro_batch_tokens = 0;
  std::string recompute = "none";
  i64 planned_memory_bytes = 0;  // of plan_memory, before anything was allocated
  i64 peak_memory_bytes = 0;     // VmHWM: of this run, where the system lets the peak be reset, else of the process
  i64 allocations_steady = 0;    // of buffers, in steps after the third of this process
  std::string checkpoint;        // folder
  double roofline_ratio() const { return totals.seconds > 0 ? totals.roofline_seconds / totals.seconds : 0; }
  double roofline_ratio_wall() const {
    return totals.wall_seconds > 0 ? totals.roofline_seconds / totals.wall_seconds : 0;
  }
  void visit(records::Fields& f);
  Json to_json() const;  // the fields and both ratios
  static TrainResult from_json(const Json& json, const std::string& where);
};

// Opens the data that the options name, checks all of them, and trains. Throws Error for every fault of options, data,
// disk or memory, for divergence, and "interrupted" on Ctrl-C after the state is saved.
TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, const TrainHooks& hooks);

// The same on an open source, with options that check_options() has seen. `sources` says what it is (Mixture::identity()),
// so that a run is never resumed on other data.
TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, data::BatchSource& source,
                      const Json& sources, const TrainHooks& hooks);

}  // namespace moebius::train
