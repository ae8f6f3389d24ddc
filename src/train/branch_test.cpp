// Branches of a trunk: bit for bit the runs that train all their steps alone, whatever is killed in between; and states that
// no run may branch off from.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "train/schedule.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

using testing::fixed_roof;
using testing::fresh_folder;
using testing::tiny_options;
using testing::tiny_run;

constexpr i64 kTrunkSteps = 12, kBranchAt[] = {4, 8, 12};

// A branch decays over 40 % of all its steps, rounded so that the decay begins where it branches off.
TrainOptions branch_options(const std::string& out, i64 at) {
  i64 steps = at;
  TrainOptions options = tiny_options(out, steps);
  options.optimizer.schedule = "wsd";
  options.optimizer.decay_fraction = 0.4;
  options.optimizer.warmup_steps = 2;
  options.optimizer_kept = true;
  for (;; options.steps = ++steps) {
    const Schedule schedule = make_schedule(options.optimizer, steps);
    if (schedule.total - schedule.decay == at && schedule.decay > 0) return options;
  }
}

TrainOptions trunk_options(const std::string& out) {
  TrainOptions options = tiny_options(out, kTrunkSteps);
  options.optimizer.schedule = "constant";
  options.optimizer.warmup_steps = 2;
  return options;
}

TrainHooks trunk_hooks() {
  TrainHooks hooks = fixed_roof();
  hooks.branch_steps.assign(std::begin(kBranchAt), std::end(kBranchAt));
  return hooks;
}

// Evaluates at the beginning, in the middle and at the end.
void add_evaluation(TrainHooks& hooks, i64 total_wanted) {
  hooks.evaluates = [total_wanted](i64 step, i64 total) {
    const i64 of = total_wanted > 0 ? total_wanted : total;
    return step == 0 || step == of / 2 || step == of;
  };
  hooks.evaluate = [](model::Network&, i64 step, i64 tokens) {
    return std::vector<Json>{
        Json::object({{"name", "probe"}, {"kind", "loss"}, {"loss", static_cast<double>(step)}, {"at", tokens}})};
  };
}

model::ModelConfig biased_config() {
  model::ModelConfig config = testing::tiny_config();
  config.router.bias_rate = 0.001;  // the selection bias is part of the state
  return config;
}

std::string bytes_of(const std::string& out, const char* name) {
  return file_read(path_join(out, std::string("checkpoint/") + name));
}

std::vector<i64> steps_of(const std::string& out, const char* type) {
  std::vector<i64> steps;
  for (const Json& record : records::read(path_join(out, "records.jsonl"), type))
    steps.push_back(record.at("step").as_int());
  return steps;
}

TEST(TrainBranch, EqualsTheRunThatGoesAlone) {
  const std::string trunk = fresh_folder("trunk");
  const TrainResult trunk_done = tiny_run(trunk_options(trunk), trunk_hooks(), biased_config());
  double shared_before = 0;
  for (const i64 at : kBranchAt) {
    const std::string alone = fresh_folder("alone"), branch = fresh_folder("branch");
    const TrainResult whole = tiny_run(branch_options(alone, at), fixed_roof(), biased_config());
    TrainHooks hooks = fixed_roof();
    hooks.branch_from = path_join(trunk, "branch-" + std::to_string(at));
    const TrainResult part = tiny_run(branch_options(branch, at), hooks, biased_config());
    EXPECT_EQ(part.steps, whole.steps);
    EXPECT_EQ(part.totals.tokens, whole.totals.tokens);
    EXPECT_EQ(part.loss_final, whole.loss_final);
    EXPECT_EQ(testing::losses_of(branch), testing::losses_of(alone)) << at;
    EXPECT_EQ(testing::model_bytes(branch), testing::model_bytes(alone)) << at;
    EXPECT_EQ(bytes_of(branch, "optimizer.safetensors"), bytes_of(alone, "optimizer.safetensors")) << at;
    EXPECT_EQ(steps_of(branch, "router"), steps_of(alone, "router"));
    EXPECT_EQ(whole.totals.seconds_shared, 0);
    EXPECT_GT(part.totals.seconds_shared, shared_before);
    EXPECT_LE(part.totals.seconds_shared, trunk_done.totals.seconds);
    EXPECT_GT(part.totals.seconds, part.totals.seconds_shared);
    shared_before = part.totals.seconds_shared;
    EXPECT_EQ(records::read(path_join(branch, "records.jsonl"), "run")[0].get_string("branch_of", ""),
              path_name(trunk));
    // Done is done, also when the trunk is gone.
    hooks.branch_from = "/no/such/trunk/branch-1";
    EXPECT_TRUE(tiny_run(branch_options(branch, at), hooks, biased_config()).skipped);
  }
}

TEST(TrainBranch, HasTheEvaluationsOfTheRunThatGoesAlone) {
  const std::string trunk = fresh_folder("trunk_eval"), alone = fresh_folder("alone_eval"),
                    branch = fresh_folder("branch_eval");
  const i64 at = 8, total = branch_options(alone, at).steps;
  TrainHooks hooks = trunk_hooks();
  add_evaluation(hooks, total);
  const auto planned = hooks.evaluates;
  hooks.evaluates = [planned](i64 step, i64 all) { return planned(step, all) || step == 3; };  // another branch's wish
  tiny_run(trunk_options(trunk), hooks);
  TrainHooks whole = fixed_roof();
  add_evaluation(whole, 0);
  tiny_run(branch_options(alone, at), whole);
  TrainHooks part = fixed_roof();
  add_evaluation(part, 0);
  part.branch_from = path_join(trunk, "branch-8");
  tiny_run(branch_options(branch, at), part);
  EXPECT_EQ(steps_of(alone, "eval"), (std::vector<i64>{0, total / 2, total}));
  EXPECT_EQ(steps_of(branch, "eval"), steps_of(alone, "eval"));
}

// Stops a run as an interrupt would: by an error in an evaluation that the result does not depend on.
TrainHooks stopping_at(TrainHooks hooks, i64 stop) {
  hooks.evaluates = [stop](i64 step, i64) { return step == stop; };
  hooks.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "interrupted"}); };
  return hooks;
}

TEST(TrainBranch, StoppedTrunkAndBranchEndWithTheSameBits) {
  const std::string alone = fresh_folder("alone_stop");
  tiny_run(branch_options(alone, 8), fixed_roof());
  for (const i64 stop : {7, 8, 9}) {
    const std::string trunk = fresh_folder("trunk_stop"), branch = fresh_folder("branch_stop");
    EXPECT_THROW(tiny_run(trunk_options(trunk), stopping_at(trunk_hooks(), stop)), Error);
    tiny_run(trunk_options(trunk), trunk_hooks());
    EXPECT_TRUE(file_exists(path_join(trunk, "branch-4/checkpoint/optimizer.safetensors")));
    TrainHooks hooks = fixed_roof();
    hooks.branch_from = path_join(trunk, "branch-8");
    EXPECT_THROW(tiny_run(branch_options(branch, 8), stopping_at(hooks, 10)), Error);
    // As if it was killed before it saved anything: the inherited records must not be there twice.
    if (stop == 9) folder_remove_all(path_join(branch, "checkpoint"));
    tiny_run(branch_options(branch, 8), hooks);
    EXPECT_EQ(testing::losses_of(branch), testing::losses_of(alone)) << stop;
    EXPECT_EQ(testing::model_bytes(branch), testing::model_bytes(alone)) << stop;
  }
}

std::string error_of(const TrainOptions& options, const TrainHooks& hooks) {
  try {
    tiny_run(options, hooks);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(TrainBranch, RefusesWhatIsNoTrunk) {
  const std::string trunk = fresh_folder("trunk_refuse"), branch = fresh_folder("branch_refuse");
  tiny_run(trunk_options(trunk), trunk_hooks());
  TrainHooks hooks = fixed_roof();
  hooks.branch_from = path_join(trunk, "branch-5");
  EXPECT_NE(error_of(branch_options(branch, 8), hooks).find("is missing"), std::string::npos);
  hooks.branch_from = path_join(trunk, "branch-8");
  EXPECT_NE(error_of(branch_options(branch, 4), hooks).find("cannot branch here"), std::string::npos);
  TrainOptions other = branch_options(branch, 8);
  other.optimizer.learning_rate *= 2;
  EXPECT_NE(error_of(other, hooks).find("learning_rate"), std::string::npos);
  other = branch_options(branch, 8);
  other.optimizer.warmup_steps = 1;
  EXPECT_NE(error_of(other, hooks).find("warmup_steps"), std::string::npos);
  other = branch_options(branch, 8);
  other.seed_init = 2;
  EXPECT_NE(error_of(other, hooks).find("seed_init"), std::string::npos);
  file_remove(path_join(trunk, "records.jsonl"));
  EXPECT_NE(error_of(branch_options(branch, 8), hooks).find("up to step 8 are missing"), std::string::npos);
}

}  // namespace
}  // namespace moebius::train
