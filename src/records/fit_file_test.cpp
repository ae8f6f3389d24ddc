// The lists of fields: what is written is what is read; wrong types are named by their key; old files are refused.
#include "records/fit_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "records/run_records.h"

namespace moebius::records {
namespace {

FittedLaw law_of(const std::string& name) {
  FittedLaw law;
  law.law = name;
  law.objective = 0.001;
  law.huber_delta = INFINITY;  // least squares: null
  law.coefficients = {{.name = "E", .value = 1.8, .low = 1.7, .high = 1.9, .determined = true},
                      {.name = "A", .note = "the runs contain nothing that determines it"}};
  law.verdict = Verdict(Knowledge::partly, "not A");
  law.notes = {"a note"};
  law.holdout = {.kind = "folds", .runs = {"r1"}, .errors = {-0.01}, .error = 0.01, .error_se = kUnknown};
  law.runs = 2;
  law.range = {{"tokens", {1e6, 2e6}}, {"flops", {kUnknown, kUnknown}}};
  law.optima = {{0.001, {1.8, 400}}};
  law.samples = {{1.7, 390}, {1.9, kUnknown}};
  law.residuals = {{"r1", 3, 3.1, 1e15}};
  law.curves.isoflop_note = "none";
  IsoflopGroup& group = law.curves.isoflop.emplace_back();
  group.points = {{.run = "r1", .x = 1e6, .y = 3, .tokens = 1e8}};
  group.curve = {{.x = 1e6, .y = 2.9, .low = 2.8, .high = 3, .tokens = 1e8}};
  law.curves.sparsity.emplace_back().points = {{.run = "r1", .x = 0.75, .y = 3, .experts = 8, .top_k = 2}};
  law.curves.predicted = {{2.9, 3.1}, {kUnknown, kUnknown}};
  return law;
}

FitFile whole_file(LawsForm form) {
  FitFile file;
  file.loss.form = form;
  file.loss.laws = {law_of("chinchilla")};
  if (form == LawsForm::all) {
    file.loss.skipped = {{"leverage", "no dense run"}};
    file.loss.comparison.laws = {{"chinchilla", -10, 0, 0.01}};
    file.loss.comparison.verdict = "nothing to compare";
  }
  file.loss.runs_total = 3;
  file.data = {"a.csv"};
  file.planted = {.name = "epoch-2024", .law = "chinchilla", .coefficients = {{"E", 1.8}}};
  file.tasks.present = true;
  TaskLaw& task = file.tasks.task_laws.emplace_back();
  task.link = TaskLink::sigmoid;
  task.terms = {{"intercept", kUnknown, {1, 0.5, 1.5}, Sign::positive, ""},
                {"flops", 1e12, {}, Sign::not_determined, "all runs have the same value"}};
  task.points = {{.model = "E8", .seeds = 3, .measured = 0.4}};
  task.curves.at.train_loss = 2.5;
  TurningPoint& turn = file.tasks.turning_points.emplace_back();
  turn.shape = TurnShape::inside;
  turn.outcome = TurnOutcome::found;
  turn.at = {20, 15, 30};
  turn.points = {{10, 0.4, 3}};
  file.recommended.emplace().verdict = Verdict(Knowledge::none, "these runs determine no law");
  return file;
}

TEST(FitFile, WhatIsWrittenIsWhatIsRead) {
  for (const LawsForm form : {LawsForm::one, LawsForm::all}) {
    const Json written = fit_to_json(whole_file(form));
    const FitFile read = fit_parse(Json::parse(written.dump(), "text"), "fit.json");
    EXPECT_EQ(fit_to_json(read).dump(1), written.dump(1));
    EXPECT_EQ(read.loss.form, form);
    EXPECT_EQ(read.loss.laws.at(0).verdict.knowledge, Knowledge::partly);
    EXPECT_EQ(read.loss.laws.at(0).verdict.text, "partly determined: not A");
    EXPECT_TRUE(std::isnan(read.loss.laws.at(0).coefficients.at(1).value));
    EXPECT_TRUE(std::isnan(read.loss.laws.at(0).samples.at(1).at(1)));  // null is no number, not 0
    EXPECT_TRUE(std::isnan(read.loss.laws.at(0).curves.predicted.at(1)[0]));
    EXPECT_EQ(read.tasks.turning_points.at(0).shape, TurnShape::inside);
    EXPECT_EQ(written.dump().find("nan"), std::string::npos);
    const Json brief =
        form == LawsForm::one ? fit_to_json(whole_file(form), true) : fit_to_json(whole_file(form), true).at("laws")[0];
    EXPECT_FALSE(brief.contains("samples") || brief.contains("curves") || brief.at("holdout").contains("errors"));
    EXPECT_EQ(brief.at("holdout").at("error").as_double(), 0.01);
  }
}

TEST(FitFile, FaultsNameTheirKey) {
  const auto fault = [](const std::string& text) {
    try {
      fit_parse(Json::parse(text, "text"), "fit.json");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(fault(R"({"laws":[{},{"range":{"tokens":[1]}}]})").find("'laws[1].range.tokens'"), std::string::npos);
  EXPECT_NE(fault(R"({"laws":[{"verdict":"determined","knowledge":"maybe"}]})").find("'not determined'"),
            std::string::npos);
  EXPECT_NE(fault(R"({"task_laws":[{"runs":2.5}]})").find("'task_laws[0].runs'"), std::string::npos);
  const std::string old = fault(R"({"laws":[{"verdict":"determined"}]})");
  EXPECT_NE(old.find("older version"), std::string::npos) << old;
  EXPECT_NE(old.find("moebius fit"), std::string::npos) << old;
}

// A record says what its scores mean; an old one is understood by the names of its scores.
TEST(Measures, OfRecordsOldAndNew) {
  const std::string folder = test_folder();
  AppendFile(path_join(folder, "records.jsonl"))
      .append(
          R"({"type":"eval","name":"facts","kind":"task","grade":"all","chance":0.1,"acc":0.5,"exact_match":0.4,"task_loss":2})"
          "\n"
          R"({"type":"eval","name":"code","kind":"task","grade":"all","pass":0.5,)"
          R"("measures":{"pass":{"better":"higher","unit":"share of items","chance":0,"main":true}}})"
          "\n");
  const RunRecords run = run_read(folder);
  ASSERT_EQ(run.evals.size(), 2u) << run.problem.what;
  const Measure* acc = run.evals[0].measure("acc");
  ASSERT_NE(acc, nullptr);
  EXPECT_TRUE(acc->main && acc->higher_is_better);
  EXPECT_EQ(acc->chance, 0.1);
  EXPECT_FALSE(run.evals[0].measure("exact_match")->main);
  EXPECT_FALSE(run.evals[0].measure("task_loss")->higher_is_better);
  ASSERT_NE(run.evals[1].measure("pass"), nullptr);
  EXPECT_EQ(run.evals[1].measure("pass")->chance, 0);
  EXPECT_EQ(run.evals[1].measures.size(), 1u);
}

}  // namespace
}  // namespace moebius::records
