// Writers: a study, a Megatron-LM script, a torchtitan module. Flag and function names: the versions in launch.h.
#include "plan/launch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/units.h"

namespace moebius::plan {

namespace {

constexpr double kEndRate = 0.1;  // of the peak, at the end of the cosine

// What every file says first, as comments.
std::string heading(const Launch& launch, const std::string& comment) {
  const Choice& c = launch.choice;
  std::string text;
  for (const std::string& line :
       {fmt::format("{}: planned by moebius under {}.", c.config.name, launch.why),
        fmt::format("{} parameters, {} active (without the router), {:.4g} training FLOPs ({}).",
                    format_exact(std::llround(c.numbers.total)), format_exact(std::llround(c.numbers.active)),
                    c.flops_training, law_flops_formula(c.form.law)),
        fmt::format("{} steps of {} sequences of {} tokens: {} tokens, {:.3g} per total parameter.", launch.steps,
                    launch.batch_sequences, launch.sequence,
                    format_exact(launch.steps * launch.batch_sequences * launch.sequence), c.tokens / c.numbers.total),
        fmt::format("Learning rate: {}.", launch.rate.source)}) {
    text += comment + line + "\n";
  }
  return text;
}

// The model's keys where they differ from the standard values. The study sets the vocabulary, its models the experts.
std::string toml_model(const model::ModelConfig& config) {
  const Json standard = model::ModelConfig().to_json(), planned = config.to_json();
  std::string text;
  for (const auto& [key, value] : planned.as_object()) {
    if (key == "name" || key == "vocab" || key == "experts" || key == "top_k" || value == standard.at(key)) continue;
    text += fmt::format("{} = {}\n", key, value.dump());
  }
  return text;
}

// The planned model, and with half and twice its experts.
std::string toml_models(const Form& form) {
  std::string text =
      fmt::format("[[models]]\nname = \"planned\"\nexperts = {}\ntop-k = {}\n", form.experts, form.top_k);
  if (form.experts <= 1) return text;
  if (form.experts / 2 >= std::max<i64>(form.top_k, 2)) {
    text += fmt::format("[[models]]\nname = \"half\"\nexperts = {}\ntop-k = {}\n", form.experts / 2, form.top_k);
  }
  return text + fmt::format("[[models]]\nname = \"twice\"\nexperts = {}\ntop-k = {}\n", form.experts * 2, form.top_k);
}

// Outside its range, a rule gives the center of a sweep, not a rate to train with.
std::string toml_rate(const Rate& rate) {
  constexpr double kRateMost = 0.02;
  const double peak = std::min(rate.learning_rate, kRateMost);
  if (rate.inside) return fmt::format("[learning-rate]\nvalue = {:.4g}\nsource = \"{}\"\n\n", peak, rate.source);
  return fmt::format("# {}: therefore a sweep.\n[learning-rate]\nsweep = [{:.4g}, {:.4g}, {:.4g}]\n\n", rate.source,
                     peak / 4, peak / 2, peak);
}

class Arguments {
 public:
  void group(const std::string& name) { text_ += (text_.empty() ? "" : ")\n") + name + "=(\n"; }
  void add(const std::string& flag) { text_ += "  --" + flag + "\n"; }
  template <typename T>
  void add(const std::string& flag, const T& value) {
    text_ += fmt::format("  --{} {}\n", flag, value);
  }
  std::string finish() const { return text_ + ")\n"; }

 private:
  std::string text_;
};

void add_model(Arguments& args, const Launch& launch) {
  const model::ModelConfig& config = launch.choice.config;
  const bool moe = launch.choice.form.experts > 1;
  args.group("MODEL_ARGS");
  args.add("num-layers", config.layers);
  args.add("hidden-size", config.d_model);
  args.add("ffn-hidden-size",
           moe && config.experts.dense_layers_first == 0 ? config.experts.width : config.experts.dense_width);
  args.add("num-attention-heads", config.attention.heads);
  args.add("kv-channels", config.attention.head_dim);
  if (config.attention.kv_heads != config.attention.heads) {
    args.add("group-query-attention");
    args.add("num-query-groups", config.attention.kv_heads);
  }
  args.add("seq-length", launch.sequence);
  args.add("max-position-embeddings", std::max(config.sequence_max, launch.sequence));
  args.add("position-embedding-type", "rope");
  args.add("rotary-base", std::llround(config.attention.rope_base));
  args.add("normalization", "RMSNorm");
  args.add("norm-epsilon", config.norm_epsilon);
  if (config.experts.activation == model::Activation::swiglu) args.add("swiglu");
  if (config.attention.qk_norm) args.add("qk-layernorm");
  if (config.attention.bias) args.add("add-qkv-bias");
  args.add("disable-bias-linear");
  args.add("untie-embeddings-and-output-weights");
  args.add("make-vocab-size-divisible-by", config.vocab % 128 == 0 ? 128 : 1);
  args.add("init-method-std", config.init_std);
  args.add("attention-dropout", "0.0");
  args.add("hidden-dropout", "0.0");
}

void add_experts(Arguments& args, const Launch& launch) {
  const model::ModelConfig& config = launch.choice.config;
  const model::ExpertConfig& experts = config.experts;
  args.group("MOE_ARGS");
  if (launch.choice.form.experts <= 1) return;
  args.add("num-experts", experts.experts);
  args.add("moe-router-topk", experts.top_k);
  args.add("moe-ffn-hidden-size", experts.width);
  if (experts.shared_experts > 0)
    args.add("moe-shared-expert-intermediate-size", experts.shared_experts * experts.width);
  if (experts.dense_layers_first > 0) {
    args.add("moe-layer-freq", fmt::format("\"([0]*{}+[1]*{})\"", experts.dense_layers_first,
                                           config.layers - experts.dense_layers_first));
  }
  args.add("moe-router-score-function", model::router_score_name(config.router.score));
  // Renormalised gates equal the softmax over the chosen logits, Megatron's default; others are its pre-softmax.
  if (config.router.score == model::RouterScore::softmax && config.router.softmax_before_top_k &&
      !config.router.renormalise) {
    args.add("moe-router-pre-softmax");
  }
  if (config.router.bias_rate > 0) {
    args.add("moe-router-enable-expert-bias");
    args.add("moe-router-bias-update-rate", config.router.bias_rate);
  }
  args.add("moe-router-load-balancing-type", config.losses.balance_coefficient > 0 ? "aux_loss" : "none");
  if (config.losses.balance_coefficient > 0) args.add("moe-aux-loss-coeff", config.losses.balance_coefficient);
  if (config.losses.z_coefficient > 0) args.add("moe-z-loss-coeff", config.losses.z_coefficient);
  args.add("moe-router-dtype", "fp32");
  args.add("moe-grouped-gemm");
  args.add("moe-token-dispatcher-type", "alltoall");
}

void add_training(Arguments& args, const Launch& launch) {
  args.group("TRAINING_ARGS");
  args.add("micro-batch-size", "$MICRO_BATCH");
  args.add("global-batch-size", launch.batch_sequences);
  args.add("train-iters", launch.steps);
  args.add("lr", fmt::format("{:.4g}", launch.rate.learning_rate));
  args.add("min-lr", fmt::format("{:.4g}", launch.rate.learning_rate * kEndRate));
  args.add("lr-decay-style", "cosine");
  args.add("lr-decay-iters", launch.steps);
  args.add("lr-warmup-iters", launch.warmup_steps);
  args.add("weight-decay", "0.1");
  args.add("adam-beta1", "0.9");
  args.add("adam-beta2", "0.95");
  args.add("adam-eps", "1e-8");
  args.add("clip-grad", "1.0");
  args.add("seed", 1234);
  args.add("bf16");
  args.add("use-distributed-optimizer");
  args.add("tensor-model-parallel-size", "$TP");
  args.add("pipeline-model-parallel-size", "$PP");
  if (launch.choice.form.experts > 1) args.add("expert-model-parallel-size", "$EP");
  args.group("DATA_ARGS");
  args.add("data-path", "$DATA");
  args.add("split", "990,10,0");
  args.add("tokenizer-type", "HuggingFaceTokenizer");
  args.add("tokenizer-model", "$TOKENIZER");
  args.group("OUTPUT_ARGS");
  args.add("save", "$CHECKPOINTS");
  args.add("load", "$CHECKPOINTS");
  const i64 interval = std::clamp<i64>(launch.steps / 20, 1, 500);
  args.add("save-interval", interval);
  args.add("eval-interval", interval);
  args.add("eval-iters", 10);
  args.add("log-interval", 10);
}

}  // namespace

Launch make_launch(const Choice& choice, const Rate& rate, i64 sequence, const std::string& why) {
  constexpr i64 kBatchMultiple = 8;
  Launch launch;
  launch.choice = choice;
  launch.rate = rate;
  launch.sequence = sequence;
  launch.why = why;
  // The batch is small enough for at least a hundred steps, however the rule extrapolates.
  const double sequences = std::min(rate.batch_tokens, choice.tokens / 100) / static_cast<double>(sequence);
  launch.batch_sequences = std::max<i64>(1, std::llround(sequences / kBatchMultiple)) * kBatchMultiple;
  const double batch = static_cast<double>(launch.batch_sequences * sequence);
  launch.steps = std::max<i64>(1, static_cast<i64>(std::ceil(choice.tokens / batch)));
  launch.warmup_steps = std::min<i64>(2000, std::max<i64>(1, launch.steps / 100));
  return launch;
}

std::string study_file(const Launch& launch) {
  const Choice& c = launch.choice;
  const i64 batch = launch.batch_sequences * launch.sequence;
  std::string text = heading(launch, "# ");
  text += "# Text and generated tasks are those shipped with moebius: replace them with your own corpora.\n";
  const bool moe = c.form.experts > 1;
  text += fmt::format("name = \"{}\"\ntitle = \"{}\"\n", c.config.name,
                      moe ? "A planned model and its neighbours in sparsity" : "A planned dense model");
  text += fmt::format("question = \"{}\"\n",
                      moe ? "Does the loss fall with the number of experts at equal active parameters and tokens?"
                          : "Which loss does the planned model reach?");
  text += fmt::format("tokens = {}\nseeds = [1]\n\n[model]\n{}\n{}\n", launch.steps * batch, toml_model(c.config),
                      toml_models(c.form));
  text += fmt::format("[data]\nsequence = {}\nvocab = {}\nseed = 1\n\n", launch.sequence, c.config.vocab);
  text += "[[data.text]]\nname = \"wikipedia\"\ninput = [\"corpora/enwiki2019-00.jsonl.gz\"]\nshare = 0.5\n\n";
  text += "[data.facts]\nshare = 0.2\n\n[data.arithmetic]\nshare = 0.3\n\n";
  text += fmt::format("[train]\nbatch-tokens = {}\nschedule = \"cosine\"\nwarmup-steps = {}\n\n", batch,
                      launch.warmup_steps);
  text += toml_rate(launch.rate);
  text += "[evaluate]\nat = [1.0]\ntasks = []\n";
  if (moe) {
    text += "\n[[hypotheses]]\nid = \"loss-total\"\n";
    text += "text = \"At equal active parameters, held-out loss falls as experts are added.\"\n";
    text +=
        "kind = \"monotone\"\nx = \"parameters_total\"\ny = \"eval.wikipedia.wikipedia.loss\"\ndirection = \"decrease\"\n";
  }
  return text;
}

std::string megatron_script(const Launch& launch) {
  Arguments args;
  add_model(args, launch);
  add_experts(args, launch);
  add_training(args, launch);
  const model::ModelConfig& config = launch.choice.config;
  std::string text = "#!/bin/bash\n" + heading(launch, "# ");
  text += fmt::format("# Flags: {}.\n", kMegatronVersion);
  text += "# Run it in a checkout of Megatron-LM, on every node, with the variables below set in the environment:\n";
  text += fmt::format(
      "# DATA (prefix of .bin and .idx), TOKENIZER (a Hugging Face tokenizer of {} tokens), CHECKPOINTS (a folder).\n",
      config.vocab);
  text += "set -eu\nexport CUDA_DEVICE_MAX_CONNECTIONS=1\n";
  text += ": \"${DATA:?}\" \"${TOKENIZER:?}\" \"${CHECKPOINTS:?}\"\n";
  text += "GPUS=${GPUS:-8} NODES=${NODES:-1} NODE_RANK=${NODE_RANK:-0} MASTER_ADDR=${MASTER_ADDR:-localhost}\n";
  text += "MASTER_PORT=${MASTER_PORT:-6000} TP=${TP:-1} PP=${PP:-1} EP=${EP:-1} MICRO_BATCH=${MICRO_BATCH:-1}\n\n";
  text += args.finish();
  text +=
      "\ntorchrun --nproc_per_node \"$GPUS\" --nnodes \"$NODES\" --node_rank \"$NODE_RANK\" \\\n"
      "  --master_addr \"$MASTER_ADDR\" --master_port \"$MASTER_PORT\" pretrain_gpt.py \\\n"
      "  \"${MODEL_ARGS[@]}\" \"${MOE_ARGS[@]}\" \"${TRAINING_ARGS[@]}\" \"${DATA_ARGS[@]}\" \"${OUTPUT_ARGS[@]}\" \"$@\"\n";
  return text;
}

std::vector<std::string> write_launch(const Launch& launch, const std::string& folder, const Json& plan) {
  folder_make(folder);
  std::vector<std::string> written;
  const auto write = [&](const std::string& name, const std::string& text) {
    if (text.empty()) return;
    file_write_atomic(path_join(folder, name), text);
    written.push_back(name);
  };
  write("plan.json", plan.dump(1) + "\n");
  write("study.toml", study_file(launch));
  write("megatron.sh", megatron_script(launch));
  write("torchtitan_plan.py", torchtitan_module(launch));
  return written;
}

}  // namespace moebius::plan
