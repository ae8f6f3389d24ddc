// A whole tiny study: run, resumed, fitted to its minutes, refused when its file or its data changed.
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "records/record.h"
#include "base/test_folder.h"
#include "kernels/isa.h"
#include "study/study_processes.h"
#include "study/study_runs.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

const std::string kTrials = "sweep = [1e-3, 4e-3]\nsweep-tokens = 512";

StudyPlan make_plan(const std::string& folder, const std::string& tokens, const std::string& seeds = "[1]",
                    const std::string& rates = kTrials) {
  return tiny_plan(folder + ".toml", "name = \"tiny\"\ntokens = " + tokens + "\nseeds = " + seeds + kTinyModel + R"(
[[models]]
name = "dense"
experts = 1
[[models]]
name = "E4"
experts = 4)" + tiny_data("0.6", "5") + R"(
[data.facts]
share = 0.4
people = 8
exposures = [4]
[train]
batch-tokens = 256
tensorboard = false
[learning-rate]
)" + rates + R"(
[evaluate]
at = [0, 1.0]
items-max = 5
)");
}

TEST(StudyRun, RunsOnceAndRefusesAnother) {
  log_set_level(LogLevel::warning);
  kernels::isa_select("auto");
  const std::string folder = test_path("study");
  StudyPlan plan = make_plan(folder, "1024");
  const StudyResult first = run_study_plan(plan, folder, MOEBIUS_PROGRAM);
  EXPECT_EQ(first.runs_done, 6);
  EXPECT_EQ(first.runs_skipped, 0);
  EXPECT_TRUE(file_exists(first.report));
  for (const PlannedRun& run : plan.runs) {
    EXPECT_GT(run.learning_rate, 0) << run.name;
    const auto records = records::read(path_join(folder, "runs/" + run.name + "/records.jsonl"), "train_end");
    EXPECT_EQ(records.size(), 1u) << run.name;
  }
  // Both generated tasks were scored, untrained and trained.
  const auto evals = records::read(path_join(folder, "runs/E4/records.jsonl"), "eval");
  int facts = 0, arithmetic = 0;
  for (const Json& eval : evals) {
    facts += eval.get_string("name", "") == "facts-recall" && eval.get_string("grade", "") == "all";
    arithmetic += eval.get_string("name", "") == "arithmetic" && eval.get_string("grade", "") == "all";
  }
  EXPECT_EQ(facts, 2);
  EXPECT_EQ(arithmetic, 2);

  double roofline = 0, wall = 0;
  for (const Json& done : records::read(path_join(folder, "records.jsonl"), "run_done")) {
    roofline += done.at("roofline_seconds").as_double();
    wall += done.at("wall_seconds").as_double();
  }
  EXPECT_GT(roofline, 0);
  EXPECT_NEAR(first.roofline_ratio(), roofline / (wall + first.idle_seconds), 1e-9);
  EXPECT_LT(first.train_seconds, first.wall_seconds);

  StudyPlan again = make_plan(folder, "1024");
  const StudyResult second = run_study_plan(again, folder, MOEBIUS_PROGRAM);
  EXPECT_EQ(second.runs_done, 0);
  EXPECT_EQ(second.runs_skipped, 6);

  StudyPlan other = make_plan(folder, "2048");
  EXPECT_THROW(run_study_plan(other, folder, MOEBIUS_PROGRAM), Error);
}

TEST(StudyRun, SideBySideTheSameBits) {
  log_set_level(LogLevel::warning);
  parallel_set_threads(2);
  std::vector<std::map<std::string, std::string>> weights(2);
  for (i64 jobs : {1, 2}) {
    const std::string folder = test_path("jobs" + std::to_string(jobs));
    StudyPlan plan = make_plan(folder, "512", "[1]", "value = 2e-3\nsource = \"a guess\"");
    plan.jobs = jobs;
    const StudyResult result = run_study_plan(plan, folder, MOEBIUS_PROGRAM);
    EXPECT_EQ(result.runs_done, 2);
    EXPECT_EQ(parallel_threads(), 2);
    for (const PlannedRun& run : plan.runs) {
      const Json end = records::read(path_join(folder, "runs/" + run.name + "/records.jsonl"), "train_end").at(0);
      weights[static_cast<std::size_t>(jobs - 1)][run.name] =
          file_read(path_join(end.at("checkpoint").as_string(), "model.safetensors")) + end.at("loss_final").dump();
    }
  }
  parallel_set_threads(0);
  EXPECT_EQ(weights[0].size(), 2u);
  EXPECT_EQ(weights[0], weights[1]);
}

// A machine that is too slow for everything still gets three seeds of what the hypotheses rest on.
TEST(StudyRun, ThreeSeedsRunInFewMinutesAndTheDecisionIsKept) {
  log_set_level(LogLevel::warning);
  kernels::isa_select("portable");
  const std::string folder = test_path("study");
  folder_remove_all(folder);
  const std::string seeds = "[1, 2, 3, 4]\nminutes = 0.02";
  const StudySpec spec = make_plan(folder, "\"200k\"", seeds, "value = 2e-3\nsource = \"a guess\"").spec;
  const StudyFiles files = prepare_data(spec, path_join(folder, "data"));
  StudyPlan plan = settle_plan(spec, 2, &files, folder, MOEBIUS_PROGRAM);
  EXPECT_LT(plan.spec.tokens, 200'000);
  EXPECT_EQ(run_study_plan(plan, folder, MOEBIUS_PROGRAM).runs_done, 6);  // two models, three seeds
  const Json study = Json::parse_file(path_join(folder, "study.json"));
  EXPECT_EQ(study.at("fitted").at("seeds").as_int(), 3);
  EXPECT_EQ(study.at("budget_tokens").as_int(), plan.spec.tokens);
  ASSERT_EQ(study.at("notes").count(), 1);
  EXPECT_NE(study.at("notes")[0].as_string().find("3 of 4 seeds"), std::string::npos);
  EXPECT_FALSE(file_exists(path_join(folder, "runs/E4-s4")));
  // The same command: nothing is timed or decided again.
  StudyPlan again = settle_plan(spec, 2, &files, folder, "/no/such/program");
  EXPECT_EQ(plan_to_json(again).dump(), plan_to_json(plan).dump());
  EXPECT_EQ(again.seconds_estimated, 0) << "all is done";
  EXPECT_EQ(run_study_plan(again, folder, MOEBIUS_PROGRAM).runs_skipped, 6);
  // More minutes, the same tokens: what was left out runs.
  StudySpec longer = spec;
  longer.minutes = 1000;
  StudyPlan more = settle_plan(longer, 2, &files, folder, MOEBIUS_PROGRAM);
  EXPECT_EQ(more.spec.tokens, plan.spec.tokens);
  const StudyResult rest = run_study_plan(more, folder, MOEBIUS_PROGRAM);
  EXPECT_EQ(rest.runs_done, 2);
  EXPECT_EQ(rest.runs_skipped, 6);
  kernels::isa_select("auto");
}

// Sources of data pass as they are: neither the folder's name nor a source's is parsed in between.
TEST(StudyRun, FoldersMayHoldColonsAndCommas) {
  log_set_level(LogLevel::warning);
  const std::string folder = test_path("a:b,c=d:1");
  folder_remove_all(folder);
  StudyPlan plan = make_plan(test_path("colons"), "512", "[1]", "value = 2e-3\nsource = \"a guess\"");
  EXPECT_EQ(run_study_plan(plan, folder, MOEBIUS_PROGRAM).runs_done, 2);
  EXPECT_TRUE(file_exists(path_join(folder, "runs/E4/checkpoint/model.safetensors")));
}

// What a run file says is what it was made from, for every shape of the shipped studies.
TEST(RunFile, ReadsBackEqual) {
  for (const std::string& name : study_names()) {
    const StudyPlan plan = plan_study(study_load(name));
    StudyFiles files;
    files.folder = "da:ta";
    files.shards = {{"a,b=1", 0.1 + 0.2, 10, 1, 40, true}};
    files.items = {"a,b.jsonl"};
    for (const PlannedRun& run : plan.runs) {
      const RunFile file = run_file_of(plan, run, files, "folder", 2);
      const std::string path = test_path("run.json");
      file_write_atomic(path, file.to_json().dump());
      const RunFile read = RunFile::read(path);
      EXPECT_EQ(read.to_json().dump(), file.to_json().dump());
      EXPECT_EQ(read.config.to_json().dump(), run.config.to_json().dump()) << run.name;
      EXPECT_EQ(read.training.sources[0].path, "da:ta/a,b=1");
      EXPECT_EQ(read.training.sources[0].weight, 0.1 + 0.2);
      EXPECT_EQ(read.evaluation.tasks[0], "da:ta/items/a,b.jsonl");
      EXPECT_EQ(read.evaluation.sources[0].path, "da:ta/a,b=1.held-out.jsonl");
    }
  }
}

// Each seed has its own problems and people; the tokenizer is that of the first seed, whose tasks are those of [data].
TEST(StudyRun, SeedsHaveTheirOwnTasksAndOneTokenizer) {
  log_set_level(LogLevel::warning);
  const std::string folder = test_path("tasks");
  folder_remove_all(folder);
  const std::string varied = path_join(folder, "varied"), fixed = path_join(folder, "fixed");
  const StudySpec spec = make_plan(folder, "512", "[3, 5]").spec;
  const StudyFiles files = prepare_data(spec, varied);
  const StudyFiles shared = prepare_data(make_plan(folder, "512", "[3, 5]\nvary = [\"init\"]").spec, fixed);
  const auto read = [](const StudyFiles& of, const std::string& file, i64 seed) {
    return file_read(path_join(of.task_folder(seed), file));
  };
  for (const char* file : {"items/arithmetic.jsonl", "items/facts-recall.jsonl", "arithmetic.bin", "facts.bin"}) {
    EXPECT_EQ(read(files, file, 3), read(shared, file, 3)) << file;
    EXPECT_NE(read(files, file, 5), read(shared, file, 5)) << file;
  }
  EXPECT_EQ(file_read(files.tokenizer()), file_read(shared.tokenizer()));
  EXPECT_EQ(files.mixture(5)[0].path, path_join(varied, "seed-5/facts"));
  EXPECT_EQ(files.mixture(5).size(), 2u);
  EXPECT_EQ(*spec.data.tasks[0].family.seed, 1);
  // Made once: nothing is written again, and a lost shard of any seed is.
  EXPECT_EQ(prepare_data(spec, varied).seeds.size(), 2u);
  file_remove(path_join(varied, "seed-5/facts.bin"));
  EXPECT_EQ(records::fields_to_json(prepare_data(spec, varied)).dump(), records::fields_to_json(files).dump());
  EXPECT_TRUE(file_exists(path_join(varied, "seed-5/facts.bin")));
  EXPECT_THROW(prepare_data(make_plan(folder, "512", "[3, 6]").spec, varied), Error);
}

// The text is trained on as it was when the study began.
TEST(StudyRun, ChangedTextIsRefused) {
  log_set_level(LogLevel::warning);
  const std::string folder = test_path("study"), text = test_path("text.txt");
  folder_remove_all(folder);
  const auto write = [&](const char* last) {
    std::string all;
    for (int i = 0; i < 300; ++i) all += "line " + std::to_string(i * i) + " of the text\n";
    file_write_atomic(text, all + last);
  };
  write("end");
  StudySpec spec = make_plan(folder, "512").spec;
  spec.data.text = {{.name = "lines", .input = {text}, .share = 0.5, .held_out_bytes = 100}};
  prepare_data(spec, path_join(folder, "data"));
  prepare_data(spec, path_join(folder, "data"));
  write("END");
  try {
    prepare_data(spec, path_join(folder, "data"));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("text.txt"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace moebius::study
