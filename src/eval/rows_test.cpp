// Tests of what users' rows and sources contain in practice: labels as text, examples that equal the item, answers without
// tokens of their own, single items, sources in several formats. The engine is a hash (fake_engine.h).
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "data/pack.h"
#include "data/reader.h"
#include "data/shard.h"
#include "eval/evaluate.h"
#include "eval/fake_engine.h"
#include "eval/test_files.h"
#include "records/measure.h"

namespace moebius::eval {
namespace {

const std::string kModelGolden = std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/model/";

data::Tokenizer lm_eval_tokenizer() { return data::Tokenizer::load(kModelGolden + "tokenizer.json"); }

i64 gold_of_label(const std::string& label, const std::string& choices) {
  place("labels.jsonl", "{\"q\": \"Q\", \"c\": " + choices + ", \"a\": " + label + "}\n");
  const std::string task = place("labels.toml",
                                 "files = [\"labels.jsonl\"]\nmeasures = [\"choice\"]\nprompt = \"{q}\"\n"
                                 "choices = \"{c}\"\nanswer_index = \"{a}\"\n");
  return make_items(load_task(task), {}).at(0).gold;
}

TEST(Labels, NumbersDigitsLettersAndTextsAreRead) {
  const std::string three = R"(["red", "green", "blue"])";
  EXPECT_EQ(gold_of_label("2", three), 2);
  EXPECT_EQ(gold_of_label("2.0", three), 2);
  EXPECT_EQ(gold_of_label("\"2\"", three), 2);
  EXPECT_EQ(gold_of_label("\" 1 \"", three), 1);
  EXPECT_EQ(gold_of_label("\"C\"", three), 2);
  EXPECT_EQ(gold_of_label("\"b\"", three), 1);
  EXPECT_EQ(gold_of_label("\"green\"", three), 1);
  EXPECT_EQ(gold_of_label("true", R"(["no", "yes"])"), 1);
  EXPECT_EQ(gold_of_label("\"0\"", R"(["0", "1"])"), 0);
  // A choice that says the label's value wins over the convention that false is the first of two.
  EXPECT_EQ(gold_of_label("true", "[true, false]"), 0);
  EXPECT_EQ(gold_of_label("false", R"(["True", "False"])"), 1);
  EXPECT_EQ(gold_of_label("true", R"(["Yes", "No", "Maybe"])"), 0);
  EXPECT_EQ(gold_of_label("true", R"(["ham", "spam"])"), 1);
}

TEST(Labels, WhatNamesNoChoiceOrTwoIsAnErrorThatNamesTheRow) {
  const std::string two = R"(["x", "y"])";
  for (const char* label : {"2", "-1", "1.5", "1e30", "\"2\"", "\"C\"", "\"z\"", "\"\"", "null", "[1]"}) {
    const std::string text = error_of([&] { gold_of_label(label, two); });
    EXPECT_NE(text.find("labels.jsonl, row 1"), std::string::npos) << label << ": " << text;
  }
  // "1" is the text of choice 0 and the number of choice 1.
  const std::string text = error_of([&] { gold_of_label("\"1\"", R"(["1", "0"])"); });
  EXPECT_NE(text.find("text of choice 0 and the number of choice 1"), std::string::npos) << text;
  const std::string letter = error_of([&] { gold_of_label("\"A\"", R"(["C", "B", "A"])"); });
  EXPECT_NE(letter.find("text of choice 2 and the letter of choice 0"), std::string::npos) << letter;
}

TEST(Labels, FieldsThatAreNoTextAreErrorsThatNameTheField) {
  for (const char* choices : {"[null, \"x\"]", "[[\"a\"], \"x\"]", "[{\"text\": \"a\"}, \"x\"]"}) {
    const std::string text = error_of([&] { gold_of_label("0", choices); });
    EXPECT_NE(text.find("row 1: element 0 of a list of texts is not a text"), std::string::npos) << text;
  }
  const std::string inner = error_of([&] { gold_of_label("0", "{\"text\": [\"a\", \"b\"]}"); });
  EXPECT_NE(inner.find("inner field"), std::string::npos) << inner;
  const auto prompt = [](const std::string& value, const std::string& pattern) {
    place("null.jsonl", "{\"q\": " + value + ", \"a\": \"x\"}\n");
    const std::string task = place("null.toml", "files = [\"null.jsonl\"]\nmeasures = [\"loss\"]\nprompt = \"" +
                                                    pattern + "\"\nanswers = \"{a}\"\n");
    return error_of([&] { make_items(load_task(task), {}); });
  };
  for (const char* pattern : {"{q}", "Q: {q}"}) {
    EXPECT_NE(prompt("null", pattern).find("the field 'q' is null"), std::string::npos) << pattern;
    EXPECT_NE(prompt("[1]", pattern).find("the field 'q' is a list"), std::string::npos) << pattern;
    EXPECT_EQ(prompt("5", pattern), "no error") << pattern;
  }
  EXPECT_NE(prompt("5", "{q.x}").find("'q' is not an object"), std::string::npos);
}

TEST(Labels, ItemFilesAcceptTheAnswersTextAndRefuseContradictions) {
  const auto item = [](const std::string& rest) {
    const std::string file = place("items.jsonl", "{\"prompt\": \"P\", \"choices\": [\"x\", \"y\"]" + rest + "}\n");
    return make_items(load_task(file), {}).at(0);
  };
  EXPECT_EQ(item(", \"answer\": \"y\"").gold, 1);
  EXPECT_EQ(item(", \"answer_index\": \"1\"").gold, 1);
  for (const char* rest : {"", ", \"answer\": \"z\"", ", \"answer\": \"x\", \"answer_index\": 1"}) {
    const std::string text = error_of([&] { item(rest); });
    EXPECT_NE(text.find("items.jsonl, item 1"), std::string::npos) << rest << ": " << text;
  }
}

TEST(Examples, FromTheTasksOwnFileUnderAnotherNameNeverShowTheAnswer) {
  std::string rows, other;
  for (int i = 0; i < 5; ++i) {
    const Json row = Json::object({{"q", "question" + std::to_string(i) + "."}, {"a", "yes"}});
    rows += row.dump() + "\n";
    Json more = row;  // the same question and answer; a further field must not hide that
    more.set("source", "copy");
    other += more.dump() + "\n";
  }
  place("own.jsonl", rows);
  place("copy.jsonl", other);
  for (const char* file : {"own.jsonl", "copy.jsonl"}) {
    for (const char* draw : {"random", "first"}) {
      const std::string task =
          place("leak.toml", std::string("files = [\"own.jsonl\"]\nmeasures = [\"loss\"]\nprompt = \"{q}\"\n") +
                                 "answers = \"{a}\"\n[few_shot]\nshots = 4\nfile = \"" + file + "\"\ndraw = \"" + draw +
                                 "\"\n");
      for (const EvalItem& item : make_items(load_task(task), {})) {
        const std::string own = "question" + std::to_string(item.index) + ".";
        EXPECT_EQ(item.prompt.find(own), item.prompt.size() - own.size()) << file << " " << draw << ": " << item.prompt;
      }
      const std::string text = error_of([&] { make_items(load_task(task), {5, 0}); });
      EXPECT_NE(text.find("few-shot"), std::string::npos) << text;
    }
  }
}

// "th" is one token of this tokenizer, so the answer "h" after the prompt "t" has no tokens of its own.
TEST(Examples, WhiteSpaceHidesNoQuestionAndRowsWithoutARequiredFieldAreNoExamples) {
  place("spaces.jsonl",
        "{\"q\": \"Sky is\", \"a\": \"blue\"}\n{\"q\": \" Sky  is \", \"a\": \"blue\"}\n"
        "{\"q\": \"\", \"a\": \"none\"}\n{\"q\": \"Ice is\", \"a\": \"cold\"}\n{\"q\": \"Tea is\", \"a\": \"hot\"}\n");
  const std::string task =
      place("spaces.toml",
            "files = [\"spaces.jsonl\"]\nmeasures = [\"loss\"]\nprompt = \"{q}\"\nanswers = \"{a}\"\n"
            "require = [\"q\"]\n[few_shot]\nshots = 2\n");
  const std::vector<EvalItem> items = make_items(load_task(task), {});
  ASSERT_EQ(items.size(), 4u);
  for (const EvalItem& item : items) EXPECT_EQ(item.prompt.find("none"), std::string::npos) << item.prompt;
  for (const std::size_t sky : {0u, 1u})
    EXPECT_EQ(items[sky].prompt.find("blue"), std::string::npos) << items[sky].prompt;
}

TEST(Items, WithoutAnyAnswerAreErrorsThatNameTheRow) {
  const auto fault = [](const std::string& answer, const std::string& measure) {
    place("empty.jsonl", "{\"q\": \"Q\", \"a\": " + answer + "}\n");
    const std::string task = place("empty.toml", "files = [\"empty.jsonl\"]\nmeasures = [\"" + measure +
                                                     "\"]\nprompt = \"{q}\"\nanswers = \"{a}\"\n");
    return error_of([&] { make_items(load_task(task), {}); });
  };
  EXPECT_NE(fault("[]", "generate").find("row 1: the list of accepted answers is empty"), std::string::npos);
  EXPECT_NE(fault("\"\"", "loss").find("row 1: the answer is empty"), std::string::npos);
  EXPECT_EQ(fault("\"\"", "generate"), "no error");
}

TEST(Evaluate, MeasuresThatNoTaskHasAreAnError) {
  place("m.jsonl", "{\"q\": \"Q\", \"c\": [\"x\", \"y\"], \"a\": 0}\n");
  EvalOptions options;
  options.tasks = {place("m.toml",
                         "files = [\"m.jsonl\"]\nmeasures = [\"choice\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\n"
                         "answer_index = \"{a}\"\n")};
  options.measures = {"loss"};
  const std::string text = error_of([&] { Evaluator(lm_eval_tokenizer(), options); });
  EXPECT_NE(text.find("none of the tasks"), std::string::npos) << text;
}

TEST(Evaluate, AnAnswerWithoutTokensOfItsOwnCostsOnlyItsItem) {
  place("join.jsonl",
        "{\"q\": \"t\", \"c\": [\"h\", \"x\"], \"a\": 0}\n{\"q\": \"Q\", \"c\": [\"y\", \"x\"], \"a\": 0}\n");
  const std::string head = "files = [\"join.jsonl\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\nanswer_index = \"{a}\"\n";
  EvalOptions options;
  options.tasks = {
      place("join-choice.toml", head + "measures = [\"choice\"]\ndelimiter = \"\"\n"),
      place("join-loss.toml", head + "measures = [\"loss\"]\nloss_form = \"as-published\"\ndelimiter = \"\"\n")};
  const auto records = Evaluator(lm_eval_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
  ASSERT_EQ(records.size(), 2u);
  for (const Json& record : records) {
    EXPECT_EQ(record.get_int("items", 0), 2);
    EXPECT_EQ(record.get_int("items_encoded_alone", 0), 1) << record.dump();
  }
}

TEST(Evaluate, AnEmptyChoiceSkipsOnlyItsItem) {
  place("empty.jsonl",
        "{\"q\": \"Q\", \"c\": [\"\", \"x\"], \"a\": 1}\n{\"q\": \"Q\", \"c\": [\"y\", \"x\"], \"a\": 0}\n");
  EvalOptions options;
  options.tasks = {place("empty.toml",
                         "files = [\"empty.jsonl\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\nanswer_index = \"{a}\"\n"
                         "measures = [\"choice\"]\ndelimiter = \"\"\n")};
  const auto records = Evaluator(lm_eval_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
  EXPECT_EQ(records.at(0).get_int("items_skipped", 0), 1) << records[0].dump();
  EXPECT_TRUE(std::isfinite(records[0].get_double("acc", NAN))) << records[0].dump();
}

// In lines two and three of each file a value is missing: null, no key, an empty list.
TEST(Evaluate, AMissingValueSkipsOnlyItsItem) {
  const auto records_of = [](const std::string& path) {
    EvalOptions options;
    options.tasks = {path};
    return Evaluator(lm_eval_tokenizer(), options).run(fake_engine(400, 512), 0, 0).at(0);
  };
  const std::string good = R"({"q": "Q", "c": ["y", "x"], "a": 0, "t": "y", "l": ["y"]})";
  const auto rows = [&](const std::string& second, const std::string& third) {
    place("missing.jsonl", good + "\n" + second + "\n" + third + "\n" + good + "\n");
  };
  const std::string head = "files = [\"missing.jsonl\"]\nprompt = \"{q}\"\n";
  const std::string choice = place(
      "missing-choice.toml", head + "choices = \"{c}\"\nanswer_index = \"{a}\"\nmeasures = [\"choice\", \"loss\"]\n");
  rows(R"({"q": null, "c": ["y", "x"], "a": 0})", R"({"q": "Q", "c": ["y", "x"], "a": null})");
  Json record = records_of(choice);
  EXPECT_EQ(record.get_int("items", 0), 2);
  EXPECT_EQ(record.get_int("items_skipped", 0), 2);
  EXPECT_EQ(record.get_double("chance", 0), 0.5);  // of the scored items
  for (const auto& [second, third] :
       {std::pair(R"({"q": "Q", "c": null, "a": 0})", R"({"q": "Q", "c": [], "a": 0})"),
        std::pair(R"({"q": "Q", "c": ["y", null], "a": 0})", R"({"c": ["y"], "a": 0})")}) {
    rows(second, third);
    EXPECT_EQ(records_of(choice).get_int("items_skipped", 0), 2) << second << third;
  }
  const std::string text = place("missing-text.toml", head + "answers = \"{t}\"\nmeasures = [\"loss\"]\n");
  rows(R"({"q": "Q", "t": null})", R"({"q": "Q", "t": ""})");
  record = records_of(text);
  EXPECT_EQ(record.get_int("items_skipped", 0), 2);
  EXPECT_TRUE(std::isfinite(record.get_double("task_loss", NAN))) << record.dump();
  const std::string list =
      place("missing-list.toml", head + "answers = \"{l}\"\nmeasures = [\"loss\"]\nchoices_drawn = 2\n");
  rows(R"({"q": "Q", "l": []})", R"({"q": "Q", "l": null})");
  EXPECT_EQ(records_of(list).get_int("items_skipped", 0), 2);
  const std::string items =
      place("missing-items.jsonl", R"({"prompt": "P", "choices": ["x", "y"], "answer": "y"})"
                                   "\n"
                                   R"({"prompt": null, "choices": ["x", "y"], "answer": "y"})"
                                   "\n"
                                   R"({"prompt": "P", "choices": null, "answer": null})"
                                   "\n"
                                   R"({"prompt": "P", "choices": ["x", "y"], "answer": null, "answer_index": null})"
                                   "\n");
  EXPECT_EQ(records_of(items).get_int("items_skipped", 0), 3);
}

// Rows without a value are no examples either.
TEST(Examples, AreNeverRowsWithoutAValue) {
  place("shots.jsonl", R"({"q": "A", "a": null})"
                       "\n"
                       R"({"q": "B", "a": "b"})"
                       "\n"
                       R"({"q": "C", "a": "c"})"
                       "\n");
  const std::string task = place("shots.toml",
                                 "files = [\"shots.jsonl\"]\nmeasures = [\"loss\"]\nprompt = \"{q}\"\n"
                                 "answers = \"{a}\"\n[few_shot]\nshots = 1\n");
  const std::vector<EvalItem> items = make_items(load_task(task), {});
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[0].skipped, "the field 'a' is null");
  EXPECT_NE(items[1].prompt.find("C c"), std::string::npos) << items[1].prompt;
  EXPECT_NE(items[2].prompt.find("B b"), std::string::npos) << items[2].prompt;
}

TEST(Evaluate, OneItemHasNoStandardError) {
  EvalOptions options;
  place("one.jsonl", "{\"q\": \"Q\", \"c\": [\"y\", \"x\"], \"a\": 0}\n");
  options.tasks = {place("one.toml",
                         "files = [\"one.jsonl\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\nanswer_index = \"{a}\"\n"
                         "measures = [\"choice\", \"loss\"]\n")};
  options.loss_sources = {"text=" + place("one.txt", "One document of text.\n")};
  const auto records = Evaluator(lm_eval_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
  i64 errors = 0;
  for (const Json& record : records) {
    for (const auto& [key, value] : record.as_object()) {
      if (!key.ends_with("_se")) continue;
      EXPECT_EQ(value.dump(), "null") << key;
      ++errors;
    }
  }
  EXPECT_GE(errors, 3);
  EXPECT_EQ(format_records(records).find("+- 0.0"), std::string::npos) << format_records(records);
  EXPECT_EQ(format_records(records).find("nan"), std::string::npos) << format_records(records);
  // A document of end-of-text alone has no bytes.
  const Json empty = Json::object({{"name", "x"}, {"kind", "loss"}, {"loss", 1.0}, {"bits_per_byte", std::nan("")}});
  EXPECT_NE(format_records({empty}).find("unknown bits/byte"), std::string::npos) << format_records({empty});
}

TEST(LossSources, ShardsByAnyNameAndOtherFieldsScoreTheSame) {
  const data::Tokenizer tokenizer = lm_eval_tokenizer();
  data::PackOptions pack;
  pack.input = {place("loss.jsonl", "{\"content\": \"The first document.\"}\n{\"content\": \"And a second.\"}\n")};
  pack.field = "content";
  pack.out = test_path("loss_shard");
  data::pack_corpus(pack, tokenizer);
  EvalOptions options;
  options.loss_field = "content";
  options.loss_sources = {"prefix=" + pack.out, "bin=" + pack.out + ".bin", "idx=" + pack.out + ".idx",
                          "rows=" + pack.input[0]};
  const auto records = Evaluator(tokenizer, options).run(fake_engine(400, 512), 0, 0);
  ASSERT_EQ(records.size(), 4u);
  for (const Json& record : records) EXPECT_EQ(record.at("loss"), records[0].at("loss")) << record.dump();
  options.loss_field = "text";
  options.loss_sources = {"rows=" + pack.input[0]};
  const std::string text = error_of([&] { Evaluator(tokenizer, options); });
  EXPECT_NE(text.find("--loss-field"), std::string::npos) << text;
}

TEST(Measures, RecordsSayWhatTheirScoresMean) {
  EvalOptions options;
  place("means.jsonl",
        "{\"q\": \"Q\", \"c\": [\"y\", \"x\"], \"a\": 0}\n{\"q\": \"R\", \"c\": [\"y\", \"x\"], \"a\": 1}\n");
  options.tasks = {place("means.toml",
                         "files = [\"means.jsonl\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\nanswer_index = \"{a}\"\n"
                         "measures = [\"choice\", \"loss\"]\nskill = \"knowledge\"\n")};
  const auto records = Evaluator(lm_eval_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
  const auto measures = records::measures_of(records.at(0));
  ASSERT_GE(measures.size(), 2u);
  for (const records::Measure& m : measures) {
    EXPECT_NE(records[0].find(m.name), nullptr) << m.name;
    if (m.name == "acc") {
      EXPECT_TRUE(m.higher_is_better);
      EXPECT_DOUBLE_EQ(m.chance, 0.5);
    }
    EXPECT_EQ(m.higher_is_better, m.unit != records::Unit::nats_per_token && m.unit != records::Unit::bits_per_byte)
        << m.name;
  }
}

}  // namespace
}  // namespace moebius::eval
