// What a training run reports while it runs: records (docs/formats.md), TensorBoard scalars, the live line. In: step
// reports; out: OUT/records.jsonl, OUT/tensorboard/. Decides nothing.
#pragma once

#include <functional>
#include <string>

#include "records/event_file.h"
#include "base/progress.h"
#include "records/record.h"
#include "train/checkpoint.h"
#include "train/options.h"
#include "train/run_roof.h"
#include "train/trainer.h"

namespace moebius::train {

// Throws Error when `path` no longer has the records that the run had written when `state` was saved; with `accepted`
// a warning. What a run measured is measured once: nothing can restore it.
void check_records(const std::string& path, const TrainState& state, bool accepted);

// Drops the records that a run wrote after `state`, from which it resumes: those of later steps, `train_end`, and after an
// interrupted evaluation those of the state's own step.
void forget_records(const std::string& path, const TrainState& state);

// Gives a branch what its trunk recorded of steps up to `step`: the records `step` and `router` that its own options
// request, and of `eval` those of steps that `evaluates`. From the trunk's folder into options.out's records.
void inherit_records(const std::string& trunk, const TrainOptions& options, i64 step,
                     const std::function<bool(i64)>& evaluates);

class RunLog {
 public:
  // step_start: updates already done. `roof` outlives the log.
  RunLog(const TrainOptions& options, const std::string& run, i64 step_start, i64 steps_total, const RunRoof& roof);

  void run(const Json& fields) { records_.write("run", fields); }
  // Called after every step; writes when it is due. `tokens` seen so far.
  void step(const StepReport& report, const std::vector<LayerLoad>& loads, i64 tokens);
  // Fields of one `eval` record without step and tokens; numbers go to TensorBoard too.
  void evaluation(i64 step, i64 tokens, const Json& fields);
  void end(const Json& fields);
  // Everything so far is on disk.
  void sync();
  i64 records() const { return records_.count(); }

 private:
  void write_step(const StepReport& report, i64 tokens);
  void write_router(const StepReport& report, const std::vector<LayerLoad>& loads, i64 tokens);
  void show(const StepReport& report);

  i64 record_every_, router_every_, step_start_, steps_total_;
  const RunRoof& roof_of_run_;
  double roof_;  // FLOP/s
  records::RecordWriter records_;
  records::EventFile events_;
  Progress progress_;
  // Sums since the last record.
  double flops_sum_ = 0;
  StepsWork work_;
  i64 steps_ = 0, rows_sum_ = 0, ns_sum_ = 0;
  // Smoothed for the live line.
  double loss_shown_ = 0, rate_shown_ = 0, share_shown_ = 0;
  i64 shown_ns_ = 0;
};

}  // namespace moebius::train
