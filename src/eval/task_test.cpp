// Tests of task files, items, few-shot prompts, generated items and the records of an evaluation, over an engine without a
// network. What a real network scores is tested against lm-evaluation-harness in oracle_test.cpp.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"
#include "data/generated_tasks.h"
#include "data/reader.h"
#include "eval/evaluate.h"
#include "eval/fake_engine.h"

namespace moebius::eval {
namespace {

const std::string kSource = MOEBIUS_SOURCE_DIR;
const std::string kGolden = kSource + "/tests/golden/lm_eval/";
const std::string kShipped = kSource + "/corpora/eval";

data::Tokenizer tiny_tokenizer() { return data::Tokenizer::load(kGolden + "model/tokenizer.json"); }

std::string write_temp(const std::string& name, const std::string& content) {
  const std::string path = test_path(name);
  file_write_atomic(path, content);
  return path;
}

const Json& record_of(const std::vector<Json>& records, const std::string& grade) {
  for (const Json& record : records) {
    if (record.get_string("grade", "") == grade) return record;
  }
  throw Error({.what = "no record of grade " + grade});
}

TEST(Items, FewShotPromptsAreTheHarnesses) {
  const Json golden = Json::parse_file(kGolden + "scores.json");
  for (const char* name : {"mini_arc", "mini_hellaswag"}) {
    const auto items = make_items(load_task(kGolden + name + ".toml"), {});
    const Json& expected = golden.at(name).at("items");
    ASSERT_EQ(static_cast<i64>(items.size()), expected.count());
    for (std::size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(items[i].prompt, expected[static_cast<i64>(i)].at("prompt").as_string()) << i;
    }
  }
}

TEST(Items, EveryShippedTaskMakesItems) {
  std::set<std::string> names;
  for (const std::string& path : list_tasks(kShipped)) {
    const TaskSpec task = load_task(path);
    names.insert(task.name);
    const auto items = make_items(task, {-1, 20});
    EXPECT_GE(items.size(), 15u) << path;
    for (const EvalItem& item : items) {
      EXPECT_FALSE(item.prompt.empty()) << path;
      EXPECT_FALSE(item.target.empty()) << path;
      if (task.has("choice")) {
        EXPECT_GE(item.choices.size(), 2u) << path << " " << item.index;
      }
      if (task.has("generate")) {
        EXPECT_GE(item.answers.size(), 1u) << path;
      }
    }
  }
  for (const char* name :
       {"arc-easy", "arc-challenge", "hellaswag", "piqa", "boolq", "nq-open", "gsm8k", "gsm-plus", "svamp",
        "opentriviaqa", "country-facts", "basic-arithmetic", "basic-coding", "basic-common-knowledge",
        "basic-logical-reasoning", "basic-pattern", "basic-string-operations"}) {
    EXPECT_TRUE(names.count(name)) << name;
  }
}

TEST(Items, ShippedPromptsReadAsTheyShould) {
  const auto gsm = make_items(find_task("gsm8k", {kShipped}), {0, 1});
  EXPECT_TRUE(gsm[0].prompt.starts_with("Question: Janet\xE2\x80\x99s ducks")) << gsm[0].prompt;
  EXPECT_TRUE(gsm[0].prompt.ends_with("\nAnswer:"));
  EXPECT_TRUE(gsm[0].target.ends_with("#### 18"));
  const auto boolq = make_items(find_task("boolq", {kShipped}), {0, 1});
  EXPECT_EQ(boolq[0].target, "no");
  const auto svamp = make_items(find_task("svamp", {kShipped}), {1, 1});
  EXPECT_EQ(svamp[0].target, "51");
  const auto facts = make_items(find_task("country-facts", {kShipped}), {0, 1});
  ASSERT_EQ(facts.size(), 3u);
  EXPECT_EQ(facts[0].prompt, "Question: What is the capital of Algeria?\nAnswer:");
  EXPECT_EQ(facts[0].choices.size(), 4u);
  EXPECT_EQ(facts[0].target, "Algiers");
  EXPECT_EQ(facts[0].grade, "capital");
}

TEST(Items, ExamplesNeverHoldTheQuestionItself) {
  std::string rows;
  for (int i = 0; i < 12; ++i) {
    rows += Json::object({{"q", "question" + std::to_string(i) + "."}, {"a", "yes"}}).dump() + "\n";
  }
  write_temp("shots.jsonl", rows);
  const std::string head =
      "files = [\"shots.jsonl\"]\nmeasures = [\"loss\"]\nprompt = \"{q}\"\nanswers = \"{a}\"\n[few_shot]\n";
  for (const char* draw : {"random", "first"}) {
    const auto items =
        make_items(load_task(write_temp("shots.toml", head + "shots = 11\ndraw = \"" + draw + "\"\n")), {});
    ASSERT_EQ(items.size(), 12u);
    for (const EvalItem& item : items) {
      std::size_t count = 0;
      for (std::size_t at = item.prompt.find("question"); at != std::string::npos;
           at = item.prompt.find("question", at + 1))
        ++count;
      EXPECT_EQ(count, 12u);
      const std::string own = "question" + std::to_string(item.index) + ".";
      EXPECT_EQ(item.prompt.find(own), item.prompt.size() - own.size()) << item.prompt;
    }
  }
  EXPECT_THROW(make_items(load_task(test_path("shots.toml")), {12, 0}), Error);
}

TEST(TaskFiles, FaultsAreNamed) {
  write_temp("rows.jsonl", "{\"q\": \"a\", \"c\": [\"x\", \"y\"], \"i\": 2}\n");
  const std::string good =
      "files = [\"rows.jsonl\"]\nmeasures = [\"choice\"]\nprompt = \"{q}\"\nchoices = \"{c}\"\nanswer_index = \"{i}\"\n";
  auto message = [&](const std::string& text) -> std::string {
    try {
      make_items(load_task(write_temp("fault.toml", text)), {});
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(message(good).find("rows.jsonl, row 1"), std::string::npos) << message(good);
  EXPECT_NE(message(good + "skil = \"language\"\n").find("did you mean 'skill'"), std::string::npos);
  EXPECT_NE(message(good + "[few_shot]\nshot = 1\n").find("did you mean 'shots'"), std::string::npos);
  EXPECT_NE(message("files = [\"rows.jsonl\"]\nmeasures = [\"choise\"]\n").find("choise"), std::string::npos);
  EXPECT_NE(
      message("files = [\"rows.jsonl\"]\nmeasures = [\"choice\"]\nprompt = \"{q}\"\n").find("choices are missing"),
      std::string::npos);
  EXPECT_NE(message("files = 3\n").find("files"), std::string::npos);
  for (const char* name : {"", "..", "../x", "a/b", "a\\nb"}) {
    EXPECT_NE(message("name = \"" + std::string(name) + "\"\n" + good).find("cannot be the name of a file"),
              std::string::npos)
        << name;
  }
  EXPECT_NE(message(good + "[generation]\nstops = [\"\"]\n").find("stop string is empty"), std::string::npos);
  EXPECT_NE(message(good + "[normalise]\nremove = [\"(a\"]\n").find("regular expression"), std::string::npos);
  try {
    find_task("helaswag", {kShipped});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("did you mean 'hellaswag'"), std::string::npos) << e.what();
  }
}

// A score that is NaN or infinite is an error that names the item or the document; it is never a choice or a mean.
TEST(Evaluate, AScoreThatIsNotFiniteNamesItsItem) {
  for (const float bad : {NAN, -INFINITY}) {
    infer::Engine engine = fake_engine(400, 512);
    const auto score = engine.score;
    engine.score = [score, bad](const model::NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                                std::span<float> logprob, std::span<i32> argmax) {
      score(input, targets, logprob, argmax);
      logprob[logprob.size() - 1] = bad;
    };
    EvalOptions tasks, text;
    tasks.tasks = {"hellaswag"};
    tasks.task_folders = {kShipped};
    tasks.limit = 2;
    text.loss_sources = {"text=" + kGolden + "rolling.txt"};
    for (const auto& [options, place] : {std::pair{tasks, "hellaswag"}, std::pair{text, "'text', document"}}) {
      try {
        Evaluator(tiny_tokenizer(), options).run(engine, 0, 0);
        FAIL() << place;
      } catch (const Error& e) {
        EXPECT_NE(e.parts().where.find(place), std::string::npos) << e.what();
        EXPECT_NE(e.parts().got.find(std::isnan(bad) ? "NaN" : "infinity"), std::string::npos) << e.what();
      }
    }
  }
}

TEST(Evaluate, RecordsHaveEveryMeasureWithItsError) {
  EvalOptions options;
  options.tasks = {"hellaswag", "country-facts", kGolden + "mini_gsm.toml"};
  options.task_folders = {kShipped};
  options.limit = 12;
  options.items_folder = test_path("items");
  options.loss_sources = {"text=" + kGolden + "rolling.txt"};
  const Evaluator evaluator(tiny_tokenizer(), options);
  const auto records = evaluator.run(fake_engine(400, 512), 7, 1000);
  const Json& loss = records.at(0);
  EXPECT_EQ(loss.at("kind").as_string(), "loss");
  EXPECT_EQ(loss.at("source").as_string(), "text");
  EXPECT_GT(loss.at("tokens_scored").as_int(), 1000);
  bool seen = false;
  for (const Json& r : records) {
    EXPECT_EQ(r.at("step").as_int(), 7);
    EXPECT_EQ(r.at("tokens").as_int(), 1000);
    if (r.at("kind").as_string() != "task") continue;
    for (const char* key : {"skill", "grade", "items", "shots", "chance"}) EXPECT_TRUE(r.contains(key)) << key;
    if (r.at("name").as_string() == "country-facts") seen |= r.get_string("seen_source", "") == "Factbook";
    if (r.at("name").as_string() == "hellaswag") {
      EXPECT_EQ(r.at("items").as_int(), 12);
      EXPECT_DOUBLE_EQ(r.at("chance").as_double(), 0.25);
      for (const char* key : {"acc", "acc_norm", "task_loss", "task_bits_per_byte"}) {
        EXPECT_TRUE(r.contains(key) && r.contains(std::string(key) + "_se")) << key;
      }
    }
    if (r.at("name").as_string() == "mini_gsm") {
      for (const char* key : {"exact_match", "exact_match_flexible", "task_loss"}) EXPECT_TRUE(r.contains(key)) << key;
    }
  }
  EXPECT_TRUE(seen);
  const auto lines = data::read_rows(test_path("items/hellaswag.jsonl"));
  ASSERT_EQ(lines.size(), 12u);
  for (const char* key :
       {"prompt", "choices", "gold", "logprobs", "acc", "acc_norm", "target", "target_logprob", "task_loss"}) {
    EXPECT_TRUE(lines[3].contains(key)) << key;
  }
  double sum = 0;
  for (const Json& line : lines) sum += line.at("acc").as_double();
  for (const Json& r : records) {
    if (r.at("name").as_string() == "hellaswag") {
      EXPECT_DOUBLE_EQ(r.at("acc").as_double(), sum / 12);
    }
  }
}

TEST(Evaluate, AnItemsScoreDoesNotDependOnTheOthers) {
  EvalOptions options;
  options.task_folders = {kShipped};
  options.tasks = {"basic-arithmetic", kGolden + "mini_gsm.toml"};
  options.items_folder = test_path("items_many");
  Evaluator(tiny_tokenizer(), options).run(fake_engine(400, 300), 0, 0);
  options.limit = 3;
  options.rows_max = 64;
  options.sequences_max = 2;
  options.items_folder = test_path("items_few");
  Evaluator(tiny_tokenizer(), options).run(fake_engine(400, 300), 0, 0);
  for (const char* name : {"basic-arithmetic", "mini_gsm"}) {
    const auto many = data::read_rows(test_path(std::string("items_many/") + name + ".jsonl"));
    const auto few = data::read_rows(test_path(std::string("items_few/") + name + ".jsonl"));
    ASSERT_EQ(few.size(), 3u);
    for (std::size_t i = 0; i < few.size(); ++i) EXPECT_EQ(few[i].dump(), many[i].dump());
  }
}

// An engine that knows the one right continuation of each prompt: its next token is certain.
infer::Engine oracle_engine(const data::Tokenizer& tokenizer, const std::vector<std::string>& texts) {
  auto next = std::make_shared<std::vector<std::pair<u64, i32>>>();
  for (const std::string& text : texts) {
    std::vector<i32> tokens = tokenizer.encode(text);
    tokens.push_back(tokenizer.eos_id());
    u64 h = 99;
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
      h = fake_mix(h, static_cast<u64>(tokens[t]));
      next->emplace_back(h, tokens[t + 1]);
    }
  }
  std::sort(next->begin(), next->end());
  const i64 vocab = tokenizer.vocab_size();
  auto fill = [next, vocab](u64 hash, float* row) {
    std::fill(row, row + vocab, 0.0f);
    const auto at = std::lower_bound(next->begin(), next->end(), std::pair<u64, i32>(hash, -1));
    if (at != next->end() && at->first == hash) row[at->second] = 40;
  };
  infer::Engine engine = fake_engine(vocab, 1024);
  engine.logits = [fill](const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
    const auto hashes = fake_hashes(input);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      fill(hashes[static_cast<std::size_t>(rows[i])], logits_RV.f32() + static_cast<i64>(i) * logits_RV.stride);
    }
  };
  engine.score = [fill, vocab](const model::NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                               std::span<float> logprob, std::span<i32> argmax) {
    const auto hashes = fake_hashes(input);
    std::vector<float> row(static_cast<std::size_t>(vocab));
    for (std::size_t i = 0; i < targets.size(); ++i) {
      fill(hashes[static_cast<std::size_t>(targets[i].row)], row.data());
      argmax[i] = infer::argmax_token(row);
      logprob[i] = static_cast<float>(row[static_cast<std::size_t>(targets[i].token)] - fake_log_sum_exp(row));
    }
  };
  return engine;
}

// GSM8K as shipped, from the prompt to the score: a random network never writes "####", so the texts are given.
TEST(Gsm8k, StrictAndFlexibleOutcomesOfWrittenAnswers) {
  EvalOptions options;
  options.task_folders = {kShipped};
  options.tasks = {"gsm8k"};
  options.measures = {"generate"};
  options.shots = 1;
  options.limit = 5;
  options.items_folder = test_path("items_gsm8k");
  const auto items = make_items(find_task("gsm8k", options.task_folders), {options.shots, options.limit});
  ASSERT_EQ(items.size(), 5u);  // whose answers are 18, 3, 70000, 540, 20
  struct Outcome {
    std::string written, strict;
    double right_strict;
    std::string flexible;
    double right_flexible;
  };
  const std::vector<Outcome> outcomes = {
      {items[0].target, "18", 1, "18", 1},
      {"It takes 2+3=5 bolts.\n#### 5", "5", 0, "5", 0},
      {"So he made a profit of $70,000.", "[invalid]", 0, "$70,000.", 1},
      {"He runs 9*60 meters.\n#### 540\n\nQuestion: How much is 3+4?\nAnswer: 3+4=7\n#### 7", "540", 1, "540", 1},
      {"15+25 is 40.\n#### 1,\n#### 20", "1,", 0, "20", 1},
  };
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < items.size(); ++i) texts.push_back(items[i].prompt + " " + outcomes[i].written);
  const auto tokenizer = tiny_tokenizer();
  const auto records = Evaluator(tokenizer, options).run(oracle_engine(tokenizer, texts), 0, 0);
  const auto lines = data::read_rows(options.items_folder + "/gsm8k.jsonl");
  ASSERT_EQ(lines.size(), outcomes.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].at("extracted").as_string(), outcomes[i].strict) << i;
    EXPECT_EQ(lines[i].at("exact_match").as_double(), outcomes[i].right_strict) << i;
    EXPECT_EQ(lines[i].at("extracted_flexible").as_string(), outcomes[i].flexible) << i;
    EXPECT_EQ(lines[i].at("exact_match_flexible").as_double(), outcomes[i].right_flexible) << i;
  }
  EXPECT_EQ(lines[3].at("generated").as_string(), " He runs 9*60 meters.\n#### 540\n\n");  // cut before the stop
  EXPECT_DOUBLE_EQ(record_of(records, "all").at("exact_match").as_double(), 0.4);
  EXPECT_DOUBLE_EQ(record_of(records, "all").at("exact_match_flexible").as_double(), 0.8);
}

TEST(GeneratedTasks, AModelThatKnowsScoresFullAndOneThatDoesNotScoresChance) {
  data::ArithmeticOptions arithmetic;
  arithmetic.problems.problems = 300;
  arithmetic.problems.items = 40;
  arithmetic.problems.grades = {0, 1, 2};
  arithmetic.problems.weights = {1, 1, 1};
  arithmetic.problems.grades_test = {0, 2};
  data::FactsOptions facts;
  facts.people = 60;
  facts.items_max = 30;
  const std::string folder = test_path("generated");
  data::write_generated_task(data::make_arithmetic(arithmetic), folder, false);
  data::write_generated_task(data::make_facts(facts), folder, false);
  EvalOptions options;
  options.task_folders = {folder};
  std::vector<std::string> known;
  for (const std::string& path : list_tasks(folder)) {
    options.tasks.push_back(path);
    for (const Json& row : data::read_rows(path)) {
      std::string text = row.at("prompt").as_string() + row.get_string("solution", "");
      known.push_back(text + " " + row.at("answer").as_string() + (row.contains("solution") ? "." : ""));
    }
  }
  ASSERT_GE(options.tasks.size(), 3u);
  const auto tokenizer = tiny_tokenizer();
  const Evaluator evaluator(tokenizer, options);
  bool bits = false, worked = false;
  for (const Json& r : evaluator.run(oracle_engine(tokenizer, known), 0, 0)) {
    if (r.contains("acc")) {
      EXPECT_EQ(r.at("acc").as_double(), 1) << r.dump();
    }
    EXPECT_TRUE(r.contains("acc") || r.contains("exact_match")) << r.dump();
    if (r.contains("exact_match")) {
      EXPECT_EQ(r.at("exact_match").as_double(), 1) << r.dump();
    }
    EXPECT_LT(r.at("task_loss").as_double(), 1e-6);
    EXPECT_GT(r.at("chance").as_double(), 0);
    EXPECT_LT(r.at("chance").as_double(), 0.5);
    if (r.contains("answer_loss") && r.contains("step_loss")) worked = true;
    if (r.contains("knowledge_share")) {
      bits = true;
      EXPECT_NEAR(r.at("knowledge_share").as_double(), 1, 1e-6);
      EXPECT_EQ(r.at("skill").as_string(), "memorisation");
    }
  }
  EXPECT_TRUE(bits && worked);
  for (const Json& r : evaluator.run(fake_engine(tokenizer.vocab_size(), 1024), 0, 0)) {
    if (r.contains("knowledge_share")) {
      EXPECT_LT(r.at("knowledge_share").as_double(), 0.3);
    }
    if (r.contains("acc") && r.at("items").as_int() >= 40) {
      EXPECT_LT(r.at("acc").as_double(), 0.45) << r.dump();
    }
    if (!r.contains("acc")) {
      EXPECT_LT(r.at("exact_match").as_double(), 0.2);
    }
  }
}

TEST(GeneratedTasks, StepLossIsTheLossOfTheResultsAlone) {
  const std::string path = test_path("steps.jsonl");
  const std::string prompt = " ( 5 * 2 ) + 3 ? Steps:", solution = " 5 * 2 = 3. 3 + 3 = 16. Answer:";
  const auto line = [&](const std::string& ranges) {
    return R"({"id":"a","task":"steps","prompt":")" + prompt +
           R"(","answer":"16","answer_after":"Answer:","solution":")" + solution +
           R"(","tokens_max":40,"step_results":)" + ranges + "}\n";
  };
  file_write_atomic(path, line("[[9,10],[20,22]]"));
  EvalOptions options;
  options.tasks = {path};
  options.measures = {"loss"};
  const auto tokenizer = tiny_tokenizer();
  infer::Engine engine = fake_engine(tokenizer.vocab_size(), 1024);
  engine.score = [](const model::NetworkInput&, std::span<const kernels::HeadTarget> targets, std::span<float> logprob,
                    std::span<i32> argmax) {
    for (std::size_t i = 0; i < targets.size(); ++i) {
      argmax[i] = 0;
      logprob[i] = -static_cast<float>(targets[i].token);
    }
  };
  // The tokens that overlap the results, found in the text.
  const std::vector<i32> tokens = tokenizer.encode(prompt + solution + " 16");
  const std::size_t first = prompt.size() + 9, second = prompt.size() + 20;
  double sum = 0, count = 0;
  std::size_t begin = 0;
  for (const i32 token : tokens) {
    const std::size_t end = begin + tokenizer.token_bytes(token).size();
    if ((begin < first + 1 && end > first) || (begin < second + 2 && end > second)) {
      sum += token;
      ++count;
    }
    begin = end;
  }
  ASSERT_GE(count, 2);
  const auto records = Evaluator(tokenizer, options).run(engine, 0, 0);
  EXPECT_NEAR(record_of(records, "all").at("step_loss").as_double(), sum / count, 1e-9);
  for (const char* wrong : {"[[9,10],[8,12]]", "[[9,99]]", "[9,10]", "[[10,9]]", "\"9\"", "[[-1,2]]", "[[0.5,1]]"}) {
    file_write_atomic(path, line(wrong));
    EXPECT_THROW(Evaluator(tokenizer, options).run(engine, 0, 0), Error) << wrong;
  }
}

TEST(Evaluate, TheTwoPromptFormsAreBothOffered) {
  EvalOptions options;
  options.tasks = {kGolden + "mini_gsm.toml"};
  options.measures = {"loss"};
  options.items_folder = test_path("items_form");
  auto lines = [&](const char* form) {
    options.loss_form = form;
    const auto records = Evaluator(tiny_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
    EXPECT_EQ(record_of(records, "all").at("loss_form").as_string(), form);
    EXPECT_FALSE(record_of(records, "all").contains("exact_match"));
    return data::read_rows(options.items_folder + "/mini_gsm.jsonl");
  };
  const auto bare = lines("as-published"), with = lines("with-separator");
  double macro = 0;
  for (std::size_t i = 0; i < bare.size(); ++i) {
    EXPECT_NE(bare[i].at("task_loss"), with[i].at("task_loss"));
    macro += with[i].at("task_bits_per_byte").as_double();
    // Bytes are those of the answer alone in both forms.
    EXPECT_NEAR(-with[i].at("target_logprob").as_double() / std::log(2.0) /
                    static_cast<double>(with[i].at("target").as_string().size()),
                with[i].at("task_bits_per_byte").as_double(), 1e-9);
  }
  const auto records = Evaluator(tiny_tokenizer(), options).run(fake_engine(400, 512), 0, 0);
  EXPECT_NEAR(record_of(records, "all").at("task_bits_per_byte").as_double(), macro / static_cast<double>(with.size()),
              1e-9);
}

}  // namespace
}  // namespace moebius::eval
