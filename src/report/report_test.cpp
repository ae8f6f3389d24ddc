// Tests of the stage as a whole: the page, the CSVs, studies that are unfinished or broken, one run alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "base/test_folder.h"
#include "base/units.h"
#include "report/html.h"
#include "report/run_report.h"
#include "records/study_fake.h"

namespace moebius::report {
namespace {

using records::fake_study_write;
using records::FakeStudy;

std::vector<std::vector<std::string>> csv_rows(const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(file_read(path));
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream cells(line);
    for (std::string cell; std::getline(cells, cell, ',');) fields.push_back(cell);
    rows.push_back(fields);
  }
  return rows;
}

bool says(const Json& sentences, const std::string& words) {
  return std::any_of(sentences.as_array().begin(), sentences.as_array().end(),
                     [&](const Json& one) { return one.as_string().find(words) != std::string::npos; });
}

// verdicts.json of a study whose one hypothesis is unresolved or supported.
void verdicts_add(const FakeStudy& fake, records::Outcome outcome, i64 runs_done) {
  records::HypothesisVerdict verdict;
  verdict.id = "recall";
  verdict.text = "Recall rises with experts <i>";
  verdict.x = "parameters_total";
  verdict.y = "eval.facts.all.acc";
  verdict.outcome = outcome;
  verdict.effect = {0.06, 0.05, 0.07};
  verdict.effect_name = "change of recall";
  verdict.reason = "the whole interval is on the predicted side of zero";
  verdict.configurations = 3;
  verdict.seeds = fake.seeds;
  records::verdicts_write({.runs_done = runs_done, .hypotheses = {verdict}}, path_join(fake.folder, "verdicts.json"));
}

Json trend() {
  return Json(Json::Array{Json::object({{"id", "recall"},
                                        {"text", "Recall rises with experts"},
                                        {"kind", "monotone"},
                                        {"x", "parameters_total"},
                                        {"y", "eval.facts.all.acc"},
                                        {"direction", "increase"},
                                        {"where", Json::object({{"top_k", 2}})}})});
}

TEST(Report, WholeStudy) {
  const FakeStudy fake{.folder = test_path("whole"), .hypotheses = trend()};
  fake_study_write(fake);
  verdicts_add(fake, records::Outcome::supported, 21);
  const Json result = report_write(fake.folder, {});
  const std::string page = file_read(path_join(fake.folder, "report.html"));
  // Every figure is in the page and as a CSV of the same content.
  std::vector<std::string> ids;
  for (const Json& figure : result.at("figures").as_array()) {
    ids.push_back(figure.at("id").as_string());
    EXPECT_NE(page.find("id=\"figure-" + ids.back() + "\""), std::string::npos);
    const std::string csv = file_read(figure.at("csv").as_string());
    EXPECT_GT(csv.size(), 100u) << ids.back();
    EXPECT_NE(page.find(data_uri_csv(csv)), std::string::npos) << ids.back();
  }
  EXPECT_EQ(ids, (std::vector<std::string>{"loss_parameters", "task_train_loss", "task_tpp", "task_flops", "equal_loss",
                                           "knowledge", "learning_curves", "score_curves", "expert_load", "cost"}));
  EXPECT_EQ(result.at("hypotheses")[0].at("verdict").as_string(), "supported");
  EXPECT_EQ(result.at("hypotheses")[0].at("low").as_double(), 0.05);
  EXPECT_NE(page.find("Recall rises with experts &lt;i&gt;"), std::string::npos);
  EXPECT_NE(page.find("0.06000 [0.05000, 0.07000]"), std::string::npos);
  EXPECT_FALSE(says(result.at("summary").at("shows_not"), "are based on"));
  EXPECT_EQ(result.at("runs_missing").count(), 0);
  EXPECT_TRUE(says(result.at("summary").at("shows"), "facts: accuracy: at most "));
  EXPECT_NE(result.at("answer").at("found").as_string().find("Supported: \"Recall rises with experts <i>"),
            std::string::npos);
  EXPECT_NE(result.at("answer").at("not_known").as_string().find("Nothing here tells"), std::string::npos);
  EXPECT_TRUE(
      says(result.at("summary").at("done"), "43.0 % of the roofline of its steps and 22.0 % of the machine's roof"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "gsm8k: accuracy"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "dead experts"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "facts (10.5 times)"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "the train split is in the data"));
  EXPECT_FALSE(says(result.at("summary").at("shows"), "states no trend"));
  // Nothing is fetched, and text from records is never markup.
  EXPECT_EQ(page.find("<b>&"), std::string::npos);
  EXPECT_NE(page.find("planted effects &lt;b&gt;&amp;"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
  EXPECT_EQ(page.find("<link rel=\"stylesheet"), std::string::npos);
  EXPECT_NE(page.find("Chart.js v"), std::string::npos);
}

TEST(Report, IsTheSameEveryTime) {
  const FakeStudy fake{.folder = test_path("same"), .seeds = 2, .hypotheses = trend()};
  fake_study_write(fake);
  report_write(fake.folder, {});
  const std::string first = file_read(path_join(fake.folder, "report.html"));
  report_write(fake.folder, {});
  EXPECT_EQ(file_read(path_join(fake.folder, "report.html")), first);
}

TEST(Report, CsvHoldsTheRecordsNumbers) {
  const FakeStudy fake{.folder = test_path("csv"), .seeds = 1, .loss_slope = -0.25, .seed_noise = 0};
  fake_study_write(fake);
  report_write(fake.folder, {});
  const auto rows = csv_rows(path_join(fake.folder, "figures/loss_parameters.csv"));
  ASSERT_EQ(rows.size(), 1u + 7 * 3);  // training loss and two held-out sources for seven models
  EXPECT_EQ(rows[0][0], "model");
  const auto e32 = std::find_if(rows.begin(), rows.end(),
                                [](const auto& row) { return row[0] == "E32 k2" && row[8] == "train.loss_final"; });
  ASSERT_NE(e32, rows.end());
  const double total = 200000 + 32 * 49152;
  EXPECT_EQ(std::stod((*e32)[7]), total);
  EXPECT_NEAR(std::stod((*e32)[9]), 2.5 - 0.25 * std::log2(total / 300000) - 0.02, 1e-12);
  EXPECT_EQ((*e32)[12], "none");  // one seed and no standard error
  const auto tasks = csv_rows(path_join(fake.folder, "figures/task_tpp.csv"));
  const auto hit = std::find_if(tasks.begin(), tasks.end(), [](const auto& row) {
    return row[0] == "dense" && row[8] == "eval.arithmetic.step 2.acc";
  });
  ASSERT_NE(hit, tasks.end());
  EXPECT_NEAR(std::stod((*hit)[9]), 0.35 * 0.8, 1e-12);
  EXPECT_NEAR(std::stod((*hit)[11]) - std::stod((*hit)[9]), 1.959964 * std::sqrt(0.28 * 0.72 / 600), 1e-7);
  EXPECT_EQ((*hit)[12], "items");
  EXPECT_EQ((*hit)[13], "0.1");
  const auto load = csv_rows(path_join(fake.folder, "figures/expert_load.csv"));
  const i64 cells = std::count_if(load.begin(), load.end(),
                                  [](const auto& row) { return row[0] == "E128-k2-s1" && row[6] == "load_over_mean"; });
  EXPECT_EQ(cells, 4 * 128);
  const auto curve = csv_rows(path_join(fake.folder, "figures/learning_curves.csv"));
  EXPECT_EQ(std::count_if(curve.begin(), curve.end(), [](const auto& row) { return row[0] == "dense-s1"; }), 60);
}

TEST(Report, OneSeedClaimsNoTrend) {
  const FakeStudy fake{.folder = test_path("one_seed"), .seeds = 1, .hypotheses = trend()};
  fake_study_write(fake);
  const Json result = report_write(fake.folder, {});
  EXPECT_TRUE(says(result.at("summary").at("shows"), "states no trend"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "three seeds"));
  EXPECT_TRUE(says(result.at("summary").at("shows"), "within noise"));
}

// The report tests nothing itself: without verdicts.json, or with an old one, it names the command.
TEST(Report, VerdictsThatAreMissingOrOld) {
  const FakeStudy fake{.folder = test_path("verdicts"), .seeds = 1, .hypotheses = trend()};
  fake_study_write(fake);
  Json result = report_write(fake.folder, {});
  EXPECT_EQ(result.at("hypotheses").count(), 0);
  EXPECT_TRUE(says(result.at("summary").at("shows"), "1 hypothesis: not tested yet; 'moebius fit"));
  verdicts_add(fake, records::Outcome::unresolved, 5);
  result = report_write(fake.folder, {});
  EXPECT_EQ(result.at("hypotheses")[0].at("verdict").as_string(), "unresolved");
  EXPECT_TRUE(says(result.at("summary").at("shows"), "0 supported, 0 refuted, 1 unresolved"));
  EXPECT_TRUE(says(result.at("summary").at("shows_not"), "are based on 5 finished runs, but 7 are finished now"));
  file_write_atomic(path_join(fake.folder, "verdicts.json"), R"({"hypotheses":[{"verdict":"maybe"}]})");
  try {
    study_load(fake.folder);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("hypotheses[0].verdict"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("verdicts.json"), std::string::npos) << e.what();
  }
}

TEST(Report, NamesMissingAndBrokenRuns) {
  const FakeStudy fake{.folder = test_path("partial"), .seeds = 1, .runs_written = 4};
  fake_study_write(fake);
  const std::string broken = path_join(fake.folder, "runs/E8-k2-s1/records.jsonl");
  file_write_atomic(broken, "{\"type\": oops}\n" + file_read(broken));
  // Killed in mid-training: no train_end and half a line.
  const std::string killed = path_join(fake.folder, "runs/E32-k2-s1/records.jsonl");
  const std::string text = file_read(killed);
  file_write_atomic(killed, text.substr(0, text.size() / 2));
  const Json result = report_write(fake.folder, {});
  EXPECT_EQ(result.at("runs_missing").count(), 5);  // three not started, one broken, one killed
  const Json& done = result.at("summary").at("done");
  EXPECT_TRUE(says(done, "preliminary"));
  EXPECT_TRUE(says(done, "Not started: E32-k1-s1, E32-k4-s1 and E32-k8-s1"));
  EXPECT_TRUE(says(done, "Unfinished: E32-k2-s1"));
  EXPECT_TRUE(says(done, "E8-k2-s1 cannot be read"));
  EXPECT_TRUE(says(done, "line 1"));
  // The killed run has a curve, but no place among final scores.
  EXPECT_NE(file_read(path_join(fake.folder, "figures/learning_curves.csv")).find("E32-k2-s1"), std::string::npos);
  EXPECT_EQ(file_read(path_join(fake.folder, "figures/loss_parameters.csv")).find("E32"), std::string::npos);
}

TEST(Report, WrongTypesInARecordBreakOneRunOnly) {
  const FakeStudy fake{.folder = test_path("types"), .seeds = 1};
  fake_study_write(fake);
  const std::string path = path_join(fake.folder, "runs/dense-s1/records.jsonl");
  file_write_atomic(path, "{\"type\":\"step\",\"step\":1,\"tokens\":10,\"loss\":\"low\"}\n" + file_read(path));
  const StudyRecords study = study_load(fake.folder);
  EXPECT_EQ(study.runs[0].status, RunStatus::broken);
  EXPECT_EQ(study.runs[0].problem.where, path + ", line 1");
  EXPECT_EQ(study.done_runs().size(), 6u);
}

TEST(Report, StudyWithoutAnyRecords) {
  const FakeStudy fake{.folder = test_path("empty"), .runs_written = 0, .hypotheses = trend()};
  fake_study_write(fake);
  folder_remove_all(path_join(fake.folder, "runs"));
  const Json result = report_write(fake.folder, {});
  EXPECT_EQ(result.at("figures").count(), 0);
  EXPECT_EQ(result.at("runs_done").as_int(), 0);
  EXPECT_TRUE(file_exists(path_join(fake.folder, "report.html")));
}

TEST(Report, OneRunAlone) {
  const FakeStudy fake{.folder = test_path("alone"), .seeds = 1};
  fake_study_write(fake);
  const std::string folder = path_join(fake.folder, "runs/E8-k2-s1");
  ReportOptions options;
  options.out = path_join(fake.folder, "one.html");
  options.figures = path_join(fake.folder, "one_figures");
  const Json result = report_write(folder, options);
  EXPECT_TRUE(file_exists(options.out));
  EXPECT_TRUE(file_exists(path_join(options.figures, "learning_curves.csv")));
  EXPECT_TRUE(says(result.at("summary").at("done"), "The run is done."));
  EXPECT_FALSE(says(result.at("summary").at("shows"), "seed"));
}

TEST(Report, FoldersAndFilesThatAreWrong) {
  EXPECT_THROW(study_load(test_path("nowhere")), Error);
  const std::string folder = test_path("wrong");
  folder_make(folder);
  file_write_atomic(path_join(folder, "study.json"), R"({"name":"x","runs":[{"name":"../escape"}]})");
  EXPECT_THROW(study_load(folder), Error);
  file_write_atomic(path_join(folder, "study.json"), R"({"name":"x","runs":[{"name":"a"},{"name":"a"}]})");
  EXPECT_THROW(study_load(folder), Error);
  file_write_atomic(path_join(folder, "study.json"),
                    R"({"name":"x","runs":[],"data":[{"source":"a","weight":"much"}]})");
  EXPECT_THROW(study_load(folder), Error);
  file_write_atomic(path_join(folder, "study.json"), R"({"name":"x","runs":[],"notes":"one"})");
  EXPECT_THROW(study_load(folder), Error);
  file_write_atomic(path_join(folder, "study.json"), R"({"name":"x"})");
  try {
    study_load(folder);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("'runs' is missing"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("study.json"), std::string::npos) << e.what();
  }
}

TEST(Report, AScoreOfMidTrainingIsNoFinalScore) {
  RunRecords run;
  run.train_end = Json::object({{"tokens", 1000}});
  run.evals.push_back({"facts", "all", "task", "memorisation", 500, Json::object({{"acc", 0.5}})});
  EXPECT_EQ(run.eval_final("facts.all"), nullptr);
  run.evals.push_back({"facts", "all", "task", "memorisation", 1000, Json::object({{"acc", 0.75}})});
  EXPECT_EQ(metric_of(run, "eval.facts.all.acc").value, 0.75);
}

TEST(Report, NamesAndGradesMayHoldDots) {
  RunRecords run;
  run.evals.push_back(
      {"facts.told", "1.5 steps", "task", "memorisation", 1, Json::object({{"acc", 0.25}, {"acc_se", 0.01}})});
  EXPECT_EQ(metric_of(run, "eval.facts.told.1.5 steps.acc").value, 0.25);
  EXPECT_EQ(metric_of(run, "eval.facts.told.1.5 steps.acc").se, 0.01);
  EXPECT_FALSE(metric_of(run, "eval.facts.told.acc").known());
}

TEST(Report, TheStagesWords) {
  const FakeStudy fake{.folder = test_path("words"), .seeds = 1, .hypotheses = trend()};
  fake_study_write(fake);
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_report({fake.folder, "--json", "--dry-run"}), 0);
  EXPECT_EQ(Json::parse(testing::internal::GetCapturedStdout(), "dry").at("runs").as_int(), 10);
  EXPECT_FALSE(file_exists(path_join(fake.folder, "report.html")));
  testing::internal::CaptureStdout();
  EXPECT_EQ(run_report({fake.folder, "--json"}), 0);
  const Json result = Json::parse(testing::internal::GetCapturedStdout(), "result");
  EXPECT_TRUE(file_exists(result.at("report").as_string()));
  EXPECT_EQ(result.at("runs_done").as_int(), 10);
  EXPECT_THROW(run_report({}), Error);
  EXPECT_THROW(run_report({fake.folder, "--ouput", "x.html"}), Error);
  EXPECT_THROW(run_report({fake.folder, "--out", "/proc/nowhere/report.html"}), Error);
}

TEST(Html, Escapes) {
  const std::string json = json_for_script(Json::object({{"k", "</script><!-- &"}}));
  EXPECT_EQ(json.find('<'), std::string::npos);
  EXPECT_EQ(Json::parse(json, "back").at("k").as_string(), "</script><!-- &");
  EXPECT_EQ(data_uri_csv("a,b\n\"1%\""), "data:text/csv;charset=utf-8,a,b%0A%221%25%22");
  EXPECT_EQ(csv_field("plain"), "plain");
  EXPECT_EQ(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
}

TEST(Summary, Numbers) {
  EXPECT_EQ(number_text(0.61234), "0.6123");
  EXPECT_EQ(number_text(12.345), "12.35");
  EXPECT_EQ(number_text(0.000412), "4.12e-04");
  EXPECT_EQ(number_text(2.719e29), "2.72e+29");
  EXPECT_EQ(number_text(kUnknown), "-");
  EXPECT_EQ(joined({"a", "b", "c"}), "a, b and c");
}

}  // namespace
}  // namespace moebius::report
