// Branches of a trunk (schedule wsd): the step where a decay begins, the steps of the run that decays there, and the
// options of trunk and branches. In: [branches] and [train] of a study. Out: whole steps. How a branch is trained:
// train/train_run.h; what it is good for: docs/study.md (Hu et al. 2024, 2404.06395; Haegele et al. 2024, 2405.18392).
#pragma once

#include <vector>

#include "study/study_file.h"
#include "train/options.h"

namespace moebius::study {

struct Branch {
  double at = 0;        // share of the study's tokens at which the decay begins
  i64 step_begin = 0;   // updates of the trunk before it
  i64 steps_total = 0;  // with the decay; step_begin = steps_total - round(decay-fraction * steps_total)
};

struct BranchPlan {
  i64 warmup_steps = 0;  // of the trunk and every branch: resolved from the study's tokens
  i64 trunk_steps = 0;   // to the last branch
  std::vector<Branch> branches;
};

// `options` are those of [train] with the study's tokens. Throws Error when the schedule is not wsd, the decay is shorter
// than the last 5 % over which the final loss is taken, or a branch begins within the warm-up.
BranchPlan plan_branches(const StudyBranches& branches, const train::TrainOptions& options, const std::string& where);

}  // namespace moebius::study
