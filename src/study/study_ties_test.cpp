// Expressions of a model's keys.
#include "study/study_ties.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_folder.h"
#include "study/test_support.h"

namespace moebius::study {
namespace {

i64 value(const std::string& text) {
  return tie_evaluate(
      text,
      [](const std::string& key) -> i64 {
        if (key == "top-k") return 4;
        if (key == "experts") return 32;
        throw Error({.what = "no key " + key});
      },
      "a test");
}

std::string refusal_of(const std::string& text) {
  try {
    value(text);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(StudyTies, IntegerArithmetic) {
  EXPECT_EQ(value("1024 / top-k"), 256);
  EXPECT_EQ(value("2 + 3*4"), 14);
  EXPECT_EQ(value("(2 + 3) * 4"), 20);
  EXPECT_EQ(value("10 - 4 - 3"), 3);
  EXPECT_EQ(value("experts-1"), 31);  // a hyphen before a digit is a minus
  EXPECT_EQ(value("experts - top-k"), 28);
  EXPECT_EQ(value("3 / 2 * top-k"), 6);  // fractions are exact in between
  EXPECT_EQ(value("-(2 - 5)"), 3);
}

TEST(StudyTies, FaultsAreErrors) {
  EXPECT_NE(refusal_of("1023 / top-k").find("'1023 / top-k' is not a whole number"), std::string::npos);
  EXPECT_NE(refusal_of("1 / (top-k - 4)").find("division by zero"), std::string::npos);
  EXPECT_NE(refusal_of("9223372036854775807 * 2").find("too large"), std::string::npos);
  EXPECT_NE(refusal_of("99999999999999999999").find("too large"), std::string::npos);
  EXPECT_NE(refusal_of("topk").find("no key topk"), std::string::npos);
  for (const char* text : {"", "1 +", "(1", "1)", "1 2", "2 ** 3", "top-k &", "1.5"}) {
    EXPECT_NE(refusal_of(text), "") << text;
  }
  EXPECT_NE(refusal_of(std::string(100000, '(')).find("too many parentheses"), std::string::npos);
  EXPECT_NE(refusal_of(std::string(100000, '-') + "1").find("too many parentheses"), std::string::npos);
}

StudyPlan plan_of(const std::string& model, const std::string& models) {
  return tiny_plan(test_path("ties.toml"),
                   "name = \"ties\"\ntokens = 1024\n[model]\nd-model = 32\nlayers = 2\n"
                   "heads = 2\n" +
                       model + models + tiny_data("1.0", "5") +
                       "[learning-rate]\nvalue = 1e-3\nsource = \"a guess\"\n");
}

// Experts per token at equal active parameters.
TEST(StudyTies, OfAGridAndOfTheSharedTable) {
  const auto check = [](const StudyPlan& plan) {
    ASSERT_EQ(plan.runs.size(), 3u);
    for (const PlannedRun& run : plan.runs) {
      EXPECT_EQ(run.config.experts.width * run.config.experts.top_k, 128) << run.name;
      EXPECT_EQ(run.counts.parameters_active, plan.runs[0].counts.parameters_active);
    }
    EXPECT_EQ(plan.runs[1].name, "E8-k4");
  };
  check(plan_of("", "[grid]\nexperts = [8]\ntop-k = [2, 4, 8]\nexpert-width = \"128 / top-k\"\n"));
  check(plan_of("expert-width = \"128 / top-k\"\n", "[grid]\nexperts = [8]\ntop-k = [2, 4, 8]\n"));
  check(plan_of("expert_width = \"128 / top-k\"\n",
                "[[models]]\nexperts = 8\ntop-k = 2\n[[models]]\nexperts = 8\ntop-k = \"experts / 2\"\n"
                "[[models]]\nexperts = 8\ntop-k = 8\n"));
}

TEST(StudyTies, ErrorsNameTheModel) {
  const auto text_of = [](const std::string& model, const std::string& models) -> std::string {
    try {
      plan_of(model, models);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const std::string grid = "[grid]\nexperts = [8]\ntop-k = [2, 3]\n";
  const std::string whole = text_of("expert-width = \"128 / top-k\"\n", grid);
  EXPECT_NE(whole.find("model 'E8-k3', expert-width"), std::string::npos) << whole;
  EXPECT_NE(whole.find("ties.toml"), std::string::npos) << whole;
  EXPECT_NE(text_of("", grid + "expert-width = \"128 / topk\"\n").find("'topk'"), std::string::npos);
  EXPECT_NE(text_of("expert-width = \"2 * dense-width\"\ndense-width = \"expert-width / 2\"\n", grid)
                .find("depends on itself"),
            std::string::npos);
}

}  // namespace
}  // namespace moebius::study
