// Shared by the tests of train: tiny models, data in memory, options, a fresh folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/file.h"
#include "records/record.h"
#include "base/rng.h"
#include "base/test_folder.h"
#include "train/train_run.h"

namespace moebius::train::testing {

inline std::string fresh_folder(const std::string& name) {
  const std::string path = test_path(name);
  folder_remove_all(path);
  return path;
}

inline model::ModelConfig tiny_config() {
  model::ModelConfig config;
  config.name = "tiny";
  config.vocab = 64;
  config.d_model = 32;
  config.layers = 2;
  config.attention.heads = 2;
  config.experts.experts = 4;
  config.experts.top_k = 2;
  config.experts.width = 32;
  config.losses.balance_coefficient = 0.01;
  config.losses.z_coefficient = 0.001;
  config.resolve();
  return config;
}

inline std::vector<std::vector<i32>> tiny_documents(i64 vocab = 64) {
  Rng rng(3, RngStream::test);
  std::vector<std::vector<i32>> documents;
  for (int i = 0; i < 40; ++i) {
    std::vector<i32> document(static_cast<std::size_t>(2 + rng.next_below(30)));
    i32 token = static_cast<i32>(rng.next_below(static_cast<u64>(vocab)));
    const i32 stride = 1 + static_cast<i32>(rng.next_below(3));
    for (i32& id : document) {
      id = token;
      token = static_cast<i32>((token + stride) % vocab);
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

inline TrainOptions tiny_options(const std::string& out, i64 steps) {
  TrainOptions options;
  options.out = out;
  options.steps = steps;
  options.batch_tokens = 128;
  options.sequence = 32;
  options.micro_batch_tokens = 64;
  options.checkpoint_minutes = 0;
  options.tensorboard = false;
  options.precision = "bf16";  // auto would test something else on each machine
  options.router_every = 5;
  options.optimizer.learning_rate = 3e-3;
  return options;
}

inline TrainHooks fixed_roof() {
  TrainHooks hooks;
  hooks.roof = {1e12, 1e11, 1e10, 0, 0};  // nothing measured: tests compare results, not speed
  return hooks;
}

inline TrainResult tiny_run(const TrainOptions& options, const TrainHooks& hooks,
                            const model::ModelConfig& config = tiny_config()) {
  check_options(options);
  data::MemorySource source(tiny_documents(), options.batch_tokens / options.sequence, options.sequence);
  return train_run(options, config, source, Json("memory"), hooks);
}

inline std::vector<double> losses_of(const std::string& out) {
  std::vector<double> losses;
  for (const Json& record : records::read(path_join(out, "records.jsonl"), "step")) {
    losses.push_back(record.at("loss").as_double());
  }
  return losses;
}

inline std::string model_bytes(const std::string& out) {
  return file_read(path_join(out, "checkpoint/model.safetensors"));
}

}  // namespace moebius::train::testing
