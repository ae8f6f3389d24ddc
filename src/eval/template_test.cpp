// Tests of what task files say: lists and filters in templates, `require`, rules on choices, contexts, examples with a
// template of their own, repeats, the measures loglikelihood and rolling. The engine is a hash (fake_engine.h).
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "data/reader.h"
#include "eval/evaluate.h"
#include "eval/fake_engine.h"
#include "eval/template.h"
#include "eval/test_files.h"
#include "records/measure.h"

namespace moebius::eval {
namespace {

void expect_has(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
}

// The items of a task with these rows.
std::vector<EvalItem> items_of(const std::string& rows, const std::string& task, i64 shots = -1) {
  place("rows.jsonl", rows);
  return make_items(load_task(place("task.toml", "files = [\"rows.jsonl\"]\n" + task)), {shots, 0});
}

Json record_of(const std::string& rows, const std::string& task) {
  place("rows.jsonl", rows);
  EvalOptions options;
  options.tasks = {place("task.toml", "files = [\"rows.jsonl\"]\n" + task)};
  const auto tokenizer =
      data::Tokenizer::load(std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/model/tokenizer.json");
  return Evaluator(tokenizer, options).run(fake_engine(400, 512), 0, 0).at(0);
}

TEST(Templates, ListsAreReadByIndexAndJoined) {
  const Json row = Json::parse(R"({"o": ["a", 2, true], "t": "one _ two ", "e": [], "n": ["x", null], "q": "}|\"",
                                   "c": {"text": ["p", "q"]}, "l": [{"x": ["deep"]}]})",
                               "row");
  const auto text = [&](const std::string& pattern) { return render_text(pattern, row, "row 7"); };
  EXPECT_EQ(text("{o.0} {o.-1} {o.-3}"), "a true a");
  EXPECT_EQ(text("{o.1}"), "2");
  EXPECT_EQ(text("{c.text.1}, {l.0.x.-1}"), "q, deep");
  EXPECT_EQ(text(R"({o | join ", "}.)"), "a, 2, true.");
  EXPECT_EQ(text(R"({o|join'\n'})"), "a\n2\ntrue");
  EXPECT_EQ(text(R"({ o | join "}|\"" })"), "a}|\"2}|\"true");
  EXPECT_EQ(text(R"({o | join ""})"), "a2true");
  EXPECT_EQ(text(R"([{t | before "_" | strip}][{t | after "_"}][{t | after "_" | strip}])"), "[one][ two ][two]");
  EXPECT_EQ(text("{{o | join}}"), "{o | join}");
  EXPECT_TRUE(render("{o}", row, "row 7").is_array());
  for (const char* missing : {"{o.3}", "{o.-4}", "{o.x}", "{o.}", "{o.1.0.}", "{n.1}", R"({n | join ","})",
                              R"({e | join ","})", "{e.0}", R"({t | before "#"})"}) {
    if (std::string(missing) == "{o.1.0.}") {
      EXPECT_THROW(text(missing), Error) << missing;
    } else {
      EXPECT_THROW(text(missing), MissingValue) << missing;
    }
  }
}

TEST(Templates, AListOrAnObjectInATextIsAnErrorThatShowsTheForms) {
  const Json row = Json::parse(R"({"o": ["a"], "d": {"k": 1}, "deep": [["a"]], "t": "x"})", "row");
  const auto fault = [&](const std::string& pattern) {
    return error_of([&] { render_text(pattern, row, "f, row 7"); });
  };
  for (const char* pattern : {"Q: {o}", "{o}", "{o | strip}"}) {
    expect_has(fault(pattern), {"row 7", "'o' is a list", pattern, "{o.0}", "{o.-1}", R"({o | join ", "})"});
  }
  expect_has(fault("Q {d}"), {"'d' is an object", "{d.KEY}"});
  expect_has(fault(R"({deep | join ","})"), {"'deep.0' is a list"});
  expect_has(fault(R"({t | join ","})"), {"'t' is not a list"});
  expect_has(fault(R"({o | jion ","})"), {"jion", "did you mean 'join'"});
  expect_has(fault("{o | join}"), {"'join' is incomplete", "join \"TEXT\""});
  expect_has(fault("{o | join ,}"), {"'join' is incomplete"});
  expect_has(fault("{t | strip 3}"), {"strip has no argument"});
  expect_has(fault("{o | join \", }"), {"'{' without '}'"});
  // In every place of a task where a text is meant.
  const std::string rows = R"({"q": "Q", "o": ["a", "b"], "d": {"k": "v"}, "i": 0})"
                           "\n";
  const std::string rest = "choices = \"{o}\"\nanswer_index = \"{i}\"\n";
  for (const char* keys :
       {"prompt = \"{q} {o}\"", "prompt = \"{q}\"\ntarget = \"{o}\"", "prompt = \"{q}\"\ngrade = \"{o}\""}) {
    expect_has(error_of([&] { items_of(rows, "measures = [\"choice\"]\n" + std::string(keys) + "\n" + rest); }),
               {"rows.jsonl, row 1", "'o' is a list", "{o.0}"});
  }
  expect_has(error_of([&] {
               items_of(rows,
                        "measures = [\"choice\"]\nprompt = \"{q}\"\nchoices = [\"{o}\", \"x\"]\nanswer_index = 0\n");
             }),
             {"answer_index"});
  expect_has(error_of([&] { items_of(rows, "measures = [\"loss\"]\nprompt = \"{q}\"\nanswers = \"{d}\"\n"); }),
             {"'d' is an object"});
}

TEST(Require, HoldsForItemsAndExamplesAndRefusesEmptyLists) {
  const std::string rows = R"({"q": "A", "a": null, "in": {"l": ["x"]}})"
                           "\n"
                           R"({"q": "B", "a": [], "in": {"l": ["x"]}})"
                           "\n"
                           R"({"q": "C", "a": ["c"], "in": {"l": ["x"]}})"
                           "\n"
                           R"({"q": "D", "a": ["d"], "in": {"l": ["x"]}})"
                           "\n"
                           R"({"q": "E", "a": ["e"], "in": {"l": []}})"
                           "\n"
                           R"({"q": "F", "a": ["f"], "in": {}})"
                           "\n"
                           R"({"q": "G", "a": [""], "in": {"l": ["x"]}})"
                           "\n";
  const std::string task =
      "measures = [\"loss\"]\nprompt = \"{q}:\"\nanswers = \"{a}\"\nrequire = [\"a\", \"in.l\"]\n[few_shot]\nshots = 1\n";
  for (const char* draw : {"first", "random"}) {
    const auto items = items_of(rows, task + "draw = \"" + draw + "\"\n");
    ASSERT_EQ(items.size(), 3u);  // C, D and G, whose answer is empty
    EXPECT_EQ(items[0].prompt, "D: d\n\nC:");
    EXPECT_EQ(items[1].prompt, "C: c\n\nD:");
    EXPECT_NE(items[2].skipped, "");
  }
  // Without require, an empty list is no value: the item is skipped and has no part in the scores.
  const Json record = record_of(rows, "measures = [\"loss\"]\nprompt = \"{q}:\"\nanswers = \"{a}\"\n");
  EXPECT_EQ(record.get_int("items", 0), 4);
  EXPECT_EQ(record.get_int("items_skipped", 0), 3) << record.dump();
}

TEST(ChoiceRules, FindExtractRemoveReplace) {
  const std::string head =
      "measures = [\"choice\"]\nprompt = \"{q}\"\nchoices = \"{o}\"\nanswer_index = \"{i}\"\n[choice_text]\n";
  const auto choices = [&](const std::string& o, const std::string& rules) {
    return items_of(R"({"q": "Q", "i": "b", "o": )" + o + "}\n", head + rules).at(0);
  };
  // MathQA's options, as lm-evaluation-harness splits them.
  const EvalItem math = choices(R"("a ) 38 , b ) 27.675 , c ) 30 , d ) data inadequate , e ) none of these")",
                                R"(find = '[abcd] \) .*?, |e \) .*?$')"
                                "\n"
                                R"(regex = '(?s)^....(.*)$')"
                                "\n"
                                R"(remove = ['[ ,]+$'])"
                                "\n");
  EXPECT_EQ(math.choices, (std::vector<std::string>{"38", "27.675", "30", "data inadequate", "none of these"}));
  EXPECT_EQ(math.gold, 1);
  EXPECT_EQ(math.target, "27.675");
  const std::string three = R"(["(a) one  [x]", "(b) two $", "(c) three"])";
  EXPECT_EQ(choices(three, R"(regex = '^\(.\)(.*)$')"
                           "\nremove = ['\\[.*?\\]']\nstrip = true\n")
                .choices,
            (std::vector<std::string>{"one", "two $", "three"}));
  EXPECT_EQ(choices(three, R"(replace = [['^\((.)\)', '$1.'], [' +', ' ']])"
                           "\n")
                .choices,
            (std::vector<std::string>{"a. one [x]", "b. two $", "c. three"}));
  EXPECT_EQ(choices(three, "after = \") \"\n").choices[1], "two $");
  // A replacement that is much longer than the text.
  EXPECT_EQ(choices(three, "replace = [['.', '" + std::string(300, 'x') + "']]\n").choices[2].size(), 9u * 300);
  const auto fault = [&](const std::string& rules) { return error_of([&] { choices(three, rules); }); };
  expect_has(fault("regex = '#(.*)'\n"), {"row 1", "[choice_text] find nothing", "(a) one"});
  expect_has(fault("regex = '('\n"), {"[choice_text]", "regular expression"});
  expect_has(fault("rexeg = 'x'\n"), {"did you mean 'regex'"});
  expect_has(fault("replace = ['a', 'b']\n"), {"'replace' has the wrong type", "[['REGEX', 'TEXT'], ...]"});
  expect_has(fault("replace = []\n"), {"'replace' has the wrong type"});
  expect_has(fault("replace = [['(a)', '${2']]\n"), {"regular expression failed"});
  expect_has(fault("find = 'x'\n"), {"row 1", "'o' is a list"});
}

TEST(Contexts, ChoicesDifferInTheContext) {
  // Winogrande's rows as published: answers count from 1.
  const std::string rows =
      R"({"sentence": "Ann beat Bo because _ trained.", "option1": "Ann", "option2": "Bo", "answer": "1"})"
      "\n"
      R"({"sentence": "Ann lost to Bo since _ was late.", "option1": "Ann", "option2": "Bo", "answer": "1"})"
      "\n"
      R"({"sentence": "Ann thanked Bo as _ had helped.", "option1": "Ann", "option2": "Bo", "answer": "2"})"
      "\n";
  const std::string task =
      "measures = [\"choice\", \"loss\"]\n"
      "contexts = ['{sentence | before \"_\"}{option1}', '{sentence | before \"_\"}{option2}']\n"
      "target = '{sentence | after \"_\" | strip}'\nanswer_index = \"{answer}\"\n";
  const auto items = items_of(rows, task + "index_base = 1\n[few_shot]\nshots = 1\ndraw = \"first\"\n");
  ASSERT_EQ(items.size(), 3u);
  EXPECT_EQ(items[2].gold, 1);
  EXPECT_EQ(items[2].target, "had helped.");
  EXPECT_EQ(items[2].prompt, "Ann beat Bo because Ann trained.\n\nAnn thanked Bo as Bo");
  EXPECT_EQ(items[2].contexts[0], "Ann beat Bo because Ann trained.\n\nAnn thanked Bo as Ann");
  const Json record = record_of(rows, task + "index_base = 1\n");
  EXPECT_TRUE(record.contains("acc") && record.contains("task_loss")) << record.dump();
  EXPECT_FALSE(record.contains("acc_norm"));
  EXPECT_DOUBLE_EQ(record.get_double("chance", 0), 0.5);
  expect_has(error_of([&] { items_of(rows, task); }), {"row 3", "none of the choices", "index_base = 1"});
  expect_has(error_of([&] { items_of(rows, task + "index_base = 2\n"); }), {"row 1", "none of the choices"});
  expect_has(error_of([&] { items_of(rows, task + "prompt = \"{sentence}\"\n"); }), {"contexts replace prompt"});
  expect_has(error_of([&] { items_of(rows, "measures = [\"choice\"]\ncontexts = [\"a\"]\nanswer_index = \"0\"\n"); }),
             {"the continuation that they share"});
  expect_has(error_of([&] { items_of(rows, "measures = [\"choice\"]\ncontexts = []\n"); }),
             {"'contexts' has the wrong"});
  expect_has(error_of([&] { items_of(rows, "measures = [\"choice\"]\ncontexts = 3\n"); }),
             {"'contexts' has the wrong"});
}

TEST(Examples, FromAnotherFileWithATemplateOfTheirOwn) {
  place("shots.jsonl", R"({"problem": "1+1?", "solution": "It is 2.", "bad": 0})"
                       "\n"
                       R"({"problem": "2+2?", "solution": null, "bad": 0})"
                       "\n"
                       R"({"problem": "3+3?", "solution": "It is 6.", "bad": []})"
                       "\n");
  const std::string rows = R"({"q": "5+5?", "o": ["9", "10"], "i": 1})"
                           "\n"
                           R"({"q": "6+6?", "o": ["11", "12"], "i": 1})"
                           "\n";
  const std::string head =
      "measures = [\"choice\"]\nprompt = \"Q: {q}\\nA:\"\nchoices = \"{o}\"\nanswer_index = \"{i}\"\n"
      "require = [\"q\"]\n[few_shot]\nfile = \"shots.jsonl\"\ndraw = \"first\"\n";
  const std::string own = "prompt = \"Problem: {problem}\"\ntarget = \"{solution}\"\n";
  const auto items = items_of(rows, head + own + "shots = 2\ndelimiter = \"\\n\"\nseparator = \"\\n---\\n\"\n");
  EXPECT_EQ(items.at(1).prompt, "Problem: 1+1?\nIt is 2.\n---\nProblem: 3+3?\nIt is 6.\n---\nQ: 6+6?\nA:");
  EXPECT_EQ(items[1].choices[1], "12");
  // require of [few_shot] is for its rows; too few are an error that names the file.
  expect_has(error_of([&] { items_of(rows, head + own + "shots = 2\nrequire = [\"bad\"]\n"); }),
             {"shots.jsonl", "too few rows"});
  expect_has(error_of([&] { items_of(rows, head + "shots = 1\n"); }), {"shots.jsonl", "too few rows"});
  expect_has(error_of([&] { items_of(rows, head + own + "shots = 1\nanswer = \"x\"\n"); }), {"did you mean 'answers'"});
  expect_has(error_of([&] { items_of(rows, head + "shots = 1\nprompt = \"{problem}\"\nanswers = []\n"); }),
             {"examples of [few_shot] have no answer"});
  // The task's own rows by another template: the item itself is still no example.
  const auto twice =
      items_of(rows,
               "measures = [\"choice\"]\nprompt = \"Q: {q}\\nA:\"\nchoices = \"{o}\"\nanswer_index = \"{i}\"\n"
               "[few_shot]\nshots = 1\ndraw = \"first\"\nprompt = \"Example {q}\"\n");
  EXPECT_EQ(twice.at(0).prompt, "Example 6+6? 12\n\nQ: 5+5?\nA:");
  EXPECT_EQ(twice.at(1).prompt, "Example 5+5? 10\n\nQ: 6+6?\nA:");
  // The task's require still holds for its own rows.
  const auto required = items_of(
      R"({"q": "5+5?", "o": ["9", "10"], "i": 1, "ok": []})"
      "\n"
      R"({"q": "6+6?", "o": ["11", "12"], "i": 1, "ok": 1})"
      "\n"
      R"({"q": "7+7?", "o": ["14", "12"], "i": 0, "ok": 1})"
      "\n",
      "measures = [\"choice\"]\nprompt = \"Q: {q}\\nA:\"\nchoices = \"{o}\"\nanswer_index = \"{i}\"\nrequire = [\"ok\"]\n"
      "[few_shot]\nshots = 1\ndraw = \"first\"\nprompt = \"Example {q}\"\n");
  EXPECT_EQ(required.at(1).prompt, "Example 6+6? 12\n\nQ: 7+7?\nA:");
  expect_has(error_of([&] { items_of(rows, head + own + "shots = 1\ndelimiter = 3\n"); }),
             {"'delimiter' has the wrong type"});
  // Nor is it when the file is a copy whose rows have a further field.
  place("copy.jsonl", R"({"q": "5+5?", "o": ["9", "10"], "i": 1, "x": 1})"
                      "\n"
                      R"({"q": "7+7?", "o": ["14", "0"], "i": 0})"
                      "\n");
  const auto copy =
      items_of(rows,
               "measures = [\"choice\"]\nprompt = \"Q: {q}\\nA:\"\nchoices = \"{o}\"\nanswer_index = \"{i}\"\n"
               "[few_shot]\nfile = \"copy.jsonl\"\nshots = 1\ndraw = \"first\"\nprompt = \"Example {q}\"\n");
  EXPECT_EQ(copy.at(0).prompt, "Example 7+7? 14\n\nQ: 5+5?\nA:");
}

TEST(Repeats, MeanVoteAndAnyOfEachExtraction) {
  std::string rows;
  for (int i = 0; i < 30; ++i) rows += R"({"q": "question )" + std::to_string(i) + R"(", "a": "e"})" + "\n";
  place("rows.jsonl", rows);
  const std::string head = "files = [\"rows.jsonl\"]\nmeasures = [\"generate\"]\nprompt = \"{q}\"\nanswers = \"{a}\"\n";
  const std::string rules =
      "[[extract]]\nregex = '([aeiou])'\n[[extract]]\nname = \"last\"\nregex = '([aeiou])'\npick = \"last\"\n";
  EvalOptions options;
  options.tasks = {place(
      "task.toml",
      "chance = 0.1\n" + head + "[generation]\ntokens_max = 20\ntemperature = 1\nrepeats = 5\nseed = 3\n" + rules)};
  options.items_folder = test_path("items");
  const auto tokenizer =
      data::Tokenizer::load(std::string(MOEBIUS_SOURCE_DIR) + "/tests/golden/lm_eval/model/tokenizer.json");
  const Json record = Evaluator(tokenizer, options).run(fake_engine(400, 512), 0, 0).at(0);
  const auto lines = data::read_rows(options.items_folder + "/task.jsonl");
  ASSERT_EQ(lines.size(), 30u);
  for (const char* suffix : {"", "_last"}) {
    double mean = 0, vote = 0, any = 0;
    for (const Json& line : lines) {
      std::map<std::string, i64> counts;
      std::string most;
      const Json& extracted = line.at(std::string("extracted") + suffix);
      ASSERT_EQ(extracted.count(), 5);
      for (const Json& text : extracted.as_array()) ++counts[text.as_string()];
      for (const Json& text : extracted.as_array()) {
        if (most.empty() || counts[text.as_string()] > counts[most]) most = text.as_string();
      }
      mean += static_cast<double>(counts["e"]) / 5 / 30;
      vote += (most == "e") / 30.0;
      any += (counts["e"] > 0) / 30.0;
    }
    EXPECT_NEAR(record.at(std::string("exact_match") + suffix).as_double(), mean, 1e-12) << suffix;
    EXPECT_NEAR(record.at(std::string("exact_match_vote") + suffix).as_double(), vote, 1e-12) << suffix;
    EXPECT_NEAR(record.at(std::string("exact_match_any") + suffix).as_double(), any, 1e-12) << suffix;
    EXPECT_GT(any, mean) << suffix;
    EXPECT_GT(mean, 0) << suffix;
    EXPECT_TRUE(record.contains(std::string("exact_match_vote") + suffix + "_se"));
  }
  for (const records::Measure& m : records::measures_of(record)) {
    EXPECT_NEAR(m.chance, m.name.starts_with("exact_match_any") ? 1 - std::pow(0.9, 5) : 0.1, 1e-12) << m.name;
  }
  EXPECT_EQ(record.get_int("repeats", 0), 5);
  EXPECT_EQ(record.get_int("seed", 0), 3);
  EXPECT_EQ(record.get_double("temperature", 0), 1);
  const auto fault = [&](const std::string& text) {
    return error_of([&] { load_task(place("task.toml", head + text)); });
  };
  expect_has(fault("[generation]\nrepeats = 4\n"), {"all repeats give the same text", "temperature = 0.7"});
  expect_has(fault("[generation]\nrepeats = 0\n"), {"repeats is out of range", "1 to 10000"});
  expect_has(fault("[generation]\ntemperature = -1\n"), {"temperature is out of range"});
  for (const char* top_p : {"top-p = 0", "top_p = 1.5"}) {
    expect_has(fault("[generation]\n" + std::string(top_p) + "\n"), {"top_p is out of range"});
  }
  expect_has(fault("[generation]\ntop_k = -1\n"), {"top_k is out of range"});
  expect_has(fault("[generation]\nseed = -1\n"), {"seed is out of range"});
  expect_has(fault("[generation]\nrepeat = 2\n"), {"did you mean 'repeats'"});
  for (const char* name : {"", "name = \"vote\"", "name = \"any_x\""}) {
    expect_has(fault(rules + "[[extract]]\n" + name + "\n"), {"extraction 3 has no name of its own"});
  }
  for (const char* key : {"extract", "variant"}) {
    expect_has(fault(std::string(key) + " = 3\n"), {"task.toml", "has the wrong type", "[[" + std::string(key) + "]]"});
  }
  expect_has(fault(rules + "[[extract]]\nname = \"last\"\n"), {"extraction 3", "last"});
}

TEST(Kinds, FaultsOfLoglikelihoodAndRollingAreNamed) {
  const std::string rows = R"({"q": "Q", "t": "some text", "o": ["a", "b"]})"
                           "\n"
                           R"({"q": "Q", "t": "", "o": ["a", "b"]})"
                           "\n"
                           R"({"q": "Q", "t": null, "o": ["a", "b"]})"
                           "\n";
  const auto fault = [&](const std::string& task) { return error_of([&] { items_of(rows, task); }); };
  expect_has(fault("measures = [\"loglikelihood\"]\nprompt = \"{q}\"\n"), {"whose loss is measured", "target ="});
  expect_has(fault("measures = [\"loss\"]\nprompt = \"{q}\"\n"), {"whose loss is measured"});
  expect_has(
      fault("measures = [\"loglikelihood\", \"choice\"]\nprompt = \"{q}\"\nchoices = \"{o}\"\nanswer_index = \"0\"\n"),
      {"loglikelihood", "out of measures"});
  expect_has(fault("measures = [\"rolling\"]\nprompt = \"{q}\"\n"), {"text of rolling perplexity", "add: text"});
  expect_has(fault("measures = [\"loss\"]\nprompt = \"{q}\"\ntarget = \"{q}\"\ntext = \"{t}\"\n"),
             {"only the measure rolling"});
  expect_has(fault("measures = [\"roling\"]\ntext = \"{t}\"\n"), {"did you mean 'rolling'"});
  const Json rolling = record_of(rows, "measures = [\"rolling\"]\ntext = \"{t}\"\n");
  EXPECT_EQ(rolling.get_int("items", 0), 1);
  EXPECT_EQ(rolling.get_int("items_skipped", 0), 2) << rolling.dump();
  EXPECT_EQ(items_of(rows, "measures = [\"rolling\"]\ntext = \"{t}\"\n", 5).size(), 3u);  // no prompt, no examples
  // A single text has no standard error.
  EXPECT_EQ(rolling.at("word_perplexity_se").dump(), "null");
  const auto measures = records::measures_of(rolling);
  ASSERT_EQ(measures.size(), 4u);
  for (const records::Measure& m : measures) {
    EXPECT_FALSE(m.higher_is_better) << m.name;
    EXPECT_EQ(m.main, m.name == "bits_per_byte") << m.name;
  }
  const Json given = record_of(rows, "measures = [\"loglikelihood\"]\nprompt = \"{q}\"\ntarget = \"{t}\"\n");
  EXPECT_EQ(given.get_int("items", 0), 1);
  EXPECT_TRUE(given.contains("acc") && given.contains("task_loss") && given.contains("task_bits_per_byte"));
}

}  // namespace
}  // namespace moebius::eval
