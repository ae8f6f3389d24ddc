// Derived numbers of one configuration.
#include "plan/plan.h"

#include <fmt/format.h>

#include "base/units.h"

namespace moebius::plan {

namespace {

constexpr i64 kOptimalSparsityTokens = 125002842112;  // 29,803 steps of 1024 sequences of 4096

i64 parameters_non_embedding(const Plan& plan) {
  return plan.counts.parameters_active - (plan.tied ? 1 : 2) * plan.counts.parameters_embedding;
}

bool in_family(const std::string& name) { return name.rfind("optimal-sparsity-", 0) == 0; }

}  // namespace

void PlanOptions::describe(OptionList& options) {
  options.add("preset", &preset, "a preset, a Hugging Face config.json or its folder; same as the first argument",
              {.unit = "NAME"});
  options.add("tokens", &tokens, "number of training tokens; 0: the preset's own, if it has one",
              {.unit = "N", .min = 0});
  options.add("sequence", &sequence, "sequence length; 0: the model's longest",
              {.unit = "N", .min = 0, .max = 1 << 24});
  options.add("micro-batch-tokens", &micro_batch_tokens, "tokens of one micro-batch",
              {.unit = "N", .min = 1, .max = 1 << 24});
  options.add("precision", &precision, "precision of weights, activations and matrix products",
              {.choices = {"bf16", "f32"}});
  options.add("recompute", &recompute, "activations that backward recomputes instead of keeping them",
              {.choices = {"none", "layer"}});
  options.add("list", &list, "print the names of the presets");
}

Plan make_plan(const model::ModelConfig& config, const PlanOptions& options, bool tied) {
  Plan plan;
  plan.config = config;
  plan.sequence = options.sequence > 0 ? options.sequence : config.sequence_max;
  plan.counts = model::count_model(config, plan.sequence);
  const double stored = static_cast<double>(plan.counts.parameters_total);
  plan.tied = tied;
  if (tied) {
    const i64 once = plan.counts.parameters_embedding;
    plan.counts.parameters_total -= once;
    plan.counts.parameters_active -= once;
    plan.counts.parameters_active_router -= once;
    plan.counts.flops_per_token_6n = 6 * static_cast<double>(plan.counts.parameters_active);
  }
  plan.tokens = options.tokens > 0 ? options.tokens : in_family(config.name) ? kOptimalSparsityTokens : 0;
  plan.tpp = static_cast<double>(plan.tokens) / static_cast<double>(plan.counts.parameters_total);
  if (config.moe_layers() > 0) {
    plan.sparsity = 1.0 - static_cast<double>(config.experts.top_k) / static_cast<double>(config.experts.experts);
  }
  plan.memory = model::count_training_memory(config, {.bf16 = options.precision == "bf16",
                                                      .micro_batch_tokens = options.micro_batch_tokens,
                                                      .sequence = plan.sequence,
                                                      .recompute = options.recompute});
  plan.checkpoint_bytes = (options.precision == "bf16" ? 2 : 4) * stored;
  plan.checkpoint_training_bytes = plan.checkpoint_bytes + 12 * stored;  // master weights and two moments
  return plan;
}

Json plan_to_json(const Plan& plan) {
  const model::ModelCounts& counts = plan.counts;
  const double tokens = static_cast<double>(plan.tokens);
  Json json = Json::object({{"name", plan.config.name},
                            {"parameters_total", counts.parameters_total},
                            {"parameters_active", counts.parameters_active},
                            {"parameters_active_router", counts.parameters_active_router},
                            {"parameters_active_non_embedding", parameters_non_embedding(plan)},
                            {"parameters_embedding", counts.parameters_embedding},
                            {"tie_word_embeddings", plan.tied},
                            {"flops_per_token_megatron", counts.flops_per_token_megatron},
                            {"flops_per_token_6n", counts.flops_per_token_6n},
                            {"flops_per_token_mfu", counts.flops_per_token_mfu},
                            {"sequence", plan.sequence},
                            {"sparsity", plan.sparsity},
                            {"tokens", plan.tokens},
                            {"tpp", plan.tpp},
                            {"flops_megatron", counts.flops_per_token_megatron * tokens},
                            {"flops_6n", counts.flops_per_token_6n * tokens},
                            {"training_memory", plan.memory.to_json()},
                            {"checkpoint_bytes", plan.checkpoint_bytes},
                            {"checkpoint_training_bytes", plan.checkpoint_training_bytes},
                            {"weight_bytes_per_decoded_token", counts.weight_bytes_per_decoded_token},
                            {"kv_bytes_per_position", counts.kv_bytes_per_position}});
  if (in_family(plan.config.name)) json.set("label", model::optimal_sparsity_label(plan.config));
  json.set("config", plan.config.to_json());
  return json;
}

std::string plan_to_text(const Plan& plan) {
  const model::ModelConfig& config = plan.config;
  const model::ModelCounts& counts = plan.counts;
  std::string text;
  const auto row = [&](const char* what, const std::string& value, const std::string& note = "") {
    text += fmt::format("{:<28} {:>22}  {}\n", what, value, note);
  };
  const auto flops = [](double value) { return fmt::format("{:.6e}", value); };
  text += fmt::format("{}\n", in_family(config.name) ? model::optimal_sparsity_label(config)
                              : config.name.empty()  ? "model"
                                                     : config.name);
  row("layers x width", fmt::format("{} x {}", config.layers, config.d_model));
  if (config.moe_layers() > 0) {
    row("experts",
        fmt::format("E {}, top-k {}, F {}", config.experts.experts, config.experts.top_k, config.experts.width));
    row("sparsity", fmt::format("{:.6g}", plan.sparsity), "1 - k/E");
  } else {
    row("dense FFN", fmt::format("F {}", config.experts.dense_width));
  }
  row("parameters, total", format_exact(counts.parameters_total),
      plan.tied ? "embedding and head are one matrix (tie_word_embeddings)" : "");
  row("parameters, active", format_exact(counts.parameters_active), "without the router, as in published names");
  row("  with the router", format_exact(counts.parameters_active_router));
  row("  without embeddings", format_exact(parameters_non_embedding(plan)));
  row("FLOPs per token, Megatron", flops(counts.flops_per_token_megatron),
      fmt::format("full attention over {} tokens, head", plan.sequence));
  row("FLOPs per token, 6N", flops(counts.flops_per_token_6n), "6 * active");
  row("FLOPs per token, MFU", flops(counts.flops_per_token_mfu), "linear and head, causal attention");
  if (plan.tokens > 0) {
    row("training tokens", format_exact(plan.tokens));
    row("TPP", fmt::format("{:.2f}", plan.tpp), "tokens / total parameters");
    row("training FLOPs, Megatron",
        fmt::format("{:.4e}", counts.flops_per_token_megatron * static_cast<double>(plan.tokens)));
    row("training FLOPs, 6N", fmt::format("{:.4e}", counts.flops_per_token_6n * static_cast<double>(plan.tokens)));
  }
  row("training memory", format_bytes(static_cast<double>(plan.memory.total())),
      plan.tied ? "peak, embedding and head apart, of which:" : "peak, of which:");
  text += plan.memory.text();
  row("checkpoint", format_bytes(plan.checkpoint_bytes),
      fmt::format("{} with the optimizer state", format_bytes(plan.checkpoint_training_bytes)));
  row("bytes per decoded token", format_bytes(counts.weight_bytes_per_decoded_token),
      fmt::format("weights in bf16; plus {} per cached position", format_bytes(counts.kv_bytes_per_position)));
  return text;
}

}  // namespace moebius::plan
