// The plan of memory against what a process really reaches (VmHWM): small and middling trainings in child processes, kept
// and recomputed, two micro-batches, both precisions, begun and resumed. The child is this program itself.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/error.h"
#include "base/memory.h"
#include "train/test_support.h"

namespace moebius::train {
namespace {

constexpr const char* kFolder = "MOEBIUS_TEST_MEMORY_FOLDER";
constexpr const char* kCase = "MOEBIUS_TEST_MEMORY_CASE";

struct MemoryCase {
  i64 vocab, d_model, layers, experts, top_k, width, sequence, batch_tokens, micro_batch_tokens;
  const char* precision;
  const char* recompute;
};

constexpr MemoryCase kCases[] = {
    {2048, 128, 4, 16, 2, 128, 128, 4096, 4096, "bf16", "none"},
    {2048, 128, 4, 16, 2, 128, 128, 4096, 4096, "bf16", "layer"},
    {2048, 128, 4, 16, 2, 128, 128, 4096, 1024, "bf16", "none"},
    {2048, 128, 4, 16, 2, 128, 128, 4096, 1024, "bf16", "layer"},
    {8192, 256, 4, 32, 4, 256, 512, 2048, 2048, "bf16", "none"},
    {8192, 256, 4, 32, 4, 256, 512, 2048, 1024, "bf16", "layer"},
    {2048, 192, 3, 0, 1, 768, 256, 2048, 1024, "f32", "none"},
};

model::ModelConfig config_of(const MemoryCase& c) {
  model::ModelConfig config;
  config.vocab = c.vocab;
  config.d_model = c.d_model;
  config.layers = c.layers;
  config.attention.heads = c.d_model / 64;
  config.experts.experts = c.experts;
  config.experts.top_k = c.top_k;
  config.experts.width = c.width;
  config.resolve();
  return config;
}

TrainOptions options_of(const MemoryCase& c, const std::string& out) {
  TrainOptions options = testing::tiny_options(out, 3);
  options.batch_tokens = c.batch_tokens;
  options.sequence = c.sequence;
  options.micro_batch_tokens = c.micro_batch_tokens;
  options.precision = c.precision;
  options.recompute = c.recompute;
  return options;
}

// Documents of one sequence each: attention's scratch has the size that the plan expects.
std::vector<std::vector<i32>> documents_of(const MemoryCase& c) {
  Rng rng(4, RngStream::test);
  std::vector<std::vector<i32>> documents(16);
  for (auto& document : documents) {
    for (i64 i = 0; i < c.sequence; ++i)
      document.push_back(static_cast<i32>(rng.next_below(static_cast<u64>(c.vocab))));
  }
  return documents;
}

// Stops at the second step when the folder is new; runs to the end when it is not.
TEST(TrainMemory, DISABLED_Child) {
  const char* folder = std::getenv(kFolder);
  const char* number = std::getenv(kCase);
  ASSERT_TRUE(folder != nullptr && number != nullptr);
  const MemoryCase& c = kCases[std::atoi(number)];
  const bool fresh = !file_exists(path_join(folder, "checkpoint/state.json"));
  const TrainOptions options = options_of(c, folder);
  data::MemorySource source(documents_of(c), options.batch_tokens / options.sequence, options.sequence);
  TrainHooks hooks = testing::fixed_roof();
  hooks.evaluates = [&](i64 step, i64) { return fresh && step == 2; };
  hooks.evaluate = [](model::Network&, i64, i64) -> std::vector<Json> { throw Error({.what = "stopped by the test"}); };
  try {
    train_run(options, config_of(c), source, Json("memory"), hooks);
  } catch (const Error&) {
    ASSERT_TRUE(fresh);
  }
  file_write_atomic(path_join(folder, "peak.txt"), std::to_string(memory_peak()));
}

i64 peak_of_child(std::size_t number, const std::string& folder) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv(kFolder, folder.c_str(), 1);
    ::setenv(kCase, std::to_string(number).c_str(), 1);
    ::execl("/proc/self/exe", "train_slow_test", "--gtest_also_run_disabled_tests",
            "--gtest_filter=TrainMemory.DISABLED_Child", "--gtest_brief=1", nullptr);
    ::_exit(127);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return std::stoll(file_read(path_join(folder, "peak.txt")));
}

TEST(TrainMemory, ThePlanIsThePeakWithinFivePercent) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory is not in the plan";
#endif
  for (std::size_t i = 0; i < std::size(kCases); ++i) {
    const std::string folder = testing::fresh_folder("memory_plan");
    for (const char* what : {"from the start", "resumed"}) {
      const double peak = static_cast<double>(peak_of_child(i, folder));
      const Json memory = Json::parse_file(path_join(folder, "options.json")).at("memory");
      const double planned = memory.at("total_bytes").as_double();
      EXPECT_NEAR(planned / peak, 1, 0.05)
          << "case " << i << ", " << what << ": planned " << planned << ", peak " << peak;
      EXPECT_EQ(memory.at("recompute").as_string(), kCases[i].recompute);
      RecordProperty("ratio_" + std::to_string(i), std::to_string(planned / peak));
    }
  }
}

}  // namespace
}  // namespace moebius::train
