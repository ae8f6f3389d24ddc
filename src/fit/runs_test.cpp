// CSV files and study folders as runs: what is read, what is derived, which faults are named where; random damage.
#include "fit/runs.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "records/record.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "fit/csv.h"

namespace moebius::fit {
namespace {

Runs runs_of(const std::string& text, const ColumnMap& columns = {}) {
  Runs runs;
  runs_add_csv_text(runs, text, "t.csv", columns);
  return runs;
}

// The whole message of the Error that `call` throws; empty when it throws none.
template <typename Call>
std::string fault(const Call& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Csv, FieldsQuotesAndLineEnds) {
  const CsvTable table = csv_parse(
      "\xEF\xBB\xBF"
      "a, b ,\"c,d\"\r\n1,\"x\"\"y\",\"two\nlines\"\r\n\r\n3,,",
      "t.csv");
  EXPECT_EQ(table.header, (std::vector<std::string>{"a", "b", "c,d"}));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0], (std::vector<std::string>{"1", "x\"y", "two\nlines"}));
  EXPECT_EQ(table.rows[1], (std::vector<std::string>{"3", "", ""}));
  EXPECT_EQ(table.lines, (std::vector<i64>{2, 5}));
}

TEST(Csv, FaultsNameTheLine) {
  EXPECT_TRUE(has(fault([] { csv_parse("a,b\n1,2\n1,2,3\n", "t.csv"); }), "t.csv, line 3"));
  EXPECT_TRUE(has(fault([] { csv_parse("a,b\n1,\"2\n3\n", "t.csv"); }), "line 2"));
  EXPECT_TRUE(has(fault([] { csv_parse("a,a\n1,2\n", "t.csv"); }), "column 'a' appears twice"));
  EXPECT_TRUE(has(fault([] { csv_parse("a,b\n\"1\"x,2\n", "t.csv"); }), "closing quote"));
  EXPECT_TRUE(has(fault([] { csv_parse("a;b\n1;2;3\n", "t.csv"); }), "separated by semicolons"));
  EXPECT_TRUE(has(fault([] { csv_parse(std::string("a\n1\0\n", 5), "t.csv"); }), "NUL"));
  EXPECT_TRUE(has(fault([] { csv_parse("", "t.csv"); }), "empty"));
  EXPECT_TRUE(has(fault([] { csv_parse("a,b\r1,2\r1,2,3\r", "t.csv"); }), "t.csv, line 3"));
}

TEST(Csv, AnyLineEnd) {
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const std::string e = end;
    for (const std::string& last : {e, std::string()}) {
      const CsvTable table = csv_parse(e + "a,b" + e + "1,\"x" + e + "y\"" + e + e + "3,z" + last, "t.csv");
      EXPECT_EQ(table.header, (std::vector<std::string>{"a", "b"}));
      ASSERT_EQ(table.rows.size(), 2u);
      EXPECT_EQ(table.rows[0], (std::vector<std::string>{"1", "x" + e + "y"}));
      EXPECT_EQ(table.rows[1], (std::vector<std::string>{"3", "z"}));
      EXPECT_EQ(table.lines, (std::vector<i64>{3, 6}));
    }
  }
}

TEST(Runs, FilesOfOtherKindsAreNamed) {
  const auto of = [](const std::string& content) {
    const std::string path = test_path("other_kind.csv");
    file_write_atomic(path, content);
    return fault([&] {
      Runs runs;
      runs_add(runs, path, {});
    });
  };
  using namespace std::string_literals;
  EXPECT_TRUE(has(of("\x1f\x8b\x08\0\0"s), "the file is a gzip archive"));
  EXPECT_TRUE(has(of("\x1f\x8b\x08\0\0"s), "gzip -d"));
  EXPECT_TRUE(has(of("\xff\xfel\0o\0s\0s\0\n\0"s), "text in UTF-16"));
  EXPECT_TRUE(has(of("l\0o\0s\0s\0\n\0"s), "text in UTF-16"));
  EXPECT_TRUE(has(of("PAR1\x15\0\0"s), "save the table as CSV"));
}

TEST(Runs, APathGivenTwiceIsRefused) {
  const std::string folder = test_path("twice");
  folder_make(folder);
  const std::string path = path_join(folder, "a.csv"), dotted = path_join(folder, "./a.csv");
  file_write_atomic(path, "loss\n1\n");
  refuse_repeated({path, folder});
  EXPECT_TRUE(has(fault([&] { refuse_repeated({path, path}); }), "given twice"));
  EXPECT_TRUE(has(fault([&] { refuse_repeated({path, dotted}); }), "the same as " + path));
}

// Krajewski's N is without embedding and head; Chinchilla's is with them.
// Spreadsheets of many countries write semicolons; exports of others tabs.
TEST(Csv, SemicolonsAndTabs) {
  for (const char* text : {"a;b\n1;\"x;y\"\n", "\n\r\na\tb\n1\tx;y\n", "a,\"b;;;\"\n1,x;y\n"}) {
    const CsvTable table = csv_parse(text, "t.csv");
    ASSERT_EQ(table.header.size(), 2u) << text;
    EXPECT_EQ(table.rows.at(0), (std::vector<std::string>{"1", "x;y"})) << text;
  }
  Runs runs;
  runs_add_csv_text(runs, "parameters_total;tokens;loss\n1e6;2e7;3.5\n", "t.csv", {});
  EXPECT_EQ(runs.points.at(0).loss, 3.5);
  // A decimal comma is no number, and a separator that is not known shows the header.
  EXPECT_TRUE(
      has(fault([&] { runs_add_csv_text(runs, "tokens;loss\n1;3,5\n", "t.csv", {}); }), "line 2, column 'loss'"));
  const std::string bars = fault([&] { runs_add_csv_text(runs, "tokens|loss\n1|3\n", "t.csv", {}); });
  EXPECT_TRUE(has(bars, "none of the known columns") && has(bars, "tokens|loss")) << bars;
}

TEST(Runs, FineGrainedTakesTheEmbeddingOff) {
  const std::string header = "parameters_total,tokens,experts,granularity,loss,parameters_embedding\n";
  const Runs runs = runs_of(header + "1e8,2e9,64,1,3,2e7\n2e8,2e9,64,1,2.9,3e7\n");
  const Runs fine = runs_usable(runs, Law::fine_grained);
  EXPECT_EQ(runs_for_law(fine, Law::fine_grained)[0].parameters_total, 8e7);
  EXPECT_EQ(runs_usable(fine, Law::fine_grained).points[1].parameters_total, 1.7e8);  // once
  EXPECT_TRUE(has(fine.notes.back(), "without parameters_embedding"));
  EXPECT_EQ(runs_for_law(runs_usable(runs, Law::chinchilla), Law::chinchilla)[0].parameters_total, 1e8);
  const Runs partly = runs_usable(runs_of(header + "1e8,2e9,64,1,3,2e7\n2e8,2e9,64,1,2.9,\n"), Law::fine_grained);
  EXPECT_EQ(partly.points[0].parameters_total, 1e8);
  EXPECT_TRUE(has(partly.notes.back(), "only 1 of 2 runs"));
  EXPECT_TRUE(has(fault([&] { runs_usable(runs_of(header + "1e8,2e9,64,1,3,1e8\n"), Law::fine_grained); }),
                  "not less than parameters_total"));
}

TEST(Csv, NumbersAreReadWhole) {
  EXPECT_EQ(csv_number(" +1.5e6 ", "t"), 1.5e6);
  EXPECT_TRUE(std::isnan(csv_number("  ", "t")));
  for (const char* wrong : {"1.5x", "12 3", "0x10", "--1", "1,5", "1e999"})
    EXPECT_THROW(csv_number(wrong, "t"), Error) << wrong;
}

TEST(Runs, ColumnsAreFoundMappedAndDerived) {
  const Runs runs = runs_of("loss,Model Size,Training FLOP\n3,1e8,6e17\n");
  ASSERT_EQ(runs.count(), 1);
  EXPECT_EQ(runs.points[0].parameters_total, 1e8);
  EXPECT_EQ(runs.points[0].tokens, 1e9);  // C/(6 N)
  ASSERT_EQ(runs.notes.size(), 1u);
  const Runs mapped = runs_of("n,d,final\n1e8,2e9,3.5\n", column_map({"parameters_total=n", "tokens=d", "loss=final"}));
  EXPECT_EQ(mapped.points[0].loss, 3.5);
  EXPECT_EQ(mapped.points[0].tokens, 2e9);
  const Runs leverage = runs_of("flops,experts,top_k,granularity,leverage\n1e20,64,4,12,5\n");
  EXPECT_TRUE(leverage.measures_leverage);
  EXPECT_EQ(leverage.points[0].loss, 5);
  EXPECT_TRUE(has(fault([&] { runs_for_law(leverage, Law::chinchilla); }), "efficiency leverage"));
  // Active parameters count for the tokens when they are known.
  EXPECT_EQ(runs_of("loss,parameters_total,parameters_active,flops\n3,1e9,1e8,6e17\n").points[0].tokens, 1e9);
}

TEST(Runs, FaultsNameFileLineAndColumn) {
  const std::string nan = fault([] { runs_of("parameters_total,tokens,loss\n1e8,1e9,3\n1e8,1e9,nan\n"); });
  EXPECT_TRUE(has(nan, "t.csv, line 3, column 'loss'")) << nan;
  EXPECT_TRUE(has(nan, "not finite"));
  EXPECT_TRUE(has(fault([] { runs_of("tokens,loss\n1e9,inf\n"); }), "not finite"));
  EXPECT_TRUE(has(fault([] { runs_of("tokens,loss\n-1,3\n"); }), "not positive"));
  EXPECT_TRUE(has(fault([] { runs_of("tokens,loss\n0,3\n"); }), "not positive"));
  EXPECT_TRUE(has(fault([] { runs_of("tokens,loss\n1e9,\n"); }), "the loss is missing"));
  EXPECT_TRUE(has(fault([] { runs_of("experts,top_k,loss\n8,9,3\n"); }), "line 2: top_k is not between"));
  EXPECT_TRUE(has(fault([] { runs_of("experts,top_k,loss\n8,0,3\n"); }), "at most 8"));
  EXPECT_TRUE(has(fault([] { runs_of("experts,top_k,loss\n1.5,2,3\n"); }), "column 'experts': experts is not a whole"));
  EXPECT_TRUE(has(fault([] { runs_of("tokens,loss\n"); }), "no runs"));
  EXPECT_TRUE(
      has(fault([] { runs_of("tokens,loss\n1,2\n", column_map({"tokens=tokenz"})); }), "did you mean 'tokens'"));
  EXPECT_TRUE(has(fault([] { column_map({"losss=a"}); }), "is not a column mapping"));
  EXPECT_TRUE(has(fault([] { column_map({"loss=a", "loss=b"}); }), "twice"));
  const Runs lacking = runs_of("parameters_total,loss\n1e8,3\n");
  EXPECT_TRUE(has(fault([&] { runs_for_law(lacking, Law::chinchilla); }), "--column tokens=NAME"));
  EXPECT_EQ(runs_lack(lacking, Law::chinchilla), "tokens");
}

TEST(Runs, DenseRowsNeedNoTopK) {
  const Runs runs = runs_of("parameters_total,tokens,experts,top_k,loss\n1e8,1e9,0,,3\n1e8,1e9,8,2,2.9\n");
  EXPECT_EQ(runs_lack(runs, Law::abnar), "");
  EXPECT_EQ(point_density(runs.points[0]), 1);
  EXPECT_EQ(point_density(runs.points[1]), 0.25);
}

TEST(Runs, FineGrainedLeavesOutDenseModelsWithoutGranularity) {
  const Runs runs = runs_of("parameters_total,tokens,experts,granularity,loss\n1e8,1e9,1,,3\n1e8,1e9,64,4,2.9\n");
  EXPECT_EQ(runs_lack(runs, Law::fine_grained), "");
  EXPECT_EQ(runs_usable(runs, Law::fine_grained).count(), 1);
  EXPECT_EQ(runs_usable(runs, Law::chinchilla).count(), 2);
  const Runs moe = runs_of("parameters_total,tokens,experts,granularity,loss\n1e8,1e9,8,,3\n1e8,1e9,64,4,2.9\n");
  EXPECT_EQ(runs_lack(moe, Law::fine_grained), "granularity");
}

TEST(Runs, HighestLossesAreDropped) {
  const Runs runs = runs_of("tokens,loss\n1,3\n2,5\n3,4\n4,5\n");
  EXPECT_EQ(runs_without_highest_loss(runs, 2), (std::vector<i64>{0, 2}));
  EXPECT_EQ(runs_without_highest_loss(runs, 9), (std::vector<i64>{}));
}

TEST(Runs, WrittenAndReadAgainAreTheSame) {
  const Runs runs = synthetic_runs(published_fit("ludziejewski-2025"), 50, 0.01, 3);
  const Runs again = runs_of(runs_to_csv(runs));
  ASSERT_EQ(again.count(), runs.count());
  EXPECT_EQ(again.names, runs.names);
  for (std::size_t i = 0; i < 50; ++i) {
    for (const char* column :
         {"parameters_total", "parameters_active", "tokens", "flops", "experts", "top_k", "granularity", "loss"}) {
      ASSERT_EQ(point_number(again.points[i], column), point_number(runs.points[i], column)) << column;
    }
  }
}

class StudyFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = test_folder();
    folder_make(path_join(folder_, "runs"));
  }
  void write_run(const std::string& name, bool finished, double loss, i64 shared = 0) {
    const std::string folder = path_join(path_join(folder_, "runs"), name);
    folder_make(folder);
    records::RecordWriter writer(path_join(folder, "records.jsonl"));
    writer.write("run", Json::object({{"parameters_total", 4000000},
                                      {"parameters_active", 1000000},
                                      {"tokens_total", 20000000},
                                      {"flops_per_token_megatron", 7e6},
                                      {"config", Json::object({{"experts", 8},
                                                               {"top_k", 2},
                                                               {"d_model", 64},
                                                               {"expert_width", 128},
                                                               {"vocab", 100},
                                                               {"shared_experts", shared}})}}));
    writer.write(
        "eval",
        Json::object({{"kind", "loss"}, {"name", "heldout"}, {"source", "all"}, {"tokens", 10000000}, {"loss", 9.0}}));
    writer.write(
        "eval",
        Json::object(
            {{"kind", "loss"}, {"name", "heldout"}, {"source", "all"}, {"tokens", 20000000}, {"loss", loss + 1}}));
    if (finished) writer.write("train_end", Json::object({{"tokens", 20000000}, {"loss_final", loss}}));
  }
  void write_study(const std::vector<std::string>& names) {
    Json runs = Json::array();
    for (const std::string& name : names) {
      runs.push_back(Json::object({{"name", name}, {"role", name == "sweep" ? "sweep" : "main"}}));
    }
    file_write_atomic(path_join(folder_, "study.json"), Json::object({{"name", "s"}, {"runs", runs}}).dump());
  }
  std::string folder_;
};

// 2507.17702: A = (Ea + Es)/(E + Es).
TEST_F(StudyFolder, SharedExpertsCountInTheActivationRatio) {
  write_run("a", true, 3.5, 0);
  write_run("b", true, 3.4, 2);
  write_study({"a", "b"});
  Runs runs;
  runs_add(runs, folder_, {});
  ASSERT_EQ(runs.count(), 2);
  EXPECT_DOUBLE_EQ(point_density(runs.points[0]), 2.0 / 8);
  EXPECT_DOUBLE_EQ(point_density(runs.points[1]), 4.0 / 10);
  EXPECT_EQ(runs.points[1].experts, 8);  // routed
  EXPECT_EQ(runs.points[1].top_k, 2);
  // The law sees the ratio: a point that counts them in both columns, as papers print them, has the same leverage.
  const std::vector<double>& ling = published_default(Law::leverage).values;
  LawPoint counted = runs.points[1];
  counted.experts = 10, counted.top_k = 4, counted.experts_shared = kMissing;
  EXPECT_DOUBLE_EQ(law_value(Law::leverage, ling, runs.points[1]), law_value(Law::leverage, ling, counted));
  EXPECT_NE(law_value(Law::leverage, ling, runs.points[1]), law_value(Law::leverage, ling, runs.points[0]));
  // Written and read back.
  Runs again;
  runs_add_csv_text(again, runs_to_csv(runs), "again", {});
  EXPECT_EQ(point_density(again.points[1]), point_density(runs.points[1]));
}

TEST_F(StudyFolder, FinishedMainRunsAreRead) {
  write_run("a", true, 3.5);
  write_run("b", false, 3.4);
  write_run("sweep", true, 3.3);
  write_study({"a", "b", "missing", "sweep"});
  Runs runs;
  runs_add(runs, folder_, {});
  ASSERT_EQ(runs.count(), 1);
  const LawPoint& p = runs.points[0];
  EXPECT_EQ(runs.names[0], "a");
  EXPECT_EQ(p.parameters_total, 4e6);
  EXPECT_EQ(p.parameters_active, 1e6);
  EXPECT_EQ(p.tokens, 2e7);
  EXPECT_EQ(p.flops, 1.4e14);
  EXPECT_EQ(p.experts, 8);
  EXPECT_EQ(p.top_k, 2);
  EXPECT_EQ(p.granularity, 2);  // 4 d / expert width
  EXPECT_EQ(runs_for_law(runs, Law::fine_grained)[0].granularity, 2);
  EXPECT_EQ(runs_usable(runs, Law::fine_grained).points[0].parameters_total,
            4e6 - 2 * 64 * 100);  // without embedding and head
  EXPECT_TRUE(has(fault([&] { runs_for_law(runs, Law::leverage); }), "C_dense/C_moe"));
  EXPECT_EQ(p.loss, 3.5);
  Runs held_out;
  runs_add(held_out, folder_, column_map({"loss=heldout.all"}));
  EXPECT_EQ(held_out.points[0].loss, 4.5);
  EXPECT_TRUE(has(fault([&] { runs_add(held_out, folder_, column_map({"loss=held.all"})); }), "held.all"));
  Runs single;
  runs_add(single, path_join(folder_, "runs/a"), {});
  EXPECT_EQ(single.points[0].loss, 3.5);
}

TEST_F(StudyFolder, BrokenStudiesAreErrors) {
  Runs runs;
  EXPECT_TRUE(has(fault([&] { runs_add(runs, folder_, {}); }), "neither study.json nor records.jsonl"));
  file_write_atomic(path_join(folder_, "study.json"), R"({"name": "s"})");
  EXPECT_TRUE(has(fault([&] { runs_add(runs, folder_, {}); }), "'runs' is missing"));
  write_study({"../a"});
  EXPECT_TRUE(has(fault([&] { runs_add(runs, folder_, {}); }), "not a valid run name"));
  write_run("nan", true, std::nan(""));
  write_study({"nan"});
  EXPECT_TRUE(has(fault([&] { runs_add(runs, folder_, {}); }), "loss_final"));
}

// Random damage gives runs or an Error, never a crash; the same inputs in every test run.
TEST(RunsFuzz, DamagedTables) {
  Rng rng(5, RngStream::test);
  const std::string whole = runs_to_csv(synthetic_runs(published_default(Law::abnar), 6, 0.01, 1));
  int read = 0, refused = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text = whole;
    for (u64 i = 0, n = 1 + rng.next_below(5); i < n && !text.empty(); ++i) {
      const std::size_t at = rng.next_below(text.size());
      switch (rng.next_below(5)) {
        case 0: text[at] = static_cast<char>(rng.next_below(256)); break;
        case 1: text.erase(at, 1 + rng.next_below(20)); break;
        case 2: text.insert(at, text.substr(rng.next_below(text.size()), rng.next_below(30))); break;
        case 3: text[at] = ",\"\n\r-e."[rng.next_below(7)]; break;
        default: text.resize(at); break;
      }
    }
    try {
      const Runs runs = runs_of(text);
      for (const LawPoint& p : runs.points) {
        ASSERT_TRUE(std::isnan(p.loss) || p.loss > 0);
        ASSERT_FALSE(std::isinf(p.tokens));
      }
      ++read;
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace moebius::fit
