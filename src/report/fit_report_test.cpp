// Figures and tables of laws, task laws and turning points, from a fit.json whose numbers can be checked by hand; the
// same with parts missing and with values that are wrong. Also the figures of bench records.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/test_folder.h"
#include "report/figure_bench.h"
#include "report/figure_parts.h"
#include "report/html.h"
#include "report/run_report.h"
#include "records/study_fake.h"
#include "report/tables.h"

namespace moebius::report {
namespace {

// ---- a fit.json with every part, its numbers chosen so that figures can be checked by hand

Json fake_interval(double value, double low, double high) {
  return Json::object({{"value", value}, {"low", low}, {"high", high}});
}

Json fake_coefficient(double value, bool determined, const std::string& note) {
  Json c = fake_interval(value, 0.9 * value, 1.1 * value);
  c.set("determined", determined);
  c.set("note", note);
  return c;
}

Json fake_term(double value, const std::string& sign) {
  Json term = fake_interval(value, 0.9 * value, 1.1 * value);
  term.set("sign", sign);
  return term;
}

// Runs of sizes 1e6, 2e6, 4e6 with losses 3, 2.8, 2.9 at 1e15 FLOPs; the optimum at 2.1e6.
Json fake_isoflop(double compute, bool determined) {
  Json points = Json::array(), curve = Json::array();
  for (const auto& [size, loss] : {std::pair{1e6, 3.0}, std::pair{2e6, 2.8}, std::pair{4e6, 2.9}}) {
    points.push_back(Json::object({{"run", "n" + std::to_string(static_cast<i64>(size))},
                                   {"size", size},
                                   {"tokens", compute / (6 * size)},
                                   {"loss", loss}}));
    curve.push_back(Json::object({{"size", size},
                                  {"tokens", compute / (6 * size)},
                                  {"loss", loss - 0.01},
                                  {"low", loss - 0.03},
                                  {"high", loss + 0.01}}));
  }
  Json optimum = Json::object({{"size", fake_interval(2.1e6, 1.7e6, 2.6e6)},
                               {"tokens", 1e8},
                               {"loss", 2.78},
                               {"determined", true},
                               {"verdict", "determined"}});
  if (!determined) {
    optimum = Json::object({{"size", Json::object({{"value", nullptr}, {"low", 1e5}, {"high", 9e7}})},
                            {"tokens", nullptr},
                            {"loss", nullptr},
                            {"determined", false},
                            {"verdict", "not determined: its interval spans a factor of 900"}});
  }
  return Json::object({{"family", "E = 8, k = 2"},
                       {"compute", compute},
                       {"size_column", "parameters_active"},
                       {"runs", 3},
                       {"points", points},
                       {"curve", curve},
                       {"optimum", optimum}});
}

Json fake_sparsity() {
  Json points = Json::array();
  for (const auto& [experts, loss] : {std::pair{1.0, 3.0}, std::pair{8.0, 2.8}, std::pair{32.0, 2.7}}) {
    points.push_back(Json::object({{"run", "E" + std::to_string(static_cast<i64>(experts))},
                                   {"experts", experts},
                                   {"top_k", experts > 1 ? 2 : 1},
                                   {"sparsity", experts > 1 ? 1 - 2 / experts : 0},
                                   {"loss", loss}}));
  }
  return Json::object({{"family", "k = 2"},
                       {"compute", 1e15},
                       {"tokens", 1e8},
                       {"runs", 3},
                       {"points", points},
                       {"curve", Json::array()}});
}

Json fake_law() {
  Json residuals = Json::array(), intervals = Json::array();
  for (int i = 0; i < 4; ++i) {
    const double measured = 3 - 0.1 * i;
    residuals.push_back(Json::object({{"run", "r" + std::to_string(i)},
                                      {"measured", measured},
                                      {"predicted", 1.01 * measured},
                                      {"compute", 1e15 * (1 + i)}}));
    intervals.push_back(Json(Json::Array{Json(1.0 * measured), Json(1.02 * measured)}));
  }
  return Json::object(
      {{"law", "joint"},
       {"formula", "L = a Eh^delta ..."},
       {"source", "a paper"},
       {"meaning", "N: active"},
       {"quantity", "loss"},
       {"objective", 0.00123},
       {"verdict", "partly determined: not gamma"},
       {"knowledge", "partly determined"},
       {"notes", Json(Json::Array{Json("a note <i>")})},
       {"coefficients", Json::object({{"alpha", fake_coefficient(0.34, true, "")},
                                      {"gamma", fake_coefficient(0.0123456, false, "its interval includes zero")}})},
       {"determined", false},
       {"holdout_error", 0.0105},
       {"holdout", Json::object({{"kind", "largest-compute"},
                                 {"runs", Json(Json::Array{Json("r3")})},
                                 {"error", 0.0105},
                                 {"errors", Json(Json::Array{Json(-0.02)})}})},
       {"aicc", -123.4},
       {"runs", 4},
       {"residuals", residuals},
       {"curves", Json::object({{"isoflop", Json(Json::Array{fake_isoflop(1e15, true), fake_isoflop(4e15, false)})},
                                {"isoflop_note", ""},
                                {"sparsity", Json(Json::Array{fake_sparsity()})},
                                {"sparsity_note", ""},
                                {"predicted_95", intervals}})}});
}

// The planted sigmoid above chance 0.1: 0.1 + 0.9 / (1 + exp(4 (L - 2.5))).
Json fake_task_law(const std::string& knowledge, const std::string& why) {
  Json points = Json::array(), curve = Json::array(), flops = Json::array();
  for (int i = 0; i < 5; ++i) {
    const double loss = 2.1 + 0.2 * i, value = 0.1 + 0.9 / (1 + std::exp(4 * (loss - 2.5)));
    points.push_back(Json::object({{"model", "m" + std::to_string(i)},
                                   {"seeds", 3},
                                   {"train_loss", loss},
                                   {"flops", 1e12},
                                   {"tpp", 2},
                                   {"measured", value + 0.01},
                                   {"predicted", value},
                                   {"left_out", value}}));
    curve.push_back(Json::object({{"x", loss}, {"value", value}, {"low", value - 0.02}, {"high", value + 0.02}}));
    flops.push_back(Json::object({{"x", 1e12 * (1 + i)}, {"value", 0.5 + 0.01 * i}, {"low", 0.48}, {"high", 0.56}}));
  }
  return Json::object({{"task", "facts"},
                       {"skill", "memorisation"},
                       {"measure", "acc"},
                       {"link", "sigmoid"},
                       {"floor", 0.1},
                       {"ceiling", 1},
                       {"coefficients", Json::object({{"train_loss", fake_term(-4, "negative")},
                                                      {"flops", fake_term(0.7654321, "not determined")}})},
                       {"configurations", 5},
                       {"verdict", knowledge + ": " + why},
                       {"knowledge", knowledge},
                       {"notes", Json::array()},
                       {"holdout_error", 0.01},
                       {"holdout_error_constant", 0.2},
                       {"points", points},
                       {"curves", Json::object({{"over_train_loss", curve},
                                                {"over_flops", flops},
                                                {"at", Json::object({{"train_loss", 2.5}})}})}});
}

Json fake_turn(bool found) {
  Json points = Json::array();
  for (int i = 0; i < 5; ++i)
    points.push_back(Json::object({{"x", std::exp2(i)}, {"y", 0.5 - 0.03 * (i - 2) * (i - 2)}, {"runs", 3}}));
  return Json::object(
      {{"task", "arithmetic"},
       {"skill", "reasoning"},
       {"measure", "exact_match"},
       {"direction", "maximum"},
       {"x", "tpp"},
       {"family", "d64 L4 k2 F64"},
       {"found", found},
       {"shape", found ? "turning point inside" : "not determined"},
       {"p_adjusted", found ? 0.003 : 0.4},
       {"tests", 2},
       {"at", found ? fake_interval(4, 2.9, 5.5) : Json()},
       {"points", points},
       {"verdict", found ? "found: the turning point is inside the range" : "not determined: one side is within noise"},
       {"outcome", found ? "found" : "not determined"}});
}

Json fake_recommended() {
  const Json model = Json::object({{"d_model", 128},
                                   {"layers", 4},
                                   {"experts", 16},
                                   {"top_k", 1},
                                   {"parameters_total", 5000000},
                                   {"parameters_active", 1000000},
                                   {"tokens", 2e8},
                                   {"loss", 2.5}});
  return Json::object(
      {{"verdict", "partly determined: the laws' optima are 1.00M to 4.00M active parameters"},
       {"knowledge", "partly determined"},
       {"compute", 1.2e15},
       {"law", "joint"},
       {"model", model},
       {"reasons", Json(Json::Array{Json("joint meets unseen runs within 1.05 %")})},
       {"laws", Json(Json::Array{
                    Json::object({{"law", "joint"},
                                  {"reason", nullptr},
                                  {"optimum", model},
                                  {"parameters_active_95", Json(Json::Array{Json(8e5), Json(1.4e6)})}}),
                    Json::object({{"law", "abnar"}, {"reason", "no shape is small enough"}, {"optimum", nullptr}})})}});
}

Json fake_fit() {
  return Json::object(
      {{"law", "all"},
       {"data", Json(Json::Array{Json(".")})},
       {"laws", Json(Json::Array{fake_law()})},
       {"skipped", Json(Json::Array{Json::object({{"law", "leverage"}, {"reason", "the data measure a loss"}})})},
       {"comparison", Json::object({{"verdict", "nothing to compare"}})},
       {"task_laws", Json(Json::Array{fake_task_law("partly determined", "not flops")})},
       {"turning_points", Json(Json::Array{fake_turn(false), fake_turn(true)})},
       {"left_out", Json(Json::Array{Json("dense-s1: unfinished")})},
       {"recommended", fake_recommended()}});
}

// ---- tests

using records::fake_study_write;
using records::FakeStudy;

std::vector<Figure> figures_fit(const FitFile& fit) {
  StudyRecords study;
  study.fit = fit;
  study.has_fit = true;
  return figures_build(study);
}

std::string folder_with(const std::string& name, const std::string& fit) {
  const std::string folder = test_path(name);
  folder_remove_all(folder);
  folder_make(folder);
  AppendFile(path_join(folder, "fit.json")).append(fit);
  return folder;
}

const Figure& figure_named(const std::vector<Figure>& figures, const std::string& id) {
  const auto at = std::find_if(figures.begin(), figures.end(), [&](const Figure& one) { return one.id == id; });
  EXPECT_NE(at, figures.end()) << id;
  return *at;
}

i64 lines_with(const std::string& text, const std::string& words) {
  i64 count = 0;
  for (std::size_t at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

TEST(FitReport, IsoflopShowsOnlyDeterminedOptima) {
  const std::vector<Figure> figures = figures_fit(records::fit_parse(fake_fit(), "fake"));
  const Figure& figure = figure_named(figures, "law_isoflop");
  const View& view = figure.panels.front().views.front();
  EXPECT_EQ(view.name, "joint, E = 8, k = 2");
  EXPECT_EQ(view.x_label, "active parameters");
  ASSERT_EQ(view.series.size(), 5u);  // two computes with curve and points, the optima
  EXPECT_TRUE(view.series[0].curve);
  EXPECT_EQ(view.series[0].name, "1.0e15 FLOPs");
  EXPECT_EQ(view.series[1].points[1].x, 2e6);
  EXPECT_EQ(view.series[1].points[1].y, 2.8);
  EXPECT_NE(view.series[0].style, view.series[2].style);
  const Series& optima = view.series.back();
  ASSERT_EQ(optima.points.size(), 1u);
  EXPECT_EQ(optima.points[0].x, 2.1e6);
  EXPECT_EQ(optima.points[0].y, 2.78);
  EXPECT_EQ(optima.points[0].x_low, 1.7e6);
  EXPECT_EQ(optima.points[0].label, "2.10M");
  EXPECT_NE(figure.caption.find("spans a factor of 900"), std::string::npos) << figure.caption;
  EXPECT_EQ(lines_with(figure.csv.text(), ",run,"), 7);  // and the header
  EXPECT_EQ(lines_with(figure.csv.text(), ",law,"), 6);
  EXPECT_NE(figure.csv.text().find("optimum,,parameters_active,2100000,1700000,2600000,,2.78"), std::string::npos)
      << figure.csv.text();
}

// Two groups of one compute that differ in their tokens must have two names, or the legend holds one entry for both.
TEST(FitReport, SparsityGroupsOfOneComputeAreNamedApart) {
  Json law = fake_law(), curves = law.at("curves"), other = fake_sparsity();
  other.set("tokens", 4e8);
  curves.set("sparsity", Json(Json::Array{fake_sparsity(), other}));
  law.set("curves", curves);
  const std::vector<Figure> figures =
      figures_fit(records::fit_parse(Json::object({{"laws", Json(Json::Array{law})}}), "fake"));
  const View view = figure_named(figures, "law_sparsity").panels.front().views.front();
  ASSERT_EQ(view.series.size(), 2u);
  EXPECT_EQ(view.series[0].name, "k = 2, 1.0e15 FLOPs, 100M tokens");
  EXPECT_EQ(view.series[1].name, "k = 2, 1.0e15 FLOPs, 400M tokens");
}

TEST(FitReport, SparsityAndPredictions) {
  const std::vector<Figure> figures = figures_fit(records::fit_parse(fake_fit(), "fake"));
  const View sparsity = figure_named(figures, "law_sparsity").panels.front().views.front();
  ASSERT_EQ(sparsity.series.size(), 1u);  // the law has no curve here
  EXPECT_EQ(sparsity.series[0].points[0].x, 1);
  EXPECT_DOUBLE_EQ(sparsity.series[0].points[2].x, 16);
  EXPECT_EQ(sparsity.series[0].points[2].label, "E32");
  const Figure& predicted = figure_named(figures, "law_predicted");
  ASSERT_EQ(predicted.panels.size(), 2u);
  const View& left = predicted.panels[0].views.front();
  ASSERT_EQ(left.series.size(), 3u);  // equality, fitted, held out
  EXPECT_EQ(left.series[1].points.size(), 4u);
  EXPECT_DOUBLE_EQ(left.series[1].points[1].y, 1.01 * 2.9);
  EXPECT_DOUBLE_EQ(left.series[1].points[1].high, 1.02 * 2.9);
  ASSERT_EQ(left.series[2].points.size(), 1u);
  EXPECT_DOUBLE_EQ(left.series[2].points[0].y, 0.98 * 2.7);
  const View& right = predicted.panels[1].views.front();
  EXPECT_NEAR(right.series[0].points[3].y, 1, 1e-9);
  EXPECT_NEAR(right.series[1].points[0].y, -2, 1e-9);
  EXPECT_EQ(right.series[1].points[0].x, 4e15);
}

TEST(FitReport, TaskLawsAndTurningPoints) {
  const std::vector<Figure> figures = figures_fit(records::fit_parse(fake_fit(), "fake"));
  const View& law = figure_named(figures, "task_laws").panels.front().views.front();
  ASSERT_EQ(law.series.size(), 3u);                     // measured, predicted, the law
  EXPECT_NEAR(law.series[2].points[2].y, 0.55, 1e-12);  // the sigmoid's middle
  EXPECT_NEAR(law.series[2].points[2].low, 0.53, 1e-12);
  EXPECT_TRUE(law.series[2].curve);
  EXPECT_NEAR(law.series[0].points[2].y, 0.56, 1e-12);
  EXPECT_EQ(law.rules.front().y, 0.1);
  const Panel& turns = figure_named(figures, "turning_points").panels.front();
  ASSERT_EQ(turns.views.size(), 2u);
  ASSERT_EQ(turns.views[0].marks.size(), 1u);  // what was found comes first
  EXPECT_EQ(turns.views[0].marks[0].x, 4);
  EXPECT_EQ(turns.views[0].marks[0].low, 2.9);
  EXPECT_TRUE(turns.views[1].marks.empty());
  // Not determined: points alone, and no number of the law in the CSV's place for it.
  Json open = fake_fit();
  open.set("task_laws", Json(Json::Array{fake_task_law("not determined", "no better than the mean")}));
  const std::vector<Figure> without = figures_fit(records::fit_parse(open, "fake"));
  EXPECT_EQ(figure_named(without, "task_laws").panels.front().views.front().series.size(), 1u);
}

TEST(FitReport, NotDeterminedIsNeverANumber) {
  const FitFile fit = records::fit_parse(fake_fit(), "fake");
  const std::string page =
      html_table(table_coefficients(fit)) + html_table(table_task_laws(fit)) + html_table(table_turning_points(fit));
  EXPECT_NE(page.find("0.3400 [0.3060, 0.3740]"), std::string::npos) << page;
  EXPECT_NE(page.find("not determined"), std::string::npos) << page;
  for (const char* number : {"0.01111", "0.01235", "0.01358"}) EXPECT_EQ(page.find(number), std::string::npos);
  EXPECT_EQ(page.find("0.7654"), std::string::npos);
  EXPECT_NE(page.find("4.000 [2.900, 5.500]"), std::string::npos);
  const std::vector<std::string> sentences = recommended_sentences(fit);
  EXPECT_EQ(sentences[0],
            "For 1.2e15 training FLOPs: width 128, 4 layers, 16 experts with 1 per token: 5.00M parameters, "
            "1.00M active, trained on 200M tokens.");
  EXPECT_EQ(sentences.back(), "joint meets unseen runs within 1.05 %");
  Json open = fake_fit();
  Json recommended = fake_recommended();
  recommended.set("verdict", "not determined: these runs determine no law");
  recommended.set("knowledge", "not determined");
  open.set("recommended", recommended);  // a model beside such a verdict must not be shown
  EXPECT_EQ(recommended_sentences(records::fit_parse(open, "fake"))[0],
            "No model is recommended: these runs determine no law.");
  EXPECT_EQ(fit_summary(fit), "Of the loss laws fitted to these runs, joint is partly determined.");
}

TEST(FitReport, FolderWithFitAlone) {
  const std::string folder = folder_with("alone", fake_fit().dump());
  const Json result = report_write(folder, {});
  const std::string page = file_read(path_join(folder, "report.html"));
  std::vector<std::string> ids;
  for (const Json& figure : result.at("figures").as_array()) {
    ids.push_back(figure.at("id").as_string());
    EXPECT_NE(page.find(data_uri_csv(file_read(figure.at("csv").as_string()))), std::string::npos) << ids.back();
  }
  EXPECT_EQ(ids,
            (std::vector<std::string>{"law_isoflop", "law_sparsity", "law_predicted", "task_laws", "turning_points"}));
  EXPECT_EQ(result.at("recommended").at("law").as_string(), "joint");
  EXPECT_EQ(result.at("laws")[0].at("verdict").as_string(), "partly determined: not gamma");
  EXPECT_NE(page.find("a note &lt;i&gt;"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
  EXPECT_EQ(page.find("0 of 0"), std::string::npos);
}

TEST(FitReport, PartsMayBeMissing) {
  for (const char* text :
       {"{}", R"({"law":"all","laws":[]})", R"({"laws":[{"law":"joint"}]})",
        R"({"laws":[{"law":"joint","curves":{"isoflop":[{"compute":1e15}]}}],"task_laws":[{}],"turning_points":[{}]})",
        R"({"laws":[{"law":"joint","residuals":[{"run":"a"},{"run":"b","measured":0,"predicted":1,"compute":-1}]}]})",
        R"({"recommended":{},"laws":null,"task_laws":null})"}) {
    const std::string folder = folder_with("parts", text);
    EXPECT_NO_THROW(report_write(folder, {})) << text;
    EXPECT_TRUE(file_exists(path_join(folder, "report.html"))) << text;
  }
  // One law at the top, as `moebius fit --law NAME --out` writes it.
  EXPECT_EQ(records::fit_parse(fake_law(), "fake").loss.laws.size(), 1u);
}

// Each names its key.
TEST(FitReport, HostileValues) {
  const auto error = [](const std::string& text) {
    try {
      report_write(folder_with("hostile", text), {});
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(error(R"({"laws":[{"residuals":[{"measured":"NaN"}]}]})").find("laws[0].residuals[0].measured"),
            std::string::npos);
  EXPECT_NE(error(R"({"laws":[{"holdout_error":1e999}]})").find("fit.json"), std::string::npos);
  EXPECT_NE(error(R"({"laws":[{"holdout_error":NaN}]})").find("fit.json"), std::string::npos);
  EXPECT_NE(error(R"({"laws":{"law":"joint"}})").find("'laws'"), std::string::npos);
  EXPECT_NE(error(R"([1,2])").find("an object"), std::string::npos);
  EXPECT_NE(error(R"({"laws":[{"verdict":3,"knowledge":"determined"}]})").find("laws[0].verdict"), std::string::npos);
  EXPECT_NE(error(R"({"laws":[{"coefficients":[1]}]})").find("laws[0].coefficients"), std::string::npos);
  EXPECT_NE(
      error(R"({"laws":[{"coefficients":{"a":{"determined":"yes"}}}]})").find("laws[0].coefficients.a.determined"),
      std::string::npos);
  EXPECT_NE(error(R"({"laws":[{"curves":{"predicted_95":[[1]]},"residuals":[{}]}]})").find("predicted_95[0]"),
            std::string::npos);
  EXPECT_NE(error(R"({"turning_points":[{"at":[1,2,3]}]})").find("turning_points[0].at"), std::string::npos);
  EXPECT_NE(error(R"({"recommended":{"reasons":"many"}})").find("recommended.reasons"), std::string::npos);
  EXPECT_NE(error(R"({"task_laws":[0]})").find("task_laws[0]"), std::string::npos);
  EXPECT_NE(error(R"({"turning_points":[{"shape":"flat"}]})").find("'more than one turn'"), std::string::npos);
  // A file of an older version is named as such.
  EXPECT_NE(error(R"({"laws":[{"verdict":"determined"}]})").find("older version"), std::string::npos);
}

// Many runs: the panel is thinned, the CSV is whole.
TEST(FitReport, ManyRunsAreThinnedInTheFigureOnly) {
  Json fit = fake_fit(), residuals = Json::array();
  for (int i = 0; i < 5000; ++i) {
    residuals.push_back(Json::object(
        {{"run", std::to_string(i)}, {"measured", 2 + 1e-4 * i}, {"predicted", 2.0}, {"compute", 1e15 + i}}));
  }
  Json law = fake_law();
  law.set("residuals", residuals);
  fit.set("laws", Json(Json::Array{law}));
  const std::vector<Figure> figures = figures_fit(records::fit_parse(fit, "fake"));
  const Figure& figure = figure_named(figures, "law_predicted");
  EXPECT_LE(figure.panels[0].views[0].series[1].points.size(), 1500u);
  EXPECT_GE(figure.panels[0].views[0].series[1].points.size(), 1000u);
  EXPECT_EQ(lines_with(figure.csv.text(), "\n"), 5001);
}

TEST(FitReport, EqualLossJoinsModelsOfOneLoss) {
  // The models of E = 32 differ in k, and so in FLOPs, but hardly in total parameters: their losses are nearly equal.
  const FakeStudy fake{.folder = test_path("equal"), .seeds = 1, .loss_slope = -0.3, .seed_noise = 0};
  fake_study_write(fake);
  AppendFile(path_join(fake.folder, "fit.json")).append(fake_fit().dump());
  const StudyRecords study = study_load(fake.folder);
  const Figure figure = figure_equal_loss(FigureInput(study));
  const View& facts = figure.panels.front().views.front();
  EXPECT_EQ(facts.name, "facts, whole");
  ASSERT_GE(facts.series.size(), 2u);
  const Series& bin = facts.series.front();
  ASSERT_GE(bin.points.size(), 3u);
  for (std::size_t i = 1; i < bin.points.size(); ++i) EXPECT_LE(bin.points[i - 1].x, bin.points[i].x);
  const double active = 200000 + 49152.0;  // E32 k1
  EXPECT_NEAR(bin.points.front().x, 6.4 * active * 3e6, 1);
  EXPECT_EQ(bin.points.front().label, "E32");
  const Series& law = facts.series.back();
  EXPECT_EQ(law.name, "task law at loss 2.500");
  EXPECT_EQ(law.points.front().x, 1e12);
  EXPECT_EQ(law.points[4].y, 0.54);
  const Json result = report_write(fake.folder, {});
  EXPECT_EQ(file_read(path_join(fake.folder, "figures/equal_loss.csv")), figure.csv.text());
}

Json bench_record() {
  return Json::object(
      {{"type", "bench_train"},
       {"time", "2026-01-01T00:00:00Z"},
       {"isa", "avx512"},
       {"precision", "bf16"},
       {"threads", 2},
       {"parameters_total", 1000000},
       {"parameters_active", 300000},
       {"tokens_per_step", 8192},
       {"tokens_per_s", 40000},
       {"step_seconds", 0.2},
       {"roofline_seconds", 0.05},
       {"roofline_ratio", 0.25},
       {"mfu", 0.3},
       {"operations",
        Json(Json::Array{
            Json::object({{"name", "experts"},
                          {"direction", "backward"},
                          {"seconds", 0.1},
                          {"share", 0.5},
                          {"flops", 1e9},
                          {"bytes", 1e6},
                          {"bound_seconds", 0.04},
                          {"time_over_bound", 2.5}}),
            Json::object({{"name", "other"}, {"direction", "both"}, {"seconds", 0.02}, {"share", 0.1}})})}});
}

TEST(BenchReport, TimeBesideItsBound) {
  const std::string folder = test_folder();
  AppendFile(path_join(folder, "records.jsonl")).append(bench_record().dump() + "\n");
  const Json result = report_write(folder, {});
  ASSERT_EQ(result.at("figures").count(), 1);
  EXPECT_EQ(result.at("figures")[0].at("id").as_string(), "bench_1");
  EXPECT_EQ(
      file_read(result.at("figures")[0].at("csv").as_string()),
      "operation,direction,seconds,bound_seconds,time_over_bound,flops,bytes\nexperts,backward,0.1,0.04,2.5,1000000000,1000000\n"
      "other,both,0.02,,,,\n");
  const Figure figure = figure_step(step_parse(bench_record()), 0);
  const View& view = figure.panels.front().views.front();
  ASSERT_EQ(view.series.size(), 2u);
  EXPECT_EQ(view.series[0].points[0].label, "experts, backward (2.5x)");
  EXPECT_DOUBLE_EQ(view.series[0].points[0].y, 100);
  EXPECT_DOUBLE_EQ(view.series[1].points[0].y, 40);
  EXPECT_NE(figure.caption.find("25.0 % of it is reached"), std::string::npos) << figure.caption;
  Json wrong = bench_record();
  wrong.set("operations", 3);
  EXPECT_THROW(step_parse(wrong), Error);
}

Json grid_record() {
  const auto row = [](const char* direction, double ratio) {
    return Json::object({{"operation", "linear"},
                         {"shape", "linear T=64 d=32 N=96"},
                         {"direction", direction},
                         {"seconds", 1e-5},
                         {"flops", 4e5},
                         {"bytes", 2e4},
                         {"flops_per_s", 4e10},
                         {"bound_seconds", 1e-5 / ratio},
                         {"time_over_bound", ratio}});
  };
  Json record = Json::object({{"type", "bench_grid"},
                              {"time", "2026-01-02T00:00:00Z"},
                              {"isa", "avx2"},
                              {"precision", "bf16"},
                              {"threads", 2},
                              {"shapes", 3},
                              {"shapes_measured", 2}});
  record.set("rows", Json(Json::Array{row("forward", 2), row("backward", 4), row("both", 5)}));
  return record;
}

TEST(BenchReport, TheGridsMap) {
  const std::string folder = test_folder(), records = path_join(folder, "records.jsonl");
  AppendFile(records).append(grid_record().dump() + "\n");
  const Json result = report_write(folder, {});
  ASSERT_EQ(result.at("figures").count(), 1);
  EXPECT_EQ(result.at("figures")[0].at("id").as_string(), "grid_1");
  const std::string csv = file_read(result.at("figures")[0].at("csv").as_string());
  EXPECT_EQ(
      csv.substr(0, csv.find("forward")),
      "operation,shape,direction,seconds,bound_seconds,time_over_bound,flops,bytes\nlinear,linear T=64 d=32 N=96,");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 4);
  const std::string page = file_read(path_join(folder, "report.html"));
  EXPECT_NE(page.find("<svg xmlns"), std::string::npos);
  EXPECT_NE(page.find("2 of 3 shapes"), std::string::npos);
  EXPECT_NE(page.find("25.0 % of their roofline bound in the median"), std::string::npos);
  // A record that is none of ours is named with its file.
  AppendFile(records).append("{\"type\":\"bench_grid\",\"rows\":[]}\n");
  try {
    study_load(folder);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(records + ", a record of type 'bench_grid'"), std::string::npos) << e.what();
  }
}

TEST(BenchReport, OperationsAloneStandInOneFigure) {
  const std::string folder = test_folder(), records = path_join(folder, "records.jsonl");
  Json record = grid_record();
  record.set("type", "bench_operation");
  for (int i = 0; i < 2; ++i) AppendFile(records).append(record.dump() + "\n");
  Json result = report_write(folder, {});
  ASSERT_EQ(result.at("figures").count(), 1);
  EXPECT_EQ(result.at("figures")[0].at("id").as_string(), "operations");
  const std::string csv = file_read(result.at("figures")[0].at("csv").as_string());
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "time,isa,precision,threads,operation,shape,direction,seconds,bound_seconds,time_over_bound,flops,bytes");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7);
  EXPECT_NE(file_read(path_join(folder, "report.html"))
                .find("Operations measured alone reach 25.0 % of their roofline bound"),
            std::string::npos);
  Figure figure = figure_operations(study_load(folder).operations);
  const Series& time = figure.panels.front().views.front().series.front();
  ASSERT_EQ(time.points.size(), 6u);
  EXPECT_EQ(time.points[1].label, "linear T=64 d=32 N=96, backward (4.0x)");
  EXPECT_DOUBLE_EQ(time.points[1].y, 0.01);
  EXPECT_NE(figure.caption.find("bf16, avx2, 2 threads"), std::string::npos);
  // Where settings differ, the labels say which; of many records the last are drawn.
  record.set("threads", 1);
  AppendFile(records).append(record.dump() + "\n");
  figure = figure_operations(study_load(folder).operations);
  EXPECT_EQ(figure.panels.front().views.front().series.front().points.back().label,
            "linear T=64 d=32 N=96, bf16, avx2, 1 threads (5.0x)");
  for (int i = 0; i < 30; ++i) AppendFile(records).append(record.dump() + "\n");
  figure = figure_operations(study_load(folder).operations);
  EXPECT_EQ(figure.panels.front().views.front().series.front().points.size(), 24u * 3);
  EXPECT_NE(figure.caption.find("the last 24 of 33"), std::string::npos) << figure.caption;
  record.set("rows", 3);
  EXPECT_THROW(operation_parse(record), Error);
}

}  // namespace
}  // namespace moebius::report
