// Tests of the rules on texts, of CPython's random draws and of the statistics.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "eval/metrics.h"
#include "eval/python_random.h"
#include "eval/template.h"
#include "eval/text_rules.h"

namespace moebius::eval {
namespace {

const std::string kGolden = std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/";

TEST(TextRules, WhiteSpaceIsPythons) {
  EXPECT_EQ(stripped(" \t\n a b\xC2\xA0\xE3\x80\x80"), "a b");
  EXPECT_EQ(trailing_space_bytes("ab \n"), 2);
  EXPECT_EQ(trailing_space_bytes("ab\xC2\xA0"), 2);
  EXPECT_EQ(trailing_space_bytes("\xC3\xA0"), 0);  // a letter that ends in the byte A0
  EXPECT_EQ(stripped("   "), "");
  EXPECT_EQ(characters("a\xC3\xA9\xE4\xB8\xAD"), 3);
  EXPECT_EQ(lower_case("ABC \xC3\x89X"), "abc \xC3\xA9x");
}

TEST(TextRules, PatternsFindAndRemove) {
  const Pattern number("(-?[$0-9.,]{2,})|(-?[0-9]+)");
  const auto found = number.find_all("it is 1,200 or 7 or -3");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0], (std::vector<std::string>{"1,200", ""}));
  EXPECT_EQ(found[2], (std::vector<std::string>{"", "-3"}));
  EXPECT_EQ(Pattern("(?s).*#### ").removed_from("a\nb #### 7"), "7");
  EXPECT_EQ(Pattern("\\.$").removed_from("7."), "7");
  EXPECT_EQ(Pattern("x*").find_all("axb").size(), 4u);  // Python: ['', 'x', '', '']
  EXPECT_THROW(Pattern("(a"), Error);
}

TEST(TextRules, ExtractionAndNormalisation) {
  Extraction strict;
  strict.regex = std::make_shared<Pattern>("#### (\\-?[0-9\\.\\,]+)");
  EXPECT_EQ(extract(strict, "so\n#### 1,234\n#### 5"), "1,234");
  EXPECT_EQ(extract(strict, "so 5"), "[invalid]");
  Extraction last;
  last.regex = std::make_shared<Pattern>("(-?[$0-9.,]{2,})|(-?[0-9]+)");
  last.last = true;
  EXPECT_EQ(extract(last, "3 then 4 and 5"), "5");
  Extraction after;
  after.after = "Answer:";
  EXPECT_EQ(extract(after, " a=2 Answer: 3. Answer: 7.\nmore"), "7");
  EXPECT_EQ(extract(after, "7"), "[invalid]");
  Normalisation rule;
  for (const char* regex : {",", "\\$", "(?s).*#### ", "\\.$"}) rule.remove.push_back(std::make_shared<Pattern>(regex));
  rule.ignore_case = rule.ignore_punctuation = true;
  EXPECT_EQ(normalised(rule, "Work.\n#### $1,200."), "1200");
  EXPECT_EQ(normalised(rule, "It's A-B"), "its ab");
}

TEST(TextRules, TemplatesReadFields) {
  const Json row =
      Json::object({{"q", "why"}, {"n", 51.0}, {"list", Json::Array{1, 2}}, {"in", Json::object({{"x", true}})}});
  EXPECT_EQ(render("Q: {q}? {{{n}}}", row, "row").as_string(), "Q: why? {51}");
  EXPECT_TRUE(render("{list}", row, "row").is_array());
  EXPECT_EQ(render("{in.x}", row, "row").as_bool(), true);
  EXPECT_EQ(render_text("{in.x}!", row, "row"), "true!");
  EXPECT_THROW(render("{q", row, "row"), Error);
  try {
    render("{lisst}", row, "file, row 3");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'list'"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("row 3"), std::string::npos);
  }
}

TEST(PythonRandom, DrawsAreCPythons) {
  const Json golden = Json::parse_file(kGolden + "scores.json").at("python_random");
  PythonRandom random(1234);
  std::vector<i64> words;
  for (int i = 0; i < 700; ++i) words.push_back(random.next_u32());
  for (i64 i = 0; i < 3; ++i) {
    EXPECT_EQ(words[static_cast<std::size_t>(i)], golden.at("words_first")[i].as_int());
    EXPECT_EQ(words[static_cast<std::size_t>(697 + i)], golden.at("words_last")[i].as_int());
  }
  ASSERT_GE(golden.at("samples").count(), 7);
  for (const Json& sample : golden.at("samples").as_array()) {
    PythonRandom r(static_cast<u32>(sample.at("seed").as_int()));
    for (const Json& draw : sample.at("draws").as_array()) {
      EXPECT_EQ(Json(r.sample(sample.at("n").as_int(), sample.at("k").as_int())), draw) << sample.dump();
    }
  }
}

TEST(Metrics, StandardErrors) {
  const Mean m = mean_of({1, 0, 0, 1, 1});
  EXPECT_DOUBLE_EQ(m.mean, 0.6);
  EXPECT_NEAR(m.se, 0.24494897427831777, 1e-15);  // statistics.stdev / sqrt(5)
  EXPECT_TRUE(std::isnan(mean_of({2.0}).se));     // one value has no standard error
  // With equal denominators a ratio is a mean.
  const Mean r = ratio_of({2, 0, 0, 2, 2}, {2, 2, 2, 2, 2});
  EXPECT_DOUBLE_EQ(r.mean, m.mean);
  EXPECT_NEAR(r.se, m.se, 1e-15);
  EXPECT_NEAR(ratio_of({1, 2, 3}, {2, 4, 6}).se, 0, 1e-15);
}

TEST(Metrics, TiesGoToTheFirstAndCharactersCount) {
  EXPECT_EQ(best_choice({-2, -1, -1}), 1);
  EXPECT_EQ(best_choice_normalised({-4, -4, -4}, {"ab", "abcd", "abcd"}), 1);
  // The second choice has six bytes but three characters.
  EXPECT_EQ(best_choice_normalised({-4, -5}, {"abcd", "\xC3\xA9\xC3\xA9\xC3\xA9"}), 0);
  EXPECT_EQ(best_choice_normalised({-4, -5}, {"abcd", "eeeeee"}), 1);
}

}  // namespace
}  // namespace moebius::eval
