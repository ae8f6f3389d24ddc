// Files with which a planned model is trained elsewhere: a study for moebius, arguments for Megatron-LM, a configuration
// module for torchtitan. Written for the versions named below; what was checked and how: docs/plan.md.
// In: one built shape, its tokens, rate and batch. Out: texts, or files in a folder. Not for running anything.
#pragma once

#include <string>
#include <vector>

#include "plan/rules.h"

namespace moebius::plan {

constexpr const char* kMegatronVersion =
    "Megatron-LM, megatron/training/arguments.py of commit 000c4ac2; shape and experts also by megatron-core 0.16.1";
constexpr const char* kTorchtitanVersion = "torchtitan 0.3.0";

// What a launch needs in addition to the shape.
struct Launch {
  Choice choice;
  Rate rate;
  i64 sequence = 4096;
  i64 batch_sequences = 0;  // a whole multiple of 8
  i64 steps = 0, warmup_steps = 0;
  std::string why;  // the law or rule of the plan
};
// Tokens and batch become whole sequences and steps; warm-up is 1 % of the steps, 2000 at most, as the recipes cited in
// docs/plan.md have it.
Launch make_launch(const Choice& choice, const Rate& rate, i64 sequence, const std::string& why);

// A study of the shape and of its neighbours in sparsity (half and twice the experts) at equal tokens.
std::string study_file(const Launch& launch);
std::string megatron_script(const Launch& launch);
// Empty when torchtitan's blocks cannot express the shape (GELU experts, several layers sharing a bank, a sigmoid
// bias).
std::string torchtitan_module(const Launch& launch);

// Writes study.toml, megatron.sh, torchtitan_plan.py and plan.json into the folder; the names of the files written.
std::vector<std::string> write_launch(const Launch& launch, const std::string& folder, const Json& plan);

}  // namespace moebius::plan
