// Tests of study files, plans and the choice of learning rates.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"
#include "base/test_folder.h"
#include "study/study_data.h"
#include "study/study_file.h"
#include "study/study_plan.h"
#include "study/study_power.h"

namespace moebius::study {
namespace {

std::string write_study(const std::string& name, const std::string& text) {
  const std::string path = test_path(name + ".toml");
  file_write_atomic(path, text);
  return path;
}

const char* kSmall = R"(
name = "small"
tokens = 4096
seeds = [1, 2]
[model]
d-model = 32
layers = 2
heads = 2
expert-width = 32
[grid]
experts = [1, 4, 16]
top-k = [1, 2, 8]
[data]
vocab = 400
sequence = 32
[data.arithmetic]
share = 1.0
problems = 300
items = 10
grades = [0, 1]
grade-weights = [1, 1]
grades-test = [0, 1]
[learning-rate]
sweep = [1e-3, 4e-3]
)";

std::string error_of(const std::string& path) {
  try {
    plan_study(study_load(path));
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(StudyFile, GridLeavesOutWhatCannotBe) {
  const StudySpec spec = study_load(write_study("grid", kSmall));
  std::vector<std::string> names;
  for (const StudyModel& model : spec.models) names.push_back(model.name);
  EXPECT_EQ(names, (std::vector<std::string>{"dense", "E4-k1", "E4-k2", "E16-k1", "E16-k2", "E16-k8"}));
}

TEST(StudyFile, EveryVaryingKeyOfAGridIsPartOfTheName) {
  const auto names_of = [](const std::string& grid) {
    std::string text = kSmall;
    const std::size_t begin = text.find("experts = "), end = text.find("[data]");
    const StudySpec spec = study_load(write_study("grid", text.replace(begin, end - begin, grid)));
    std::vector<std::string> names;
    for (const StudyModel& model : spec.models) names.push_back(model.name);
    return names;
  };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names_of("experts = [1, 4]\nexpert_width = [32, 64]\n"),
            (Names{"dense-expert-width32", "E4-expert-width32", "dense-expert-width64", "E4-expert-width64"}));
  EXPECT_EQ(names_of("experts = [1, 4]\nexpert-width = [32]\n"), (Names{"dense", "E4"}));
  EXPECT_EQ(names_of("balance-coefficient = [0.01, 0.1]\n"),
            (Names{"balance-coefficient0.01", "balance-coefficient0.1"}));
  EXPECT_EQ(names_of("qk-norm = [true]\n"), (Names{"qk-normtrue"}));
  EXPECT_EQ(names_of("experts = [4, 4]\n"), (Names{"E4"}));
}

TEST(StudyFile, UnknownKeysNameTheNearest) {
  const std::string text = kSmall;
  EXPECT_NE(error_of(write_study("bad1", "tokenz = 3\n" + text)).find("'tokens'"), std::string::npos);
  EXPECT_NE(error_of(write_study("bad2", text + "sweep-token = 3\n")).find("'sweep-tokens'"), std::string::npos);
  std::string model = text;
  model.replace(model.find("d-model"), 7, "d-modle");
  EXPECT_NE(error_of(write_study("bad3", model)).find("'d-model'"), std::string::npos);
  EXPECT_NE(error_of("quik").find("'quick'"), std::string::npos);
  const std::string task = error_of(write_study("bad6", text + "[evaluate]\ntasks = [\"basic-arithmetik\"]\n"));
  EXPECT_NE(task.find("[evaluate]"), std::string::npos) << task;
  EXPECT_NE(task.find("'basic-arithmetic'"), std::string::npos) << task;
  std::string name = text, type = text;
  name.replace(name.find("name = \""), 8, "name = \"../");
  EXPECT_NE(error_of(write_study("bad4", name)).find("name of its folder"), std::string::npos);
  type.replace(type.find("experts = ["), 11, "experts = [\"x\", ");
  EXPECT_NE(error_of(write_study("bad5", type)).find("bad5"), std::string::npos) << error_of(write_study("bad5", type));
}

TEST(StudyFile, WrongTypesNameTheFileAndTheKey) {
  const std::pair<const char*, const char*> lines[] = {{"notes = 3", "'notes' has a wrong type"},
                                                       {"notes = [3]", "'notes' has a wrong type"},
                                                       {"notes = \"a, b\"", "'notes' has a wrong type"},
                                                       {"hypotheses = 3", "'hypotheses' has a wrong type"},
                                                       {"hypotheses = [3]", "'hypotheses' has a wrong type"},
                                                       {"evaluate = 3", "'evaluate' is not a table"},
                                                       {"branches = []", "'branches' is not a table"},
                                                       {"train = 3", "'train' is not a table"},
                                                       {"models = 3", "'models'"}};
  for (const auto& [line, part] : lines) {
    const std::string text = error_of(write_study("types", line + std::string("\n") + kSmall));
    EXPECT_NE(text.find("types.toml"), std::string::npos) << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
  std::string facts = kSmall;
  facts.insert(facts.find("[data.arithmetic]"), "facts = 3\n");
  EXPECT_NE(error_of(write_study("types", facts)).find("types.toml"), std::string::npos);
}

TEST(StudyFile, WhatWouldStopARunIsFoundInThePlan) {
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = kSmall;
    text.replace(text.find(from), from.size(), to);
    return error_of(write_study("stops", text));
  };
  for (const auto& [from, to, part] : std::initializer_list<std::tuple<std::string, std::string, std::string>>{
           {"seeds = [1, 2]", "seeds = []", "the list of seeds is empty"},
           {"seeds = [1, 2]", "seeds = [1, 1]", "'dense-s1' is not a valid run name"},
           {"sweep = [1e-3, 4e-3]", "sweep = [1e-3, 1e-3]", "is not a valid run name"},
           {"[data]", "[[models]]\nname = \"a/b\"\nexperts = 2\n[data]", "'a/b-s1' is not a valid run name"},
           {"[data]", "[[models]]\nname = \"a\\nb\"\nexperts = 2\n[data]", "is not a valid run name"},
           {"[data]", "[[models]]\nname = \"" + std::string(201, 'n') + "\"\nexperts = 2\n[data]", "at most 200 bytes"},
           {"seeds = [1, 2]", "seeds = 3", "'seeds' is not a list"},
           {"seeds = [1, 2]", "seeds = [1, 2]\nvary = [\"tasks\", \"data\"]", "'data' is not a value of 'vary'"},
           {"seeds = [1, 2]", "seeds = [1, 2]\nvary = []", "the seeds do not differ in anything"},
           {"seeds = [1, 2]", "seeds = [2, 0]\nvary = [\"tasks\"]", "the seed of arithmetic would be negative"},
           {"seeds = [1, 2]", "seeds = [2, 0]\nvary = [\"order\"]", "the seed of the data's order would be negative"},
           {"top-k = [1, 2, 8]", "top-k = []", "'top-k' of the grid is an empty list"},
           {"top-k = [1, 2, 8]", "top-k = 2", "'top-k' of the grid is not a list"},
           {"heads = 2", "heads = 2\nvocab = 500", "'vocab' has no effect here"},
           {"[data]", "[train]\nlearning_rate = 1e-3\n[data]", "'learning_rate' has no effect here"},
           {"[data]", "[train]\nsequence = 64\n[data]", "'sequence' has no effect here"},
           {"grades = [0, 1]", "grades = [0, 99]", "[data.arithmetic]"},
           {"problems = 300", "problems = 300\noperators = [\"plus\"]", "[data.arithmetic]"},
           {"[data]", "[[models]]\nname = \"m\"\ntrain = { sequence = 64 }\n[data]", "model 'm', train"},
           {"[data]", "[[models]]\nname = \"m\"\ntrain = { precision = \"f32\" }\n[data]", "'precision' has no effect"},
           {"[data]", "[[models]]\nname = \"m\"\ntrain = { batch-tokens = 100 }\n[data]", "model 'm', batch-tokens"},
           {"[data]", "[[models]]\nname = \"m\"\ntrain = 3\n[data]", "'train' is not a table"},
           {"[data]", "[[models]]\nname = \"m\"\ndata = { facts = 0.5 }\n[data]",
            "'facts' is not the share of a source"},
           {"[data]", "[[models]]\nname = \"m\"\ndata = { arithmetik-share = 0.5 }\n[data]", "'arithmetic'"},
           {"[data]", "[[models]]\nname = \"m\"\ndata = { arithmetic-share = 0 }\n[data]", "all shares are 0"},
           {"[data.arithmetic]", "[[data.text]]\nname = \"arithmetic\"\ninput = \"a\"\nshare = 0.5\n[data.arithmetic]",
            "two sources are named 'arithmetic'"},
           {"[data.arithmetic]", "[[data.text]]\nname = \"../a\"\ninput = \"a\"\nshare = 0.5\n[data.arithmetic]",
            "the name of a text source"},
           {"heads = 2", "heads = 3", "model 'dense'"},
           {"[data]", "[train]\nbatch-tokens = 100\n[data]", "[train], batch-tokens"}}) {
    const std::string text = changed(from, to);
    EXPECT_NE(text.find("stops.toml"), std::string::npos) << to << ": " << text;
    EXPECT_NE(text.find(part), std::string::npos) << to << ": " << text;
  }
}

TEST(StudyFile, AFaultyHypothesisIsFoundBeforeTheRuns) {
  const StudyPlan plan = plan_study(
      study_load(write_study("hypothesis", std::string(kSmall) + "[[hypotheses]]\nid = \"h\"\nkind = \"x\"\n")));
  try {
    check_hypotheses(plan);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("hypothesis.toml, hypothesis h"), std::string::npos) << e.what();
  }
}

TEST(StudyFile, ShippedStudiesPlan) {
  for (const std::string& name : study_names()) {
    const StudyPlan plan = plan_study(study_load(name));
    EXPECT_GE(plan.runs.size(), 7u) << name;
  }
}

// Ablations in one file: models with their own options of training and their own mixture.
TEST(StudyPlan, ModelsHaveTheirOwnTrainingAndData) {
  std::string text = kSmall;
  text.replace(
      text.find("[data]"), 6,
      "[[models]]\nname = \"small-batch\"\nexperts = 4\ntop-k = 2\n"
      "train = { batch-tokens = 256, learning-rate = 2e-3 }\n"
      "[[models]]\nname = \"facts\"\nexperts = 4\ntop-k = 2\ndata = { facts-share = 0.75, arithmetic-share = 0 }\n"
      "[train]\nbatch-tokens = 512\n[data]");
  text += "[data.facts]\nshare = 0.25\n";
  const std::string claims =
      "[[hypotheses]]\nid = \"h\"\ntext = \"t\"\nkind = \"difference\"\ny = \"train.loss_final\"\n"
      "direction = \"increase\"\na = { batch_tokens = 256 }\nb = { facts_share = 0.75, batch_tokens = 512 }\n";
  const StudyPlan plan = plan_study(study_load(write_study("ablation", text + claims)));
  StudyFiles files;
  files.folder = "data";
  files.shards = {{"facts", 0.25, 10, 1, 40, false}, {"arithmetic", 1.0, 10, 1, 40, false}};
  int seen = 0;
  for (const PlannedRun& run : plan.runs) {
    const train::TrainOptions options = train_options(plan.spec, run);
    const bool small = run.model == "small-batch", facts = run.model == "facts";
    EXPECT_EQ(options.batch_tokens, small ? 256 : 512) << run.name;
    const auto sources = files.mixture(run.seed, run.shares);
    ASSERT_EQ(sources.size(), facts ? 1u : 2u);
    EXPECT_EQ(sources[0].weight, facts ? 0.75 : 0.25);
    if (!small) continue;
    ++seen;
    EXPECT_EQ(run.role, records::RunRole::main);  // no trial: it has its rate
    EXPECT_EQ(options.optimizer.learning_rate, 2e-3);
  }
  EXPECT_EQ(seen, 2);
  const Json runs = plan_to_json(plan).at("runs");
  const Json& last = runs.as_array().back();
  EXPECT_EQ(last.at("batch_tokens").as_int(), 512);
  EXPECT_EQ(last.at("data").dump(), "{\"facts\":0.75,\"arithmetic\":0.0}");
  const auto rows = study_power(plan, {}, 0.05);
  EXPECT_NE(power_table(rows).find("data"), std::string::npos);
  const auto& compared = rows.at(0).compared;
  EXPECT_EQ(compared.at(4).name, "data");
  EXPECT_EQ(compared.at(4).held, records::Held::varies);
}

TEST(StudyPlan, SeedsVaryWhatTheFileSays) {
  for (const std::vector<std::string>& vary : std::vector<std::vector<std::string>>{
           {"init", "order", "tasks"}, {"init"}, {"order"}, {"tasks"}, {"init", "tasks"}}) {
    const auto has = [&](const char* part) { return std::find(vary.begin(), vary.end(), part) != vary.end(); };
    std::string text = kSmall;
    text.replace(text.find("seeds = [1, 2]"), 14, "seeds = [4, 7]\nvary = " + Json(vary).dump());
    text.replace(text.find("items = 10"), 10, "items = 10\nseed = 20");
    const StudyPlan plan = plan_study(study_load(write_study("vary", text)));
    for (const PlannedRun& run : plan.runs) {
      const train::TrainOptions options = train_options(plan.spec, run);
      const bool second = run.seed == 7;
      EXPECT_EQ(options.seed_init, second && has("init") ? 7 : 4) << run.name;
      EXPECT_EQ(options.seed_data, second && has("order") ? 4 : 1) << run.name;
      EXPECT_EQ(plan.spec.seed_task(plan.spec.data.tasks[0], run.seed), second && has("tasks") ? 23 : 20) << run.name;
    }
    const Json study = plan_to_json(plan);
    EXPECT_EQ(study.at("vary"), Json(vary));
    EXPECT_EQ(study.at("seeds").at("init").dump(), has("init") ? "[4,7]" : "[4,4]");
    EXPECT_EQ(study.at("seeds").at("order").dump(), has("order") ? "[1,4]" : "[1,1]");
    EXPECT_EQ(study.at("seeds").at("arithmetic").dump(), has("tasks") ? "[20,23]" : "[20,20]");
  }
}

// The overnight study must span tokens per parameter from 5 to 200.
TEST(StudyPlan, OvernightGridSpansTokensPerParameter) {
  const StudyPlan plan = plan_study(study_load("optimal-sparsity-mini"));
  double low = 1e9, high = 0;
  for (const PlannedRun& run : plan.runs) {
    if (run.role != records::RunRole::main) continue;
    low = std::min(low, run.tpp());
    high = std::max(high, run.tpp());
  }
  EXPECT_LE(low, 5.0);
  EXPECT_GE(high, 200.0);
}

const char* kClaims = R"(
[[hypotheses]]
id = "slope"
text = "t"
kind = "monotone"
x = "parameters_total"
y = "train.loss_final"
direction = "decrease"
where = { top_k = 2 }
[[hypotheses]]
id = "pair"
text = "t"
kind = "difference"
y = "train.loss_final"
direction = "decrease"
a = { experts = 4, top_k = 2 }
b = { experts = 16, top_k = 2 }
)";

TEST(StudyPower, SaysWhatItDoesNotKnowAndWhatSeedsBuy) {
  StudyPlan plan = plan_study(study_load(write_study("power", std::string(kSmall) + kClaims)));
  for (PlannedRun& run : plan.runs) run.seconds_estimated = 60;
  const auto unknown = study_power(plan, {}, kUnknown);
  ASSERT_EQ(unknown.size(), 2u);
  EXPECT_EQ(unknown[0].problem, "a trend needs three values of x");
  EXPECT_EQ(unknown[1].problem, "the noise between seeds is unknown");
  EXPECT_NE(power_table(unknown).find("--pilot FOLDER"), std::string::npos);
  // The learning rates are not swept yet.
  EXPECT_NE(
      power_table(unknown).find("equal: active parameters, training FLOPs, tokens, data; varies: total parameters ("),
      std::string::npos);
  EXPECT_NE(power_table(unknown).find("; unknown: learning rate\n"), std::string::npos);
  const auto assumed = study_power(plan, {}, 0.05);
  EXPECT_EQ(assumed[1].noise_source, "assumed (--noise)");
  EXPECT_EQ(assumed[1].seeds, 2);
  EXPECT_EQ(assumed[1].seeds_tested, 3);        // the report wants three
  EXPECT_NEAR(assumed[1].effect, 0.327, 0.01);  // the paired t-test at 5 % over two hypotheses (fit/power_test.cpp)
  EXPECT_NEAR(assumed[1].seconds, 360, 1e-9);   // two models, three seeds, a minute each
  EXPECT_GE(assumed[1].seeds_half, 5);
  EXPECT_LE(assumed[1].seeds_half, 9);
  EXPECT_NEAR(assumed[1].seconds_half, 120.0 * static_cast<double>(assumed[1].seeds_half), 1e-9);
}

// Hypotheses that no number of seeds could test are refused before the study starts; margins that are too small are told.
TEST(StudyPower, HypothesesThatCannotBeTestedAreRefused) {
  const auto fault_of = [](const std::string& name, const std::string& hypothesis) -> std::string {
    const std::string text = std::string(kSmall) +
                             "[evaluate]\ntasks = [\"gsm8k\"]\n[[hypotheses]]\nid = \"h\"\ntext = \"t\"\n" + hypothesis;
    const StudyPlan plan = plan_study(study_load(write_study(name, text)));
    try {
      check_hypotheses(plan);
    } catch (const Error& e) {
      return e.what();
    }
    return "none";
  };
  const std::string contrast = "kind = \"contrast\"\ny = \"train.loss_final\"\nminus = \"eval.facts.all.task_loss\"\n";
  EXPECT_EQ(fault_of("c1", contrast + "x = \"parameters_total\"\ndirection = \"increase\"\n"), "none");
  const std::string still = fault_of("c2", contrast + "x = \"config.d_model\"\ndirection = \"increase\"\n");
  EXPECT_NE(still.find("a contrast needs an x that varies"), std::string::npos) << still;
  const std::string both = fault_of("c3", contrast + "x = \"parameters_total\"\n");
  EXPECT_NE(both.find("either a direction or a margin"), std::string::npos) << both;
  const std::string trend = "kind = \"monotone\"\nx = \"parameters_total\"\ndirection = \"increase\"\n";
  const std::string none = fault_of("c4", trend + "y = \"train.loss_final\"\nwhere = { experts = 999 }\n");
  EXPECT_NE(none.find("no run of the study matches"), std::string::npos) << none;
  const std::string bare = fault_of("c5", trend + "y = \"eval.gsm8k.all.exact_match\"\n");
  EXPECT_NE(bare.find("has no baseline"), std::string::npos) << bare;
}

TEST(StudyPower, MarginsThatAreTooSmallNeedMoreSeeds) {
  const std::string text = std::string(kSmall) +
                           "[[hypotheses]]\nid = \"h\"\ntext = \"t\"\nkind = \"flat\"\ny = \"train.loss_final\"\n"
                           "x = \"parameters_total\"\nmargin = 0.03\n";
  const auto rows = study_power(plan_study(study_load(write_study("margin", text))), {}, 0.05);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(rows[0].margin_too_small());
  EXPECT_GT(rows[0].seeds_margin, 3);
  const std::string table = power_table(rows);
  EXPECT_NE(table.find(fmt::format("the margin of 0.03 cannot be shown with 3 seeds: it needs {} seeds",
                                   rows[0].seeds_margin)),
            std::string::npos)
      << table;
  EXPECT_FALSE(study_power(plan_study(study_load(write_study("margin", text))), {}, 0.001)[0].margin_too_small());
}

// A pilot with two seeds of two models: deviations 0.01 and 0.03 from their means.
TEST(StudyPower, PilotShowsTheNoise) {
  const std::string folder = test_folder();
  Json runs = Json::array();
  for (const auto& [model, name, loss] :
       {std::tuple{"a", "a1", 2.99}, {"a", "a2", 3.01}, {"b", "b1", 2.5}, {"b", "b2", 2.56}}) {
    runs.push_back(Json::object({{"name", name}, {"model", model}}));
    folder_make(path_join(folder, std::string("runs/") + name));
    records::RecordWriter out(path_join(folder, std::string("runs/") + name + "/records.jsonl"));
    out.write("train_end", Json::object({{"loss_final", loss}}));
  }
  file_write_atomic(path_join(folder, "study.json"), Json::object({{"name", "pilot"}, {"runs", runs}}).dump());
  const StudyPlan plan = plan_study(study_load(write_study("power2", std::string(kSmall) + kClaims)));
  const auto rows = study_power(plan, {folder}, 7.0);
  EXPECT_NEAR(rows[1].noise.seed, std::sqrt((2e-4 + 18e-4) / 2), 1e-9);
  EXPECT_EQ(rows[1].noise_df, 2);
  EXPECT_EQ(rows[1].noise_source, "measured: 4 runs of 2 configurations, 2 degrees of freedom");
  EXPECT_THROW(study_power(plan, {folder + "-not"}, kUnknown), Error);
}

}  // namespace
}  // namespace moebius::study
