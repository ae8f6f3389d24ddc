// Runs' and studies' folders as a study, a kill or damage leaves them: what is read, and which faults are named where.
// The files are written here by hand, as docs/formats.md says. What laws and pages make of runs is tested in their
// folders.
#include "records/run_records.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/test_folder.h"

namespace moebius::records {
namespace {

class RunFolders : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = test_folder(); }
  void run_write(const std::string& name, const std::string& lines) {
    folder_make(path_join(folder_, "runs/" + name));
    AppendFile(records(name)).append(lines);
  }
  std::string records(const std::string& name) const { return path_join(folder_, "runs/" + name + "/records.jsonl"); }
  void study_write(const std::string& text) { file_write_atomic(path_join(folder_, "study.json"), text); }
  // The error's text.
  std::string fault() const {
    try {
      study_read(folder_);
    } catch (const Error& e) {
      return e.what();
    }
    return "none";
  }
  std::string folder_;
};

const char* kStart =
    R"({"type":"run","time":"2026-01-01T00:00:00Z","tokens_total":1000,"config":{"d_model":64,"experts":32,"top_k":2}})"
    "\n";
const char* kEnd = R"({"type":"train_end","time":"2026-01-01T00:01:00Z","tokens":990,"loss_final":2.5,"seconds":60})"
                   "\n";

std::string eval_line(const std::string& rest) {
  return R"({"type":"eval","name":"facts","kind":"task",)" + rest + "}\n";
}

TEST_F(RunFolders, EveryStatus) {
  run_write("done", std::string(kStart) + R"({"type":"step","step":5,"loss":3})" + "\n" + kEnd);
  run_write("killed", std::string(kStart) + R"({"type":"step","step":5,"loss":3})" + "\n" + R"({"type":"train_e)");
  run_write("broken", std::string(kStart) + "{\"type\": oops}\n" + kEnd);
  run_write("typed", std::string(kStart) + R"({"type":"step","loss":"low"})" + "\n");
  run_write("empty", "");
  run_write("left", kStart);
  study_write(
      R"({"name":"s","runs":[{"name":"done","model":"E32 k2","seed":1},{"name":"killed"},{"name":"broken"},{"name":"typed"},)"
      R"({"name":"empty"},{"name":"absent"},{"name":"left","left_out":true}]})");
  const StudyRuns study = study_read(folder_);
  const std::vector<RunRecords>& runs = study.runs;
  EXPECT_EQ(study.runs_left_out, 1);
  ASSERT_EQ(runs.size(), 6u);
  EXPECT_EQ(runs[0].status, RunStatus::done);
  EXPECT_EQ(runs[0].seconds, 60);
  EXPECT_EQ(runs[0].time_last, "2026-01-01T00:01:00Z");
  EXPECT_EQ(runs[0].model, "E32 k2");
  EXPECT_EQ(runs[1].status, RunStatus::unfinished);  // half a line at the end is what a kill leaves
  ASSERT_EQ(runs[1].steps.size(), 1u);
  EXPECT_EQ(runs[1].steps[0].loss, 3);
  EXPECT_EQ(runs[1].model, "d64 E32 k2");
  EXPECT_EQ(runs[2].status, RunStatus::broken);
  EXPECT_EQ(runs[2].problem.where, records("broken") + ", line 2");
  EXPECT_EQ(runs[3].status, RunStatus::broken);
  EXPECT_EQ(runs[3].problem.where, records("typed") + ", line 2");
  EXPECT_EQ(runs[3].problem.wanted, "a finite number, or null");
  EXPECT_EQ(runs[4].status, RunStatus::missing);
  EXPECT_EQ(runs[5].status, RunStatus::missing);
}

TEST_F(RunFolders, TheRunRecordWinsOverTheStudy) {
  run_write("a", R"({"type":"run","tpp":20,"learning_rate":null,"isa":"avx2","config":{"experts":0}})"
                 "\n"
                 R"({"type":"run","tpp":21,"learning_rate":null,"isa":"avx2","config":{"experts":0}})"
                 "\n");
  study_write(R"({"name":"s","runs":[{"name":"a","tpp":19,"learning_rate":0.003,"seed":4}]})");
  const RunRecords run = study_read(folder_).runs[0];
  EXPECT_EQ(run.number("tpp"), 21);  // the last of a resumed run
  EXPECT_EQ(run.number("learning_rate"), 0.003);
  EXPECT_EQ(run.number("seed"), 4);
  EXPECT_EQ(run.text("isa"), "avx2");
  EXPECT_TRUE(run.dense());
  EXPECT_NE(run.number("isa"), run.number("isa"));
  EXPECT_NE(run.number("absent"), run.number("absent"));
}

// Text in the place of a number is a fault with its place, not a number that was not measured.
TEST_F(RunFolders, TextInThePlaceOfANumberIsNamed) {
  const std::pair<const char*, std::string> lines[] = {
      {"tokens_total", R"({"type":"run","tokens_total":"1000"})"
                       "\n"},
      {"top_k", R"({"type":"run","config":{"top_k":"2"}})"
                "\n"},
      {"loss_final", R"({"type":"train_end","loss_final":"2.5"})"
                     "\n"},
      {"acc", eval_line(R"("acc":"0.5")")},
      {"acc_se", eval_line(R"("acc":0.5,"acc_se":"0.1")")},
      {"chance", eval_line(R"("acc":0.5,"chance":[0.1])")},
      {"pass", eval_line(R"("pass":"1","measures":{"pass":{"better":"higher","unit":"share of items"}})")}};
  for (const auto& [key, line] : lines) {
    run_write(key, kStart + line);
    const RunRecords run = run_read(path_join(folder_, std::string("runs/") + key));
    EXPECT_EQ(run.status, RunStatus::broken) << key;
    EXPECT_EQ(run.problem.where, records(key) + ", line 2");
    EXPECT_NE(run.problem.what.find(fmt::format("'{}'", key)), std::string::npos) << run.problem.what;
  }
  run_write("null", kStart + eval_line(R"("acc":0.5,"acc_se":null,"chance":null)") + kEnd);
  EXPECT_EQ(run_read(path_join(folder_, "runs/null")).status, RunStatus::done);
  study_write(R"({"name":"s","runs":[{"name":"a"},{"name":"b","tpp":"20"}]})");
  EXPECT_NE(fault().find("study.json, run 2: key 'tpp'"), std::string::npos) << fault();
}

TEST_F(RunFolders, FinalEvaluationsAreOfTheEnd) {
  const std::string curve = eval_line(R"("tokens":500,"acc":0.1)") + eval_line(R"("tokens":990,"acc":0.4)") +
                            eval_line(R"("tokens":990,"acc":0.5)") +
                            eval_line(R"("grade":"2 steps","tokens":500,"acc":0.2)");
  run_write("done", kStart + curve + kEnd);
  run_write("killed", kStart + curve);
  run_write("by_hand", kStart + eval_line(R"("acc":0.7)") + kEnd);  // `moebius eval` knows no tokens
  study_write(R"({"name":"s","runs":[{"name":"done"},{"name":"killed"},{"name":"by_hand"}]})");
  const std::vector<RunRecords> runs = study_read(folder_).runs;
  EXPECT_EQ(runs[0].eval_final("facts.all")->fields.get_double("acc", 0), 0.5);
  EXPECT_EQ(runs[0].eval_final("facts.2 steps"), nullptr);  // of mid-training only
  EXPECT_EQ(runs[0].eval_final("other.all"), nullptr);
  EXPECT_EQ(runs[1].eval_final("facts.2 steps")->tokens, 500);
  EXPECT_EQ(runs[2].eval_final("facts.all")->fields.get_double("acc", 0), 0.7);
}

TEST_F(RunFolders, RolesAreChosen) {
  study_write(
      R"({"name":"s","runs":[{"name":"a"},{"name":"b","role":"sweep"},{"name":"c","role":"trunk"},{"name":"d","role":"main"}]})");
  EXPECT_EQ(study_read(folder_).runs.size(), 2u);
  EXPECT_EQ(study_read(folder_, {RunRole::main, RunRole::sweep}).runs.size(), 3u);
  EXPECT_EQ(study_read(folder_, {RunRole::trunk}).runs[0].name, "c");
}

TEST_F(RunFolders, OneRunAlone) {
  run_write("alone", std::string(kStart) + R"({"type":"roof","isa":"avx2"})" + "\n" + kEnd);
  const std::string folder = path_join(folder_, "runs/alone/");
  EXPECT_FALSE(is_study_folder(folder));
  EXPECT_TRUE(is_run_folder(folder));
  const RunRecords run = run_read(folder);
  EXPECT_EQ(run.name, "alone");
  EXPECT_EQ(run.status, RunStatus::done);
  ASSERT_EQ(run.others.size(), 1u);
  EXPECT_EQ(run.others[0].get_string("isa", ""), "avx2");
}

TEST_F(RunFolders, FaultsOfAStudyNameTheRun) {
  EXPECT_NE(fault().find("the folder has no study.json"), std::string::npos) << fault();
  for (const auto& [text, part] : std::vector<std::pair<std::string, std::string>>{
           {R"({"runs":[]})", "'name' is missing"},
           {R"({"name":"s"})", "'runs' is missing"},
           {R"({"name":"s","runs":{}})", "an array"},
           {R"({"name":"s","runs":[{"name":"a"},{"model":"b"}]})", "study.json, run 2: key 'name' is missing"},
           {R"({"name":"s","runs":[{"name":"../a"}]})", "run 1: '../a' is not a valid run name"},
           {R"({"name":"s","runs":[{"name":"a"},{"name":"a"}]})", "run 2: 'a' is not a valid run name"},
           {R"({"name":"s","runs":[{"name":"a","role":"pilot"}]})", "unknown role 'pilot'"},
           {R"({"name":"s","runs":[3]})", "run 1"},
           {R"({"name":"s",)", "not valid JSON"}}) {
    study_write(text);
    EXPECT_NE(fault().find(part), std::string::npos) << text << ": " << fault();
    EXPECT_NE(fault().find("study.json"), std::string::npos) << text << ": " << fault();
  }
}

}  // namespace
}  // namespace moebius::records
