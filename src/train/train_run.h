// A whole training run: opens the data, makes or resumes the network, steps to the budget, evaluates at chosen steps,
// saves, records. In: options and a configuration; out: OUT/ as docs/formats.md lays it out. A finished run is
// recognised and skipped; a killed one goes on from its last checkpoint to the same bits.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "data/mixture.h"
#include "kernels/roof.h"
#include "model/network.h"
#include "train/memory_plan.h"
#include "train/options.h"

namespace moebius::train {

struct TrainHooks {
  // Whether evaluate() is called after this step (0: before the first). Empty: never.
  std::function<bool(i64 step, i64 steps_total)> evaluates;
  // Returns the fields of `eval` records, without step and tokens. Must not change the weights.
  std::function<std::vector<Json>(model::Network& network, i64 step, i64 tokens)> evaluate;
  kernels::Roof roof;  // all 0: measured when the run starts and when it ends
  std::string run;     // the run's name; empty: the last part of the folder's
  // Branches of one trunk: after these steps the trunk's whole state is kept in OUT/branch-STEP, whatever becomes of its
  // later checkpoints.
  std::vector<i64> branch_steps;
  // TRUNK/branch-STEP, in which a run without a checkpoint of its own begins, as if the trunk's steps were its own; the
  // trunk's records up to there become its own too. The trunk has the schedule `constant`, both the same warmup-steps,
  // and this run's decay does not begin before STEP: so it is to the bit the run that goes its whole way alone.
  std::string branch_from;
};

struct TrainResult {
  bool skipped = false;  // was finished already
  i64 steps = 0, tokens = 0;
  double loss_final = 0;    // mean over the last 5 % of the tokens
  double seconds = 0;       // in steps, over all processes; of a branch with the trunk's part
  double wall_seconds = 0;  // from the first to the last step with all that happens there, but for evaluations
  double roofline_seconds =
      0;  // that the steps' roofline asks for (model/roofline.h), with documents as they were packed
  double seconds_shared = 0, wall_seconds_shared = 0, roofline_seconds_shared = 0;  // the trunk's part
  double tokens_per_s = 0;
  double roof_flops_per_s = 0;
  double mfu = 0;  // model FLOPs per second / roof; DESIGN's count
  i64 micro_batch_tokens = 0;
  std::string recompute = "none";
  i64 planned_memory_bytes = 0;  // of plan_memory, before anything was allocated
  i64 peak_memory_bytes = 0;     // VmHWM: of this run, where the system lets the peak begin anew, else of the process
  i64 allocations_steady = 0;    // of buffers, in steps after the third of this process
  std::string checkpoint;        // folder
  double roofline_ratio() const { return seconds > 0 ? roofline_seconds / seconds : 0; }
  double roofline_ratio_wall() const { return wall_seconds > 0 ? roofline_seconds / wall_seconds : 0; }
  Json to_json() const;
};

// Throws Error for every fault of options, data, disk or memory, for divergence, and "interrupted" on Ctrl-C after the
// state is saved.
TrainResult train_run(const TrainOptions& options, const model::ModelConfig& config, const TrainHooks& hooks);

// The same on a given source. `sources` identifies it (names and weights) for resuming.
TrainResult train_run_on(const TrainOptions& options, const model::ModelConfig& config, data::BatchSource& source,
                         const Json& sources, const TrainHooks& hooks);

// The mixture that the options name, checked to be large enough for the budget.
std::vector<data::MixtureSource> mixture_sources(const TrainOptions& options);
std::unique_ptr<data::Mixture> open_mixture(const TrainOptions& options);

// Seconds for a run of so many steps: model FLOPs at `share` of the roof, plus the optimiser's traffic (30 bytes an
// element in bf16: master, moments and gradient read and written, copy written) at the memory's bandwidth (0: unknown).
double estimate_seconds(const model::ModelConfig& config, const TrainOptions& options, double roof_flops_per_s,
                        double dram_bytes_per_s, double share);

}  // namespace moebius::train
