// Tests of verdicts on studies with planted effects, and of the errors for hypotheses that make no sense.
#include "fit/hypothesis.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_folder.h"
#include "fit/run_fit.h"
#include "records/study_fake.h"

namespace moebius::fit {
namespace {

using records::fake_study_write;
using records::FakeStudy;

Json monotone(const std::string& y, const std::string& direction) {
  return Json::object({{"id", "h"},
                       {"text", "a hypothesis"},
                       {"kind", "monotone"},
                       {"x", "parameters_total"},
                       {"y", y},
                       {"direction", direction},
                       {"where", Json::object({{"top_k", 2}})}});
}

HypothesisVerdict tested(FakeStudy fake, Json hypothesis) {
  fake.folder = test_path("study");
  fake.hypotheses.push_back(std::move(hypothesis));
  fake_study_write(fake);
  const records::StudyRuns study = records::study_read(fake.folder);
  return hypothesis_test(study, hypotheses_parse(study).at(0), 0);
}

TEST(Hypothesis, PlantedTrendIsSupportedAndItsOppositeRefuted) {
  const HypothesisVerdict fair = tested({}, monotone("eval.heldout.wikipedia.bits_per_byte", "decrease"));
  EXPECT_EQ(fair.outcome, Outcome::supported);
  EXPECT_NEAR(fair.effect.estimate, -0.03, 0.01);
  EXPECT_LT(fair.effect.high, 0);
  EXPECT_EQ(fair.configurations, 3);
  EXPECT_EQ(fair.seeds, 3);
  EXPECT_EQ(tested({}, monotone("eval.heldout.wikipedia.bits_per_byte", "increase")).outcome, Outcome::refuted);
  EXPECT_EQ(tested({}, monotone("eval.facts.all.acc", "increase")).outcome, Outcome::supported);
}

TEST(Hypothesis, NoiseIsUnresolved) {
  const HypothesisVerdict result =
      tested({.loss_slope = 0, .seed_noise = 0.02}, monotone("train.loss_final", "decrease"));
  EXPECT_EQ(result.outcome, Outcome::unresolved);
  EXPECT_LE(result.effect.low, 0);
  EXPECT_GE(result.effect.high, 0);
}

TEST(Hypothesis, OneSeedIsUnresolvedHoweverLargeTheEffect) {
  const HypothesisVerdict result = tested({.seeds = 1, .loss_slope = -0.5}, monotone("eval.facts.all.acc", "increase"));
  EXPECT_EQ(result.outcome, Outcome::unresolved);
  EXPECT_NE(result.reason.find("one seed"), std::string::npos);
  EXPECT_TRUE(result.effect.known());  // the items' interval is shown all the same
  EXPECT_GT(result.effect.low, 0);
  EXPECT_EQ(tested({.seeds = 2}, monotone("eval.facts.all.acc", "increase")).outcome, Outcome::unresolved);
}

TEST(Hypothesis, MissingRunsForbidAVerdict) {
  const HypothesisVerdict result = tested({.runs_written = 10}, monotone("eval.facts.all.acc", "increase"));
  EXPECT_EQ(result.outcome, Outcome::unresolved);
  EXPECT_NE(result.reason.find("2 of its 9 runs lack"), std::string::npos) << result.reason;
}

TEST(Hypothesis, ScoresAtChanceForbidAVerdict) {
  const HypothesisVerdict result = tested({}, monotone("eval.gsm8k.all.acc", "increase"));
  EXPECT_EQ(result.outcome, Outcome::unresolved);
  EXPECT_NE(result.reason.find("above chance"), std::string::npos);
}

TEST(Hypothesis, DifferencesAndEquality) {
  const Json dense = Json::object({{"dense", true}}), sparse = Json::object({{"experts", 128}});
  const auto claim = [&](const std::string& kind, const std::string& y) {
    return Json::object({{"id", "d"}, {"text", "t"}, {"kind", kind}, {"y", y}, {"a", dense}, {"b", sparse}});
  };
  Json difference = claim("difference", "eval.facts.all.acc");
  difference.set("direction", "increase");
  EXPECT_EQ(tested({}, difference).outcome, Outcome::supported);
  Json equal = claim("equal", "eval.facts.all.acc");
  equal.set("margin", 0.02);
  EXPECT_EQ(tested({}, equal).outcome, Outcome::refuted);
  equal.set("margin", 1.0);
  EXPECT_EQ(tested({}, equal).outcome, Outcome::supported);
}

TEST(Hypothesis, CorrelationAndFilters) {
  Json claim = Json::object({{"id", "c"},
                             {"text", "t"},
                             {"kind", "correlation"},
                             {"x", "train.loss_final"},
                             {"y", "eval.facts.all.acc"},
                             {"direction", "decrease"}});
  EXPECT_EQ(tested({}, claim).outcome, Outcome::supported);
  claim.set("where", Json::object({{"experts", Json::object({{"min", 8}, {"max", 32}})}, {"dense", false}}));
  const HypothesisVerdict five = tested({}, claim);
  EXPECT_EQ(five.configurations, 5);
  claim.set("where", Json::object({{"experts", 128}}));
  EXPECT_EQ(tested({}, claim).reason, "a correlation needs five configurations");
}

// A turning point: values of a parabola in log2 x with its maximum at x = 2^3.
std::vector<Group> parabola_groups(double bend, double noise) {
  Rng rng(2, RngStream::test);
  std::vector<Group> groups;
  for (int x = 0; x < 7; ++x) {
    Group group;
    for (int seed = 0; seed < 3; ++seed) {
      group.push_back({static_cast<double>(x), bend * (x - 3) * (x - 3) + noise * rng.next_normal()});
    }
    groups.push_back(group);
  }
  return groups;
}

// A study whose runs have the score of the groups at tpp = 2^x.
records::StudyRuns study_of(const std::vector<Group>& groups) {
  records::StudyRuns study;
  study.study = Json::object();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const Value& value : groups[g]) {
      records::RunRecords run;
      run.name = run.model = "m" + std::to_string(g);
      run.status = records::RunStatus::done;
      run.planned = Json::object();
      run.run = Json::object({{"tpp", std::exp2(value.x)}, {"config", Json::object({{"experts", 8}})}});
      run.train_end = Json::object({{"score", value.y}});
      study.runs.push_back(std::move(run));
    }
  }
  return study;
}

Hypothesis peak_claim() {
  Hypothesis h{.id = "p", .text = "t", .kind = HypothesisKind::peak, .x = "tpp", .y = "train.score"};
  h.where = h.a = h.b = Json::object();
  return h;
}

TEST(Hypothesis, PeakIsFoundWhereItStands) {
  const records::StudyRuns study = study_of(parabola_groups(-0.05, 0.01));
  Hypothesis h = peak_claim();
  const HypothesisVerdict result = hypothesis_test(study, h, 0);
  EXPECT_EQ(result.outcome, Outcome::supported) << result.reason;
  EXPECT_NEAR(result.effect.estimate, 8, 0.5);
  EXPECT_LE(result.effect.low, 8);
  EXPECT_GE(result.effect.high, 8);
  h.upward = false;
  EXPECT_EQ(hypothesis_test(study, h, 0).outcome, Outcome::refuted);
  // The same turning point is no monotone trend, whatever the slope says.
  h.kind = HypothesisKind::monotone;
  h.upward = true;
  h.where = Json::object({{"tpp", Json::object({{"max", 40}})}});
  const HypothesisVerdict slope = hypothesis_test(study, h, 0);
  EXPECT_EQ(slope.outcome, Outcome::refuted) << slope.reason;
  EXPECT_NE(slope.reason.find("not monotone"), std::string::npos) << slope.reason;
}

// A parabola through a curve that saturates has its vertex inside the range: that is no peak.
TEST(Hypothesis, BentCurvesAreNoPeaks) {
  Rng rng(8, RngStream::test);
  std::vector<Group> saturating(7), rising(7), two(7);
  const double peaks[] = {0, 1, 0, 0, 0, 1, 0};
  for (int x = 0; x < 7; ++x) {
    for (int seed = 0; seed < 3; ++seed) {
      const std::size_t g = static_cast<std::size_t>(x);
      saturating[g].push_back({static_cast<double>(x), 1 - std::exp(-1.5 * x) + 0.01 * rng.next_normal()});
      rising[g].push_back({static_cast<double>(x), 0.1 * x + 0.01 * rng.next_normal()});
      two[g].push_back({static_cast<double>(x), peaks[x] + 0.01 * rng.next_normal()});
    }
  }
  EXPECT_EQ(hypothesis_test(study_of(saturating), peak_claim(), 0).outcome, Outcome::unresolved);
  const HypothesisVerdict end = hypothesis_test(study_of(rising), peak_claim(), 0);
  EXPECT_EQ(end.outcome, Outcome::refuted);
  EXPECT_NE(end.reason.find("at the high end"), std::string::npos) << end.reason;
  const HypothesisVerdict several = hypothesis_test(study_of(two), peak_claim(), 0);
  EXPECT_EQ(several.outcome, Outcome::unresolved);
  EXPECT_NE(several.reason.find("more than one"), std::string::npos) << several.reason;
}

void expect_error(Json hypothesis, const std::string& wanted) {
  try {
    tested({.seeds = 1}, std::move(hypothesis));
    FAIL() << "no error; wanted " << wanted;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(wanted), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("hypothesis h"), std::string::npos) << e.what();
  }
}

TEST(Hypothesis, ErrorsNameTheFault) {
  Json wrong = monotone("train.loss_final", "decrease");
  wrong.set("kind", "monotonous");
  expect_error(wrong, "did you mean 'monotone'");
  wrong = monotone("train.loss_final", "down");
  expect_error(wrong, "one of: increase, decrease");
  wrong = monotone("train.loss_final", "decrease");
  wrong.set("wher", 1);
  expect_error(wrong, "did you mean 'where'");
  wrong = monotone("eval.facts", "decrease");
  expect_error(wrong, "is not a metric path");
  wrong = monotone("train.loss_final", "decrease");
  wrong.set("where", Json::object({{"topk", 2}}));
  expect_error(wrong, "did you mean 'top_k'");
  wrong = Json::object({{"id", "h"}, {"text", "t"}, {"kind", "monotone"}, {"x", "tpp"}, {"direction", "increase"}});
  expect_error(wrong, "'y' is missing");
  records::StudyRuns study;
  study.study = Json::object({{"hypotheses", "h"}});
  try {
    hypotheses_parse(study);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.parts().where, "study.json, hypotheses");
  }
}

// What is written is what is read, and says on how much each verdict rests.
TEST(Verdicts, FileHoldsTheVerdicts) {
  FakeStudy fake{.folder = test_path("study")};
  fake.hypotheses.push_back(monotone("eval.facts.all.acc", "increase"));
  fake_study_write(fake);
  const records::Verdicts made = study_verdicts(fake.folder);
  const std::string path = path_join(fake.folder, records::kVerdictsName);
  records::verdicts_write(made, path);
  const records::Verdicts read = records::verdicts_read(path);
  EXPECT_EQ(read.runs_done, 21);
  ASSERT_EQ(read.hypotheses.size(), 1u);
  EXPECT_EQ(read.hypotheses[0].outcome, Outcome::supported);
  EXPECT_EQ(read.hypotheses[0].runs, 9);
  EXPECT_EQ(read.hypotheses[0].runs_of_the_plan, 9);
  EXPECT_EQ(read.hypotheses[0].seeds, 3);
  EXPECT_EQ(records::verdicts_to_json(read), records::verdicts_to_json(made));
  EXPECT_NE(verdicts_text(read).find("supported   h: "), std::string::npos) << verdicts_text(read);

  file_remove(path);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_fit({fake.folder, "--hypotheses", "--json", "--log", "error"}), 0);
  const Json printed = Json::parse(testing::internal::GetCapturedStdout(), "output");
  EXPECT_EQ(printed.at("hypotheses"), records::verdicts_to_json(made).at("hypotheses"));
  EXPECT_EQ(records::verdicts_to_json(records::verdicts_read(path)), records::verdicts_to_json(made));
}

}  // namespace
}  // namespace moebius::fit
