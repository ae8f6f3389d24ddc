// Tests only: parts shared by the tiny studies of this folder's tests, and a plan that measures no machine.
// In: pieces of TOML; out: a StudyPlan. Sizes are such that a study of six runs takes a second.
#pragma once

#include <string>

#include "base/file.h"
#include "study/study_plan.h"

namespace moebius::study {

inline const std::string kTinyModel = R"(
[model]
d-model = 32
layers = 2
heads = 2
expert-width = 32
top-k = 2
)";

// Arithmetic alone, unless another source takes the rest of the shares.
inline std::string tiny_data(const std::string& share, const std::string& items) {
  return R"(
[data]
vocab = 320
sequence = 64
[data.arithmetic]
problems = 400
grades = [0, 1]
grade-weights = [1, 1]
grades-test = [0, 1]
)" + ("share = " + share + "\nitems = " + items + "\n");
}

// Writes `path` and plans the study. The roof is made up: these tests need no measurement of the machine.
inline StudyPlan tiny_plan(const std::string& path, const std::string& text) {
  file_write_atomic(path, text);
  StudyPlan plan = plan_study(study_load(path));
  plan.roof.bf16_flops_per_s = 1e11;
  plan.roof.dram_bytes_per_s = 1e10;
  return plan;
}

}  // namespace moebius::study
