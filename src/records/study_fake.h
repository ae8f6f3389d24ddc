// Tests only: a study's folder as `study` would leave it, with effects that are planted, so that verdicts have a truth.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "records/record.h"
#include "base/rng.h"

namespace moebius::records {

struct FakeStudy {
  std::string folder = {};
  i64 seeds = 3;
  double loss_slope = -0.05;   // nats for each doubling of the total parameters
  double recall_slope = 0.06;  // accuracy of facts for each doubling
  double seed_noise = 0.005;   // of loss and accuracy between seeds
  i64 runs_written = 1000;     // later ones are missing
  Json hypotheses = Json::array();
};

struct FakeModel {
  i64 experts, top_k;
};

inline const std::vector<FakeModel>& fake_models() {
  static const std::vector<FakeModel> models = {{1, 1}, {8, 2}, {32, 2}, {128, 2}, {32, 1}, {32, 4}, {32, 8}};
  return models;
}

inline Json fake_run_fields(const FakeModel& model, i64 seed) {
  const double per_expert = 49152, base = 200000;
  const double total = base + per_expert * static_cast<double>(model.experts == 1 ? 2 : model.experts);
  const double active = base + per_expert * static_cast<double>(model.experts == 1 ? 2 : model.top_k);
  const double tokens = 3e6;
  return Json::object({{"config", Json::object({{"d_model", 64},
                                                {"layers", 4},
                                                {"heads", 4},
                                                {"experts", model.experts},
                                                {"top_k", model.top_k},
                                                {"expert_width", model.experts == 1 ? 128 : 64},
                                                {"shared_experts", 0},
                                                {"vocab", 1024},
                                                {"sequence", 128}})},
                       {"parameters_total", static_cast<i64>(total)},
                       {"parameters_active", static_cast<i64>(active)},
                       {"flops_per_token_megatron", 6.4 * active},
                       {"flops_per_token_6n", 6 * active},
                       {"tokens_total", static_cast<i64>(tokens)},
                       {"tpp", tokens / total},
                       {"sparsity", 1.0 - static_cast<double>(model.top_k) / static_cast<double>(model.experts)},
                       {"seed", seed},
                       {"learning_rate", 3e-3},
                       {"balance_coefficient", 0.01},
                       {"balance_scope", "micro-batch"}});
}

class FakeStudyWriter {
 public:
  explicit FakeStudyWriter(const FakeStudy& fake) : fake_(fake) {}

  void write() {
    folder_remove_all(fake_.folder);
    folder_make(fake_.folder);
    Json runs = Json::array();
    for (const FakeModel& model : fake_models()) {
      for (i64 seed = 1; seed <= fake_.seeds; ++seed) {
        Json entry = fake_run_fields(model, seed);
        entry.set("name", name_of(model) + "-s" + std::to_string(seed));
        entry.set("model", model.experts == 1
                               ? "dense"
                               : "E" + std::to_string(model.experts) + " k" + std::to_string(model.top_k));
        if (runs.count() < fake_.runs_written) run_write(model, seed, entry);
        runs.push_back(std::move(entry));
      }
    }
    for (const double rate : {1e-3, 3e-3, 9e-3}) sweep_write(rate, runs);
    RecordWriter records(path_join(fake_.folder, "records.jsonl"));
    records.write("roof", Json::object({{"isa", "avx512"},
                                        {"threads", 2},
                                        {"bf16_flops_per_s", 1.2e12},
                                        {"f32_flops_per_s", 2.1e11},
                                        {"dram_bytes_per_s", 2.2e10}}));
    for (const double share : {0.5, 0.36}) {
      records.write("run_done", Json::object({{"run", "sweep-10"},
                                              {"seconds", 10},
                                              {"wall_seconds", 10.0},
                                              {"roofline_seconds", 10 * share},
                                              {"roof_seconds", 2.2}}));
    }
    // Not the atomic write: its syncs are most of the tests' time.
    AppendFile(path_join(fake_.folder, "study.json")).append(study_json(std::move(runs)).dump(1));
  }

  static std::string name_of(const FakeModel& model) {
    return model.experts == 1 ? "dense" : "E" + std::to_string(model.experts) + "-k" + std::to_string(model.top_k);
  }

 private:
  double noise() { return fake_.seed_noise * rng_.next_normal(); }

  Json study_json(Json runs) const {
    return Json::object(
        {{"name", "fake"},
         {"title", "A study with planted effects <b>&"},
         {"question", "Do more experts help memorisation more than reasoning at equal active parameters?"},
         {"budget_tokens", 3000000},
         {"runs", std::move(runs)},
         {"seeds", Json::object({{"init", 1}, {"data", 1}, {"items", 7}})},
         {"learning_rate_rule", "Swept at E = 8 over three values; the best serves all models."},
         {"data",
          Json(Json::Array{
              Json::object(
                  {{"source", "facts"}, {"weight", 0.35}, {"tokens_unique", 100000}, {"tokens_seen", 1050000}}),
              Json::object(
                  {{"source", "arithmetic"}, {"weight", 0.55}, {"tokens_unique", 1650000}, {"tokens_seen", 1650000}}),
              Json::object(
                  {{"source", "wikipedia"}, {"weight", 0.1}, {"tokens_unique", 2000000}, {"tokens_seen", 300000}})})},
         {"evaluations",
          Json(Json::Array{
              Json::object({{"name", "facts"}, {"skill", "memorisation"}}),
              Json::object({{"name", "arithmetic"}, {"skill", "reasoning"}}),
              Json::object({{"name", "gsm8k"}, {"skill", "reasoning"}, {"note", "the train split is in the data"}})})},
         {"machine", Json::object({{"cpu", "A processor with two cores"}, {"cores", 2}, {"memory_bytes", 8589934592}})},
         {"hypotheses", fake_.hypotheses}});
  }

  void task_write(RecordWriter& out, const std::string& name, const std::string& skill, const std::string& grade,
                  double acc, double chance, double loss, i64 step, double bits) {
    const i64 items = 600;
    const double se = std::sqrt(std::max(acc * (1 - acc), 0.01) / static_cast<double>(items));
    Json fields = Json::object({{"step", step},
                                {"tokens", step * 2000},
                                {"name", name},
                                {"kind", "task"},
                                {"skill", skill},
                                {"grade", grade},
                                {"items", items},
                                {"shots", 0},
                                {"chance", chance},
                                {"acc", acc},
                                {"acc_se", se},
                                {"task_loss", loss},
                                {"task_loss_se", 0.01}});
    if (bits > 0) {
      fields.set("knowledge_bits", bits);
      fields.set("knowledge_bits_se", 0.02 * bits);
    }
    out.write("eval", fields);
  }

  void steps_write(RecordWriter& out, const FakeModel& model, double loss_final) {
    for (i64 step = 10; step <= 1500; step += 25) {
      Json fields = Json::object(
          {{"step", step},
           {"tokens", step * 2000},
           {"loss", loss_final + 4 * std::exp(-static_cast<double>(step) / 200) + 0.02 * rng_.next_normal()},
           {"learning_rate", 3e-3},
           {"tokens_per_s", 21000},
           {"roof_share", 0.2}});
      if (model.experts > 1) {
        fields.set("load_max_over_mean",
                   1.2 + 2 * std::exp(-static_cast<double>(step) / 300) + 0.003 * static_cast<double>(model.experts));
        fields.set("dead_experts", model.experts == 128 ? 3 : 0);
      }
      out.write("step", fields);
    }
    if (model.experts == 1) return;
    Json layers = Json::array();
    for (int layer = 0; layer < 4; ++layer) {
      std::vector<double> load(static_cast<std::size_t>(model.experts));
      double sum = 0;
      for (double& share : load) sum += share = std::exp(0.15 * (1 + layer) * rng_.next_normal());
      for (double& share : load) share /= sum;
      layers.push_back(Json::object({{"max_over_mean", 1.5}, {"dead", 0}, {"entropy", 3.0}, {"load", Json(load)}}));
    }
    out.write("router", Json::object({{"step", 1500}, {"tokens", 3000000}, {"layers", std::move(layers)}}));
  }

  void run_write(const FakeModel& model, i64, const Json& entry) {
    const std::string folder = path_join(path_join(fake_.folder, "runs"), entry.at("name").as_string());
    folder_make(folder);
    RecordWriter out(path_join(folder, "records.jsonl"));
    out.write("run", entry);
    const double doublings = std::log2(entry.at("parameters_total").as_double() / 300000);
    const double loss =
        2.5 + fake_.loss_slope * doublings - 0.02 * std::log2(static_cast<double>(model.top_k)) + noise();
    steps_write(out, model, loss);
    const double recall = 0.3 + fake_.recall_slope * doublings + noise(),
                 work = 0.35 + 0.05 * std::log2(static_cast<double>(model.top_k)) + noise();
    for (const i64 step : {500, 1000, 1500}) {
      const double share = static_cast<double>(step) / 1500;
      task_write(out, "facts", "memorisation", "all", recall * share + 0.02 * (1 - share), 0.02, 3 - 2 * recall * share,
                 step, 20000 * recall * share);
      for (const auto& [grade, factor] : {std::pair{"step 1", 1.4}, std::pair{"step 2", 0.8}, std::pair{"all", 1.0}}) {
        task_write(out, "arithmetic", "reasoning", grade, work * factor * share + 0.1 * (1 - share), 0.1,
                   2.2 - work * factor * share, step, 0);
      }
      task_write(out, "gsm8k", "reasoning", "all", 0.012 + 0.001 * std::fabs(rng_.next_normal()), 0.01,
                 4 - 0.1 * doublings, step, 0);
    }
    for (const std::string source : {"wikipedia", "books"}) {
      const double bits = 2.1 + 0.6 * fake_.loss_slope * doublings + noise();
      out.write("eval", Json::object({{"step", 1500},
                                      {"tokens", 3000000},
                                      {"name", "heldout"},
                                      {"kind", "loss"},
                                      {"source", source},
                                      {"loss", 1.4 * bits},
                                      {"loss_se", 0.02},
                                      {"bits_per_byte", bits},
                                      {"bits_per_byte_se", 0.01},
                                      {"tokens_scored", 100000},
                                      {"bytes_scored", 300000}}));
    }
    out.write("train_end", Json::object({{"seconds", 40 + 0.5 * static_cast<double>(model.experts)},
                                         {"tokens", 3000000},
                                         {"tokens_per_s", 60000.0 / (1 + 0.01 * static_cast<double>(model.experts))},
                                         {"roof_share", 0.22},
                                         {"mfu", 0.16},
                                         {"roofline_ratio_wall", 0.43},
                                         {"loss_final", loss},
                                         {"peak_memory_bytes", 500000000},
                                         {"allocations_steady", 0}}));
  }

  void sweep_write(double rate, Json& runs) {
    Json entry = fake_run_fields({8, 2}, 1);
    const std::string name = "sweep-" + std::to_string(static_cast<int>(rate * 1e4));
    entry.set("name", name);
    entry.set("model", "E8 k2");
    entry.set("role", "sweep");
    entry.set("learning_rate", rate);
    const std::string folder = path_join(path_join(fake_.folder, "runs"), name);
    folder_make(folder);
    RecordWriter out(path_join(folder, "records.jsonl"));
    out.write("run", entry);
    out.write(
        "train_end",
        Json::object({{"seconds", 10}, {"tokens", 300000}, {"loss_final", 3 + std::fabs(std::log(rate / 3e-3))}}));
    runs.push_back(std::move(entry));
  }

  FakeStudy fake_;
  Rng rng_{5, RngStream::test};
};

inline void fake_study_write(const FakeStudy& fake) { FakeStudyWriter(fake).write(); }

}  // namespace moebius::records
