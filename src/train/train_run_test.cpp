// Runs: what is written, equalities (threads, resuming, micro-batches), skipping, errors.
#include "train/train_run.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/error.h"
#include "base/parallel.h"
#include "kernels/isa.h"
#include "kernels/table.h"
#include "train/memory_plan.h"
#include "train/run_log.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

using testing::fixed_roof;
using testing::fresh_folder;
using testing::losses_of;
using testing::model_bytes;
using testing::tiny_config;
using testing::tiny_options;
using testing::tiny_run;

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(TrainRun, LearnsAndWritesItsFiles) {
  const std::string out = fresh_folder("files");
  TrainOptions options = tiny_options(out, 60);
  options.tensorboard = true;
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64 total) { return step == 0 || step == total; };
  hooks.evaluate = [](model::Network&, i64 step, i64) {
    return std::vector<Json>{Json::object({{"name", "probe"}, {"kind", "loss"}, {"loss", static_cast<double>(step)}})};
  };
  const TrainResult result = tiny_run(options, hooks);
  EXPECT_FALSE(result.skipped);
  EXPECT_EQ(result.steps, 60);
  EXPECT_EQ(result.totals.tokens, 60 * 128);
  const std::vector<double> losses = losses_of(out);
  ASSERT_EQ(losses.size(), 60u);
  EXPECT_NEAR(losses.front(), std::log(64.0), 0.3);
  EXPECT_LT(result.loss_final, losses.front() - 0.5);
  EXPECT_NEAR(result.loss_final, (losses[57] + losses[58] + losses[59]) / 3, 1e-12);
  const std::string records = path_join(out, "records.jsonl");
  ASSERT_EQ(records::read(records, "run").size(), 1u);
  const Json run = records::read(records, "run")[0];
  for (const char* key :
       {"run", "config", "parameters_total", "parameters_active", "flops_per_token_megatron", "flops_per_token_6n",
        "tokens_total", "tpp", "sparsity", "seed_init", "seed_data", "learning_rate", "balance_coefficient",
        "balance_scope", "z_coefficient", "precision", "isa", "threads", "machine"}) {
    EXPECT_TRUE(run.contains(key)) << key;
  }
  EXPECT_EQ(run.at("balance_scope").as_string(), "micro-batch of 64 tokens");
  const Json step = records::read(records, "step")[30];
  for (const char* key : {"step", "tokens", "loss", "loss_balance", "loss_z", "grad_norm", "learning_rate",
                          "tokens_per_s", "step_ns", "roof_share", "load_max_over_mean", "dead_experts"}) {
    EXPECT_TRUE(step.contains(key)) << key;
  }
  const auto routers = records::read(records, "router");
  ASSERT_EQ(routers.size(), 12u);
  ASSERT_EQ(routers[0].at("layers").count(), 2);
  double load = 0;
  for (const Json& share : routers[0].at("layers")[0].at("load").as_array()) load += share.as_double();
  EXPECT_NEAR(load, 1, 1e-12);
  EXPECT_EQ(records::read(records, "eval").size(), 2u);
  EXPECT_EQ(records::read(records, "eval")[1].at("tokens").as_int(), 60 * 128);
  EXPECT_EQ(records::read(records, "train_end").size(), 1u);
  EXPECT_EQ(folder_list(path_join(out, "tensorboard")).size(), 1u);
  for (const char* name : {"config.json", "model.safetensors", "state.json"}) {
    EXPECT_TRUE(file_exists(path_join(out, std::string("checkpoint/") + name))) << name;
  }
  EXPECT_FALSE(file_exists(path_join(out, "checkpoint/optimizer.safetensors")));
}

TEST(TrainRun, FinishedRunsAreSkipped) {
  const std::string out = fresh_folder("skip");
  const TrainResult first = tiny_run(tiny_options(out, 4), fixed_roof());
  const std::string records = file_read(path_join(out, "records.jsonl"));
  const TrainResult second = tiny_run(tiny_options(out, 4), fixed_roof());
  EXPECT_TRUE(second.skipped);
  EXPECT_EQ(second.loss_final, first.loss_final);
  EXPECT_EQ(file_read(path_join(out, "records.jsonl")), records);
}

// The tokenizer is read before training and written with its config, from a folder or an archive; a finished run gets it
// later. A pipe, which could be read only once, is refused at the start.
TEST(TrainRun, CheckpointsHaveTheTokenizerWithItsConfig) {
  const std::string folder = fresh_folder("tokenizer"), out = fresh_folder("tokenizer_run");
  folder_make(folder);
  file_write_atomic(path_join(folder, "tokenizer.json"), "{\"a\": 1}");
  file_write_atomic(path_join(folder, "tokenizer_config.json"), "{\"eos_token\": \"x\"}");
  TrainOptions options = tiny_options(out, 4);
  tiny_run(options, fixed_roof());
  const std::string copy = path_join(out, "checkpoint/tokenizer.json");
  EXPECT_FALSE(file_exists(copy));
  options.tokenizer = folder;
  EXPECT_TRUE(tiny_run(options, fixed_roof()).skipped);
  EXPECT_EQ(file_read(copy), "{\"a\": 1}");
  TrainOptions fresh = tiny_options(fresh_folder("tokenizer_first"), 4);
  fresh.tokenizer = folder;
  tiny_run(fresh, fixed_roof());
  EXPECT_EQ(file_read(path_join(fresh.out, "checkpoint/tokenizer.json")), "{\"a\": 1}");
  EXPECT_EQ(file_read(path_join(fresh.out, "checkpoint/tokenizer_config.json")), "{\"eos_token\": \"x\"}");
  fresh.tokenizer = path_join(folder, "absent.json");
  EXPECT_NE(error_of([&] { tiny_run(fresh, fixed_roof()); }).find("absent.json"), std::string::npos);
}

TEST(TrainRun, DamagedStateIsNamed) {
  const std::string out = fresh_folder("damaged");
  TrainOptions options = tiny_options(out, 8);
  options.optimizer_kept = true;
  tiny_run(options, fixed_roof());
  const std::string state = path_join(out, "checkpoint/state.json"), content = file_read(state);
  const auto with_step = [&](const std::string& step) {
    Json json = Json::parse(content, state);
    json.set("finished", false);
    json.set("records", 0);  // the damage is not theirs
    std::string text = json.dump(1);
    const std::size_t at = text.find("\"step\": 8");
    ASSERT_NE(at, std::string::npos);
    file_write_atomic(state, text.replace(at, 9, "\"step\": " + step));
  };
  file_remove(state);
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("no state.json"), std::string::npos);
  for (const char* step : {"-3", "9"}) {
    with_step(step);
    EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("'step' is out of range"), std::string::npos);
  }
  const auto with = [&](const char* key, const Json& value) {
    Json json = Json::parse(content, state);
    json.set("finished", false);
    json.set("records", 0);
    json.set(key, value);
    file_write_atomic(state, json.dump(1));
    return error_of([&] { tiny_run(options, fixed_roof()); });
  };
  for (const i64 micro : {i64{0}, i64{-1}, i64{1} << 50}) {
    EXPECT_NE(with("micro_batch_tokens", micro).find("'micro_batch_tokens' is not"), std::string::npos) << micro;
  }
  for (const auto& [key, value] : {std::pair<const char*, Json>{"format_version", true}, {"options", 3}, {"data", 3}}) {
    const std::string text = with(key, value);
    EXPECT_NE(text.find("state.json"), std::string::npos) << text;
    EXPECT_NE(text.find("remove the run's folder"), std::string::npos) << text;
  }
  EXPECT_NE(with("model", Json::object()).find("differs in its model"), std::string::npos);
  EXPECT_NE(with("sources", 3).find("differs in its sources"), std::string::npos);
  with_step("7");
  const std::string moments = path_join(out, "checkpoint/optimizer.safetensors");
  std::string bytes = file_read(moments);
  const float bad = -1.0f;
  std::memcpy(bytes.data() + bytes.size() - 4, &bad, 4);  // the last second moment
  file_write_atomic(moments, bytes);
  const std::string text = error_of([&] { tiny_run(options, fixed_roof()); });
  EXPECT_NE(text.find("tensor 'second_moment."), std::string::npos) << text;
  EXPECT_NE(text.find("negative"), std::string::npos) << text;
}

TEST(TrainRun, OneThreadEqualsMany) {
  const std::string one = fresh_folder("one_thread"), many = fresh_folder("many_threads");
  parallel_set_threads(1);
  tiny_run(tiny_options(one, 8), fixed_roof());
  parallel_set_threads(4);
  tiny_run(tiny_options(many, 8), fixed_roof());
  parallel_set_threads(0);
  EXPECT_EQ(losses_of(one), losses_of(many));
  EXPECT_EQ(model_bytes(one), model_bytes(many));
}

// The first run is stopped by an error in its evaluation after step 5, as an interrupt would; the second resumes.
TEST(TrainRun, ResumedEqualsUninterrupted) {
  for (const char* precision : {"bf16", "f32"}) {
    const std::string whole = fresh_folder("whole"), cut = fresh_folder("cut");
    TrainOptions options = tiny_options(whole, 12);
    options.precision = precision;
    options.optimizer_kept = true;
    model::ModelConfig config = tiny_config();
    config.router.bias_rate = 0.001;  // the selection bias is part of the state
    tiny_run(options, fixed_roof(), config);
    options.out = cut;
    TrainHooks hooks = fixed_roof();
    bool stop = true;
    hooks.evaluates = [](i64 step, i64) { return step == 5; };
    hooks.evaluate = [&](model::Network&, i64, i64) -> std::vector<Json> {
      if (stop) throw Error({.what = "interrupted"});
      return {Json::object({{"name", "probe"}})};
    };
    EXPECT_NE(error_of([&] { tiny_run(options, hooks, config); }), "");
    stop = false;
    tiny_run(options, hooks, config);
    EXPECT_EQ(losses_of(whole), losses_of(cut));
    EXPECT_EQ(model_bytes(whole), model_bytes(cut));
    EXPECT_EQ(file_read(path_join(whole, "checkpoint/optimizer.safetensors")),
              file_read(path_join(cut, "checkpoint/optimizer.safetensors")));
    // The interrupted evaluation was made up for.
    EXPECT_EQ(records::read(path_join(cut, "records.jsonl"), "eval").size(), 1u);
    EXPECT_EQ(records::read(path_join(cut, "records.jsonl"), "run").size(), 2u);
  }
}

// Without auxiliary losses (whose scope is the micro-batch) only the order of sums differs.
TEST(TrainRun, MicroBatchesEqualOneBatch) {
  const std::string one = fresh_folder("micro_one"), four = fresh_folder("micro_four");
  TrainOptions options = tiny_options(one, 10);
  options.precision = "f32";
  model::ModelConfig config = tiny_config();
  config.losses.balance_coefficient = 0;
  config.losses.z_coefficient = 0;
  options.micro_batch_tokens = 128;
  tiny_run(options, fixed_roof(), config);
  options.out = four;
  options.micro_batch_tokens = 32;
  tiny_run(options, fixed_roof(), config);
  const std::vector<double> a = losses_of(one), b = losses_of(four);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << i;
}

TEST(TrainRun, ChecksWhatASavedRunWas) {
  const std::string out = fresh_folder("identity");
  TrainOptions options = tiny_options(out, 6);
  tiny_run(options, fixed_roof());
  options.optimizer.learning_rate = 1e-4;
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("learning_rate"), std::string::npos);
  options = tiny_options(out, 6);
  model::ModelConfig config = tiny_config();
  config.experts.experts = 8;
  const std::string error = error_of([&] { tiny_run(options, fixed_roof(), config); });
  EXPECT_NE(error.find("experts"), std::string::npos) << error;
  options.steps = 7;
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("steps_total"), std::string::npos);
}

TEST(TrainRun, AnotherInstructionSetIsRefusedUnlessAllowed) {
  const std::string out = fresh_folder("isa");
  TrainOptions options = tiny_options(out, 6);
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 3; };
  hooks.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stop"}); };
  kernels::isa_select("portable");
  EXPECT_NE(error_of([&] { tiny_run(options, hooks); }), "");
  kernels::isa_select("auto");
  if (kernels::isa_current() == kernels::Isa::portable) GTEST_SKIP() << "this machine has one instruction set";
  const std::string error = error_of([&] { tiny_run(options, fixed_roof()); });
  EXPECT_NE(error.find("--isa portable"), std::string::npos) << error;
  options.resume.isa_change = true;
  EXPECT_EQ(tiny_run(options, fixed_roof()).steps, 6);
  const Json state = Json::parse_file(path_join(out, "checkpoint/state.json"));
  EXPECT_EQ(state.at("isa_past")[0].as_string(), "portable");
}

// Started where f32 is the fastest, it stays in f32 where bf16 would be.
TEST(TrainRun, AutomaticPrecisionIsKeptOnAnotherInstructionSet) {
  const std::string out = fresh_folder("precision");
  TrainOptions options = tiny_options(out, 6);
  options.precision = "auto";
  options.resume.isa_change = true;
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 3; };
  hooks.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stop"}); };
  kernels::isa_select("portable");
  EXPECT_EQ(kernels::isa_fastest_precision(), std::string("f32"));
  EXPECT_NE(error_of([&] { tiny_run(options, hooks); }), "");
  kernels::isa_select("auto");
  EXPECT_EQ(tiny_run(options, fixed_roof()).steps, 6);
  for (const Json& run : records::read(path_join(out, "records.jsonl"), "run")) {
    EXPECT_EQ(run.at("precision").as_string(), "f32");
  }
  EXPECT_TRUE(tiny_run(options, fixed_roof()).skipped);
  options.precision = "bf16";
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("precision"), std::string::npos);
}

TEST(TrainRun, RefusesBadBudgets) {
  TrainOptions options = tiny_options(fresh_folder("budget"), 0);
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("no training budget"), std::string::npos);
  options.steps = 3;
  options.tokens = 1'000'000;
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("disagree"), std::string::npos);
  options.tokens = 0;
  options.batch_tokens = 100;
  EXPECT_NE(error_of([&] { steps_total(options); }).find("multiple of the sequence"), std::string::npos);
  options.batch_tokens = 128;
  options.micro_batch_tokens = 96;
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("divisor"), std::string::npos);
  options.micro_batch_tokens = 0;
  options.memory_max = "64kB";
  EXPECT_NE(error_of([&] { tiny_run(options, fixed_roof()); }).find("does not fit"), std::string::npos);
  options.memory_max = "-3GB";
  EXPECT_NE(error_of([&] { check_options(options); }).find("positive number of bytes"), std::string::npos);
}

TEST(TrainRun, MicroBatchFollowsTheMemoryLimit) {
  TrainOptions options = tiny_options(fresh_folder("memory"), 1);
  options.micro_batch_tokens = 0;
  const model::ModelConfig config = tiny_config();
  options.memory_max = "1GB";
  const MemoryPlan all = plan_memory(config, options);
  EXPECT_EQ(all.micro_batch_tokens, 128);
  options.memory_max = std::to_string(all.memory.total() - 1);
  const MemoryPlan half = plan_memory(config, options);
  EXPECT_EQ(half.micro_batch_tokens, 64);
  EXPECT_LT(half.memory.total(), all.memory.total());
}

// Recomputation changes memory and time alone: losses, gradient norms and weights after several steps are the same bits.
TEST(TrainRun, RecomputedIsKept) {
  for (const char* precision : {"bf16", "f32"}) {
    const std::string kept = fresh_folder("recompute_none"), again = fresh_folder("recompute_layer");
    TrainOptions options = tiny_options(kept, 6);
    options.precision = precision;
    model::ModelConfig config = tiny_config();
    config.layers = 4;
    config.router.bias_rate = 0.01;
    config.router.score = model::RouterScore::sigmoid;
    config.resolve();
    EXPECT_EQ(tiny_run(options, fixed_roof(), config).recompute, "none");
    options.out = again;
    options.recompute = "layer";
    EXPECT_EQ(tiny_run(options, fixed_roof(), config).recompute, "layer");
    const auto steps = [](const std::string& out) { return records::read(path_join(out, "records.jsonl"), "step"); };
    ASSERT_EQ(steps(kept).size(), 6u);
    for (std::size_t i = 0; i < 6; ++i) {
      for (const char* key : {"loss", "loss_balance", "grad_norm"}) {
        EXPECT_EQ(steps(kept)[i].at(key).as_double(), steps(again)[i].at(key).as_double()) << key << " " << i;
      }
    }
    EXPECT_EQ(model_bytes(kept), model_bytes(again)) << precision;
  }
}

TEST(TrainRun, RecomputesOnlyWhenNothingFitsOtherwise) {
  TrainOptions options = tiny_options(fresh_folder("recompute_auto"), 4);
  options.micro_batch_tokens = options.sequence;
  model::ModelConfig config = tiny_config();
  config.layers = 24;
  config.d_model =
      256;  // so that activations weigh more than huge pages, and than what a plan sees the program grow by
  config.resolve();
  options.memory_max = "2GB";
  const i64 kept = plan_memory(config, options).memory.total();
  options.recompute = "layer";
  ASSERT_LT(plan_memory(config, options).memory.total(), kept);
  options.recompute = "auto";
  options.micro_batch_tokens = 0;
  EXPECT_EQ(plan_memory(config, options).recompute, model::Recompute::none);
  options.memory_max = std::to_string(kept - 1);
  const MemoryPlan chosen = plan_memory(config, options);
  EXPECT_EQ(chosen.recompute, model::Recompute::layer);
  EXPECT_LE(chosen.memory.total(), kept - 1);
  options.recompute = "none";
  EXPECT_NE(error_of([&] { plan_memory(config, options); }).find("--recompute auto"), std::string::npos);
}

// What was chosen is kept when a run is resumed, whatever memory there is by then.
TEST(TrainRun, RecomputationIsKeptOnResume) {
  const std::string out = fresh_folder("recompute_resume");
  TrainOptions options = tiny_options(out, 6);
  options.recompute = "layer";
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 3; };
  hooks.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stopped by the test"}); };
  EXPECT_NE(error_of([&] { tiny_run(options, hooks); }).find("stopped by the test"), std::string::npos);
  EXPECT_EQ(Json::parse_file(path_join(out, "checkpoint/state.json")).at("recompute").as_string(), "layer");
  options.recompute = "auto";
  EXPECT_EQ(tiny_run(options, fixed_roof()).recompute, "layer");
}

TEST(TrainRun, RefusesIdsOutsideTheVocabulary) {
  model::ModelConfig config = tiny_config();
  config.vocab = 32;
  const std::string error = error_of([&] { tiny_run(tiny_options(fresh_folder("vocab"), 1), fixed_roof(), config); });
  EXPECT_NE(error.find("outside of the model's vocabulary"), std::string::npos) << error;
}

// A disk that fills up while a checkpoint is written: the limit on file sizes makes write() fail as a full disk does.
TEST(TrainRun, AFullDiskLosesNothing) {
  const std::string out = fresh_folder("full_disk");
  TrainOptions options = tiny_options(out, 6);
  options.checkpoint_steps = 2;
  rlimit before = {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 3; };
  hooks.evaluate = [&](model::Network&, i64, i64) {
    const rlimit small = {60'000, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    return std::vector<Json>();
  };
  const std::string error = error_of([&] { tiny_run(options, hooks); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(error, "");
  EXPECT_EQ(Json::parse_file(path_join(out, "checkpoint/state.json")).at("step").as_int(), 2);
  EXPECT_FALSE(folder_exists(path_join(out, "checkpoint.new")));
  // With room again the same run ends as if nothing had been.
  tiny_run(options, fixed_roof());
  const std::string other = fresh_folder("full_disk_other");
  tiny_run(tiny_options(other, 6), fixed_roof());
  EXPECT_EQ(model_bytes(out), model_bytes(other));
  EXPECT_EQ(losses_of(out), losses_of(other));
}

// What decides the resumed run has no default: a key that is missing is named.
TEST(TrainRun, AStateWithoutAKeyIsRefused) {
  const std::string out = fresh_folder("state_key");
  tiny_run(tiny_options(out, 2), fixed_roof());
  const Json whole = Json::parse_file(path_join(out, "checkpoint/state.json"));
  EXPECT_EQ(TrainState::from_json(whole, out).step, 2);
  for (const std::string key : {"step", "flops", "isa_past", "data"}) {
    Json state = Json::object();
    for (const auto& [name, value] : whole.as_object()) {
      if (name != key) state.set(name, value);
    }
    const std::string error = error_of([&] { TrainState::from_json(state, out); });
    EXPECT_NE(error.find("'" + key + "' is missing"), std::string::npos) << error;
  }
  Json wrong = whole;
  wrong.set("step", "two");
  const std::string error = error_of([&] { TrainState::from_json(wrong, out); });
  EXPECT_NE(error.find("'step'"), std::string::npos) << error;
  EXPECT_NE(error.find("restore an older checkpoint"), std::string::npos) << error;
}

TEST(TrainRun, RecordsWithoutACheckpointAreRemovedWithAWarning) {
  const std::string out = fresh_folder("no_checkpoint"), records = path_join(out, "records.jsonl");
  tiny_run(tiny_options(out, 2), fixed_roof());
  const std::size_t lines = records::read(records).size();
  folder_remove_all(path_join(out, "checkpoint"));
  ::testing::internal::CaptureStderr();
  tiny_run(tiny_options(out, 2), fixed_roof());
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("no checkpoint to resume from"), std::string::npos) << log;
  EXPECT_NE(log.find("again at step 0"), std::string::npos) << log;
  EXPECT_EQ(records::read(records).size(), lines);
}

TEST(TrainRun, TrainsOnShardsAndSaysWhenTheyAreTooSmall) {
  const std::string folder = fresh_folder("shards");
  folder_make(folder);
  const std::string prefix = path_join(folder, "text");
  data::ShardWriter writer(prefix, 64);
  for (const auto& document : testing::tiny_documents()) writer.add(document.data(), static_cast<i64>(document.size()));
  data::ShardMeta meta;
  meta.name = "text";
  meta.vocab = 64;
  meta.end_of_text = 0;
  meta.tokenizer = "none";
  writer.commit(meta);
  TrainOptions options = tiny_options(path_join(folder, "run"), 5);
  options.data = {"text=" + prefix + ":1"};
  const TrainResult result = train_run(options, tiny_config(), fixed_roof());
  EXPECT_EQ(result.steps, 5);
  EXPECT_EQ(Json::parse_file(path_join(options.out, "checkpoint/state.json")).at("sources")[0].at("name").as_string(),
            "text");
  options.out = path_join(folder, "long");
  options.steps = 100'000;
  const std::string error = error_of([&] { train_run(options, tiny_config(), fixed_roof()); });
  EXPECT_NE(error.find("text"), std::string::npos) << error;
  EXPECT_FALSE(folder_exists(options.out));
  model::ModelConfig narrow = tiny_config();
  narrow.vocab = 32;
  options.steps = 5;
  EXPECT_NE(error_of([&] { train_run(options, narrow, fixed_roof()); }).find("--vocab 64"), std::string::npos);
  options.data = {};
  EXPECT_NE(error_of([&] { train_run(options, tiny_config(), fixed_roof()); }).find("no training data"),
            std::string::npos);
}

TEST(TrainRun, SaysWhenItMayNotWrite) {
  const std::string parent = fresh_folder("no_permission");
  folder_make(parent);
  file_write_atomic(path_join(parent, "file"), "x");
  // A file has the name of the folder: refused for root too.
  EXPECT_NE(error_of([&] { tiny_run(tiny_options(path_join(parent, "file/run"), 1), fixed_roof()); }), "");
  if (::geteuid() != 0) {
    ::chmod(parent.c_str(), 0555);
    EXPECT_NE(error_of([&] { tiny_run(tiny_options(path_join(parent, "run"), 1), fixed_roof()); }), "");
    ::chmod(parent.c_str(), 0755);
  }
}

TEST(TrainRun, StopsWhenTheLossIsNotFinite) {
  const std::string out = fresh_folder("diverged");
  TrainOptions options = tiny_options(out, 40);
  options.checkpoint_steps = 2;
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64) { return step == 3; };
  hooks.evaluate = [](model::Network& network, i64, i64) {
    for (const model::Parameter& parameter : network.weights().parameters) {
      network.weights().master.f32()[parameter.offset] = std::nanf("");
    }
    model::refresh_copy(network.weights());
    return std::vector<Json>();
  };
  const std::string error = error_of([&] { tiny_run(options, hooks); });
  EXPECT_NE(error.find("diverged"), std::string::npos) << error;
  EXPECT_EQ(Json::parse_file(path_join(out, "checkpoint/state.json")).at("step").as_int(), 2);
}

TEST(TrainRun, KeepsOlderCheckpointsWhenAsked) {
  const std::string out = fresh_folder("kept");
  TrainOptions options = tiny_options(out, 8);
  options.checkpoint_steps = 2;
  options.checkpoints_kept = 2;
  tiny_run(options, fixed_roof());
  EXPECT_FALSE(folder_exists(path_join(out, "checkpoint-2")));
  EXPECT_TRUE(folder_exists(path_join(out, "checkpoint-4")));
  EXPECT_TRUE(folder_exists(path_join(out, "checkpoint-6")));
  EXPECT_EQ(Json::parse_file(path_join(out, "checkpoint/state.json")).at("step").as_int(), 8);
}

TEST(TrainRun, StartsFromAnotherCheckpoint) {
  const std::string first = fresh_folder("start_from"), second = fresh_folder("started");
  TrainOptions options = tiny_options(first, 20);
  options.precision = "f32";
  tiny_run(options, fixed_roof());
  options.out = second;
  options.init_from = path_join(first, "checkpoint");
  tiny_run(options, fixed_roof());
  EXPECT_LT(losses_of(second).front(), losses_of(first).front() - 0.3);
  model::ModelConfig other = tiny_config();
  other.d_model = 64;
  other.attention.head_dim = 0;
  other.resolve();
  options.out = fresh_folder("started_other");
  const std::string error = error_of([&] { tiny_run(options, fixed_roof(), other); });
  EXPECT_NE(error.find("d_model"), std::string::npos) << error;
}

TEST(TrainRun, LossFreeBalancingMovesTheBias) {
  const std::string out = fresh_folder("bias");
  TrainOptions options = tiny_options(out, 3);
  options.optimizer_kept = true;
  model::ModelConfig config = tiny_config();
  config.router.bias_rate = 0.5;
  float largest = 0;
  TrainHooks hooks = fixed_roof();
  hooks.evaluates = [](i64 step, i64 total) { return step == total; };
  hooks.evaluate = [&](model::Network& network, i64, i64) {
    for (const float b : network.selection_bias()) largest = std::max(largest, std::abs(b));
    return std::vector<Json>();
  };
  tiny_run(options, hooks, config);
  EXPECT_GT(largest, 0.4f);
  EXPECT_LE(largest, 1.5f);
}

TEST(TrainRecords, ForgetsWhatCameAfterTheCheckpoint) {
  const std::string folder = fresh_folder("forget");
  folder_make(folder);
  const std::string path = path_join(folder, "records.jsonl");
  {
    records::RecordWriter writer(path);
    writer.write("run", Json::object({{"run", "a"}}));
    for (int i = 1; i <= 4; ++i) writer.write("step", Json::object({{"step", i}}));
    writer.write("eval", Json::object({{"step", 2}}));
    writer.write("train_end", Json::object({{"seconds", 1.0}}));
  }
  TrainState state;
  state.step = 2;
  forget_records(path, state);
  EXPECT_EQ(records::read(path).size(), 4u);  // run, two steps, eval
  state.evaluation_pending = true;
  forget_records(path, state);
  EXPECT_EQ(records::read(path).size(), 3u);
}

// What a run measured is gone when its records are: resuming says so, whatever is lost, and continues only when told to.
TEST(TrainRecords, LostRecordsAreNeverSilent) {
  for (const bool finished : {false, true}) {
    const std::string out = fresh_folder("lost"), path = path_join(out, "records.jsonl");
    const TrainOptions options = tiny_options(out, 8);
    TrainHooks stopped = fixed_roof();
    stopped.evaluates = [](i64 step, i64) { return step == 5; };
    stopped.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stop"}); };
    if (finished) {
      tiny_run(options, fixed_roof());
    } else {
      EXPECT_NE(error_of([&] { tiny_run(options, stopped); }), "");
    }
    const std::string whole = file_read(path);
    const std::string step = finished ? "up to step 8" : "up to step 5";
    const auto expect_refused = [&](const std::string& how) {
      const std::string text = error_of([&] { tiny_run(options, fixed_roof()); });
      EXPECT_NE(text.find(path), std::string::npos) << text;
      EXPECT_NE(text.find(step + how), std::string::npos) << text;
      EXPECT_NE(text.find("--records-lost"), std::string::npos) << text;
    };
    file_remove(path);
    expect_refused(" are missing");
    file_write_atomic(path, whole.substr(0, whole.find('\n') + 1));
    expect_refused(" are incomplete");
    file_write_atomic(path, whole.substr(whole.find('\n') + 1));  // the first line is lost
    expect_refused(" are incomplete");
    TrainOptions accepting = options;
    accepting.resume.records_lost = true;
    file_remove(path);
    const TrainResult done = tiny_run(accepting, fixed_roof());
    EXPECT_EQ(done.steps, 8);
    EXPECT_GT(done.loss_final, 0);
    if (!finished) {
      EXPECT_EQ(losses_of(out).size(), 3u);  // of the steps 6 to 8
      EXPECT_TRUE(tiny_run(options, fixed_roof()).skipped);
    }
  }
}

TEST(TrainRecords, TheWholeFileIsEnough) {
  const std::string out = fresh_folder("not_lost"), path = path_join(out, "records.jsonl");
  TrainOptions options = tiny_options(out, 8);
  options.checkpoint_steps = 2;
  options.checkpoints_kept = 3;
  options.optimizer_kept = true;
  tiny_run(options, fixed_roof());
  const std::string model = model_bytes(out);
  folder_remove_all(path_join(out, "checkpoint"));  // an older checkpoint in its place
  path_rename(path_join(out, "checkpoint-4"), path_join(out, "checkpoint"));
  tiny_run(options, fixed_roof());
  EXPECT_EQ(losses_of(out).size(), 8u);
  EXPECT_EQ(model_bytes(out), model);
}

// Sets round differently (up to 1.6e-3 in the loss of these steps); one that computes something else is off by far more. The
// emulated tiles take the place of AMX, over whatever this machine has.
TEST(TrainRun, EverySetLearnsTheSame) {
  const auto losses = [](const std::string& name) {
    const std::string out = fresh_folder("set_" + name);
    tiny_run(tiny_options(out, 6), fixed_roof());
    return losses_of(out);
  };
  kernels::isa_select("portable");
  const std::vector<double> wanted = losses("portable");
  const auto agrees = [&](const std::string& name) {
    const std::vector<double> got = losses(name);
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t step = 0; step < got.size(); ++step) EXPECT_NEAR(got[step], wanted[step], 4e-3) << name << " " << step;
  };
  for (const kernels::Isa isa : kernels::isa_all_supported()) {
    kernels::isa_select(kernels::isa_name(isa));
    agrees(kernels::isa_name(isa));
  }
  kernels::isa_select("auto");
  kernels::override_table(&kernels::amx_emulated_table());
  agrees("emulated_tiles");
  kernels::override_table(nullptr);
}

TEST(FolderReplace, OldOrNewAtEveryPoint) {
  for (const bool exchange : {true, false}) {
    const std::string root = fresh_folder("replace");
    const auto fill = [&](const std::string& name, const std::string& text) {
      folder_make(path_join(root, name));
      file_write_atomic(path_join(root, name + "/file"), text);
    };
    fill("new", "1");
    folder_replace(path_join(root, "new"), path_join(root, "current"), path_join(root, "old"), exchange);
    EXPECT_EQ(file_read(path_join(root, "current/file")), "1");
    fill("new", "2");
    folder_replace(path_join(root, "new"), path_join(root, "current"), path_join(root, "old"), exchange);
    EXPECT_EQ(file_read(path_join(root, "current/file")), "2");
    EXPECT_EQ(file_read(path_join(root, "old/file")), "1");
    EXPECT_FALSE(folder_exists(path_join(root, "new")));
    // Killed between the two renames.
    path_rename(path_join(root, "current"), path_join(root, "old2"));
    folder_recover(path_join(root, "current"), path_join(root, "old2"));
    EXPECT_EQ(file_read(path_join(root, "current/file")), "2");
  }
}

}  // namespace
}  // namespace moebius::train
