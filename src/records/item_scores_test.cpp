// Standard errors over items of two runs that answered the same items, other items, or documents of unequal length,
// against values worked out by hand.
#include "records/item_scores.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "base/test_folder.h"
#include "records/metric.h"

namespace moebius::records {
namespace {

class Items : public ::testing::Test {
 protected:
  void SetUp() override { folder_ = test_folder(); }

  // A run with the scores `acc` of the task "t"; `first`: the number of its first item.
  RunRecords run_with(const std::string& name, const std::vector<double>& acc, i64 first = 0) {
    std::string lines;
    for (std::size_t i = 0; i < acc.size(); ++i) {
      const i64 item = first + static_cast<i64>(i);
      lines += fmt::format(R"({{"step":9,"task":"t","index":{},"id":"i{}","grade":"{}","prompt":"p{}","acc":{}}})", i,
                           item, i % 2 == 0 ? "even" : "odd", item, acc[i]) +
               "\n";
    }
    return run_of(name, items_file_name("t", false), lines,
                  Json::object({{"name", "t"}, {"grade", "all"}, {"acc", mean_of(acc)}}), "task");
  }

  // Documents with these nats and tokens.
  RunRecords run_on_text(const std::string& name, const std::vector<double>& nats, const std::vector<double>& tokens) {
    std::string lines;
    double sum = 0, size = 0;
    for (std::size_t i = 0; i < nats.size(); ++i) {
      lines += fmt::format(R"({{"step":9,"source":"t","index":{},"tokens":{},"bytes":{},"loss_sum":{}}})", i, tokens[i],
                           3 * tokens[i], nats[i]) +
               "\n";
      sum += nats[i];
      size += tokens[i];
    }
    return run_of(name, items_file_name("t", true), lines,
                  Json::object({{"name", "t"}, {"source", "all"}, {"loss", sum / size}}), "loss");
  }

  std::string folder_;

 private:
  RunRecords run_of(const std::string& name, const std::string& file, const std::string& lines, const Json& fields,
                    const std::string& kind) {
    RunRecords run;
    run.name = name;
    run.path = folder_ + "/" + name + "/records.jsonl";
    run.status = RunStatus::done;
    run.train_end = Json::object({{"tokens", 10}});
    run.evals.push_back({.name = "t", .part = "all", .kind = kind, .skill = "", .tokens = 10, .fields = fields});
    folder_make(folder_ + "/" + name + "/items");
    AppendFile(folder_ + "/" + name + "/items/" + file).append(lines);
    return run;
  }
};

double error_of(const RunRecords& a, const RunRecords& b, const std::string& path) {
  return PairedItems({&a, &b}, {0, 1}, {path}).standard_error({-1, 1});
}

TEST_F(Items, SharedItemsArePaired) {
  const RunRecords a = run_with("a", {0, 1, 0, 1}), b = run_with("b", {0, 1, 1, 1});
  // Differences 0, 0, 1, 0: standard deviation 0.5 over 4 items.
  EXPECT_NEAR(error_of(a, b, "eval.t.all.acc"), 0.25, 1e-12);
  const double alone = PairedItems({&a}, {0}, {"eval.t.all.acc"}).standard_error({1});
  EXPECT_NEAR(alone, std::sqrt(1.0 / 3) / 2, 1e-12);
  // Equal answers: no noise in the difference.
  EXPECT_NEAR(error_of(a, run_with("c", {0, 1, 0, 1}), "eval.t.all.acc"), 0, 1e-12);
}

TEST_F(Items, OtherItemsAreNotPaired) {
  const RunRecords a = run_with("a", {0, 1, 0, 1}), b = run_with("b", {0, 1, 1, 1}, 100);
  const double se_a = std::sqrt(1.0 / 3) / 2, se_b = 0.25;
  EXPECT_NEAR(error_of(a, b, "eval.t.all.acc"), std::hypot(se_a, se_b), 0.03);  // n of both in one correction
  // Seeds of one configuration with other items each: their spread has the items' noise in it.
  const RunRecords c = run_with("c", {1, 1, 0, 1}, 100), d = run_with("d", {0, 0, 1, 1});
  EXPECT_EQ(PairedItems({&a, &b, &d, &c}, {0, 0, 1, 1}, {"eval.t.all.acc"}).standard_error({-0.5, -0.5, 0.5, 0.5}), 0);
  // Seeds that share their items do not make their noise smaller.
  const RunRecords twin = run_with("twin", {0, 1, 0, 1});
  EXPECT_NEAR(PairedItems({&a, &twin}, {0, 0}, {"eval.t.all.acc"}).standard_error({0.5, 0.5}), se_a, 1e-12);
}

TEST_F(Items, LogarithmsAndDocuments) {
  const RunRecords a = run_with("a", {1, 2, 3, 2});
  const double plain = PairedItems({&a}, {0}, {"eval.t.all.acc"}).standard_error({1});
  EXPECT_NEAR(PairedItems({&a}, {0}, {"ln eval.t.all.acc"}).standard_error({1}), plain / 2, 1e-12);
  EXPECT_NEAR(metric_of(a, "ln eval.t.all.acc").value, std::log(2.0), 1e-12);
  // Loss 12/10; residuals 4 - 1.2 * 2 = 1.6 and -1.6 nats over a mean of 5 tokens.
  const RunRecords text = run_on_text("text", {4, 8}, {2, 8});
  const auto scores = item_scores(text, "eval.t.all.loss");
  ASSERT_TRUE(scores);
  EXPECT_NEAR(scores->influence[0], 1.6 / 5, 1e-12);
  EXPECT_NEAR(scores->influence[1], -1.6 / 5, 1e-12);
}

TEST_F(Items, RecordsOfAnotherEvaluationAreNotUsed) {
  RunRecords a = run_with("a", {0, 1, 0, 1});
  a.evals[0].fields.set("acc", 0.75);
  EXPECT_FALSE(item_scores(a, "eval.t.all.acc"));
  EXPECT_TRUE(std::isnan(PairedItems({&a}, {0}, {"eval.t.all.acc"}).standard_error({1})));
  EXPECT_FALSE(item_scores(a, "train.loss_final"));
  a.path = folder_ + "/none/records.jsonl";
  EXPECT_FALSE(item_scores(a, "eval.t.all.acc"));
}

}  // namespace
}  // namespace moebius::records
