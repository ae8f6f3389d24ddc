// From a study to its runs: every configuration resolved, every derived number, and what each run will cost here.
// In: StudySpec, the machine's roof. Out: StudyPlan, its table, study.json. Runs nothing.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "kernels/roof.h"
#include "model/config.h"
#include "records/run_records.h"
#include "study/study_file.h"
#include "train/options.h"

namespace moebius::study {

struct PlannedRun {
  std::string name;   // its folder: "E32-k2", with "-s2" when the study has several seeds
  std::string model;  // the configuration's name, shared by its seeds
  records::RunRole role = records::RunRole::main;
  i64 seed = 1;
  i64 tokens = 0;
  model::ModelConfig config;
  model::ModelCounts counts;
  Json train = Json::object();           // options of [train] that are the model's own
  std::map<std::string, double> shares;  // of sources, that are the model's own
  Json settings = Json::object();  // what differs between models in training and data, with the values of this one
  double learning_rate = 0;        // 0: not known before the sweep
  bool rate_fixed = false;         // by the model's `train`
  double seconds_estimated = 0;    // with evaluations; a branch's without the trunk's steps
  bool left_out = false;           // it does not fit the study's minutes
  std::string branch_of;           // a branch: the name of its trunk
  i64 branch_step = 0;             // and after how many of the trunk's steps it begins
  i64 tokens_shared = 0;           // and their tokens
  i64 warmup_steps = -1;           // of trunk and branches; -1: as [train] says
  std::vector<i64> branch_steps;   // a trunk: where branches begin

  i64 tokens_own() const { return tokens - tokens_shared; }
  // Tokens / total parameters (2508.18672).
  double tpp() const { return static_cast<double>(tokens) / static_cast<double>(counts.parameters_total); }
  // 1 - k/E; 0 for a dense model.
  double sparsity() const {
    const auto& e = config.experts;
    return e.experts > 1 ? 1.0 - static_cast<double>(e.top_k) / static_cast<double>(e.experts) : 0.0;
  }
  void visit(records::Fields& f);  // for writing: the object of study.json
};

struct StudyPlan {
  StudySpec spec;
  std::vector<PlannedRun> runs;  // trials of the sweep first
  kernels::Roof roof;
  double seconds_estimated = 0;  // of all that is not left out, `jobs` at a time
  Json fitted;                   // what study_fit.h decided, for study.json; null: there is no limit
  std::string fitted_text;       // the same for people; empty: nothing is left out
  i64 jobs = 1;                  // runs that train side by side

  // Of each of them, of `threads` in all.
  int threads_of_run(int threads) const { return std::max(1, threads / static_cast<int>(jobs)); }
};

// Branches of a trunk (schedule wsd): what they are good for is in docs/study.md (Hu et al. 2024, 2404.06395; Haegele et
// al. 2024, 2405.18392), how they are trained in train/train_run.h.
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

// Resolves every model and expands seeds and trials. Throws Error when a budget fits no step or a model is impossible.
StudyPlan plan_study(const StudySpec& spec);

// The most tokens of any run: what the data must suffice for.
i64 tokens_most(const StudyPlan& plan);

// Of the roofline of its steps (model/roofline.h).
double roofline_seconds_per_token(const StudyPlan& plan, const PlannedRun& run);

// The steps after which a run is evaluated; a trunk's are those of its branches that it makes for them.
std::vector<i64> evaluation_steps(const StudyPlan& plan, const PlannedRun& run);

// What `train` is told for one run, folders and data left out. Throws Error for unknown keys of [train].
train::TrainOptions train_options(const StudySpec& spec, const PlannedRun& run);

Json plan_to_json(const StudyPlan& plan);  // study.json without what only the run knows
std::string plan_table(const StudyPlan& plan);

}  // namespace moebius::study
