// What comparisons hold equal, from finished studies and from plans.
#include "fit/compared.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "records/study_fake.h"

namespace moebius::fit {
namespace {

using records::ComparedQuantity;
using records::Held;

records::RunRecords planned(const std::string& name, i64 experts, double active, double rate) {
  records::RunRecords run;
  run.name = run.model = name;
  run.planned = Json::object({{"config", Json::object({{"experts", experts}})},
                              {"parameters_total", 1000.0 * static_cast<double>(experts)},
                              {"parameters_active", active},
                              {"flops_per_token_megatron", 6 * active},
                              {"tokens_total", 5000}});
  if (rate > 0) run.planned.set("learning_rate", rate);
  return run;
}

const ComparedQuantity& find(const std::vector<ComparedQuantity>& all, const std::string& name) {
  for (const ComparedQuantity& one : all) {
    if (one.name == name) return one;
  }
  throw Error({.what = "no quantity " + name});
}

TEST(Compared, RangesOverTheRunsThatMatch) {
  records::StudyRuns study;
  study.runs = {planned("a", 2, 500, 1e-3), planned("b", 8, 500, 2e-3), planned("c", 64, 700, 0)};
  study.runs.push_back(planned("trial", 128, 900, 1e-2));
  study.runs.back().role = records::RunRole::sweep;
  Hypothesis h;
  h.where = Json::object({{"experts", Json::Array{2, 8}}});
  auto compared = compared_quantities(study, h);
  EXPECT_EQ(records::compared_text(compared),
            "equal: active parameters, training FLOPs, tokens, data; "
            "varies: total parameters (2.00k to 8.00k, x4), learning rate (0.001 to 0.002, x2)");
  h.where = Json::object();
  compared = compared_quantities(study, h);
  EXPECT_EQ(find(compared, "total parameters").high, 64000);
  EXPECT_EQ(find(compared, "active parameters").held, Held::varies);
  EXPECT_EQ(find(compared, "training FLOPs").low, 6 * 500 * 5000);
  EXPECT_EQ(find(compared, "learning rate").held, Held::unknown);  // c's is not chosen yet

  h.kind = HypothesisKind::difference;
  h.a = Json::object({{"experts", 2}});
  h.b = Json::object({{"experts", 64}});
  study.runs[2].planned.set("data", Json::object({{"facts", 0.5}}));
  compared = compared_quantities(study, h);
  EXPECT_EQ(find(compared, "data").held, Held::varies);
  EXPECT_EQ(find(compared, "total parameters").low, 2000);

  study.runs[2].planned.set("left_out", true);
  EXPECT_EQ(find(compared_quantities(study, h), "data").held, Held::equal);
  // When runs are finished, a verdict rests on them alone.
  study.runs[0].status = records::RunStatus::done;
  study.runs[1].status = records::RunStatus::done;
  h.kind = HypothesisKind::monotone;
  EXPECT_EQ(find(compared_quantities(study, h), "total parameters").high, 8000);
}

TEST(Compared, IsPartOfEveryVerdict) {
  records::FakeStudy fake;
  fake.folder = test_path("study");
  fake.hypotheses.push_back(Json::object({{"id", "h"},
                                          {"text", "a hypothesis"},
                                          {"kind", "monotone"},
                                          {"x", "parameters_total"},
                                          {"y", "train.loss_final"},
                                          {"direction", "decrease"}}));
  records::fake_study_write(fake);
  const std::string path = path_join(fake.folder, "verdicts.json");
  records::verdicts_write(study_verdicts(fake.folder), path);
  const records::Verdicts verdicts = records::verdicts_read(path);
  ASSERT_EQ(verdicts.hypotheses.at(0).compared.size(), 6u);
  EXPECT_EQ(find(verdicts.hypotheses[0].compared, "total parameters").held, Held::varies);
  EXPECT_EQ(find(verdicts.hypotheses[0].compared, "tokens").held, Held::equal);
}

}  // namespace
}  // namespace moebius::fit
