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

// Arguments of a command as bash arrays, one argument per line.
class Arguments {
 public:
  void group(const std::string& name) { text_ += (text_.empty() ? "" : ")\n") + name + "=(\n"; }
  // "--flag {} --other ...", in the order of a command line.
  template <typename... T>
  void add(fmt::format_string<const T&...> flags, const T&... values) {
    std::string line = fmt::format(flags, values...);
    for (std::size_t at = 0; (at = line.find(" --", at)) != std::string::npos; at += 3) line.replace(at, 1, "\n  ");
    text_ += "  " + line + "\n";
  }
  std::string finish() const { return text_ + ")\n"; }

 private:
  std::string text_;
};

void add_model(Arguments& args, const Launch& launch) {
  const model::ModelConfig& config = launch.choice.config;
  const model::AttentionConfig& attention = config.attention;
  const bool moe = launch.choice.form.experts > 1;
  args.group("MODEL_ARGS");
  args.add("--num-layers {} --hidden-size {} --ffn-hidden-size {}", config.layers, config.d_model,
           moe && config.experts.dense_layers_first == 0 ? config.experts.width : config.experts.dense_width);
  args.add("--num-attention-heads {} --kv-channels {}", attention.heads, attention.head_dim);
  if (attention.kv_heads != attention.heads)
    args.add("--group-query-attention --num-query-groups {}", attention.kv_heads);
  args.add("--seq-length {} --max-position-embeddings {}", launch.sequence,
           std::max(config.sequence_max, launch.sequence));
  args.add("--position-embedding-type rope --rotary-base {}", std::llround(attention.rope_base));
  args.add("--normalization RMSNorm --norm-epsilon {}", config.norm_epsilon);
  if (config.experts.activation == model::Activation::swiglu) args.add("--swiglu");
  if (attention.qk_norm) args.add("--qk-layernorm");
  if (attention.bias) args.add("--add-qkv-bias");
  args.add("--disable-bias-linear --untie-embeddings-and-output-weights --make-vocab-size-divisible-by {}",
           config.vocab % 128 == 0 ? 128 : 1);
  args.add("--init-method-std {} --attention-dropout 0.0 --hidden-dropout 0.0", config.init_std);
}

void add_experts(Arguments& args, const Launch& launch) {
  const model::ModelConfig& config = launch.choice.config;
  const model::ExpertConfig& experts = config.experts;
  const model::RouterConfig& router = config.router;
  args.group("MOE_ARGS");
  if (launch.choice.form.experts <= 1) return;
  args.add("--num-experts {} --moe-router-topk {} --moe-ffn-hidden-size {}", experts.experts, experts.top_k,
           experts.width);
  if (experts.shared_experts > 0)
    args.add("--moe-shared-expert-intermediate-size {}", experts.shared_experts * experts.width);
  if (experts.dense_layers_first > 0) {
    args.add("--moe-layer-freq \"([0]*{}+[1]*{})\"", experts.dense_layers_first,
             config.layers - experts.dense_layers_first);
  }
  args.add("--moe-router-score-function {}", model::router_score_name(router.score));
  // Renormalised gates equal the softmax over the chosen logits, Megatron's default; others are its pre-softmax.
  if (router.score == model::RouterScore::softmax && router.softmax_before_top_k && !router.renormalise)
    args.add("--moe-router-pre-softmax");
  if (router.bias_rate > 0)
    args.add("--moe-router-enable-expert-bias --moe-router-bias-update-rate {}", router.bias_rate);
  const double balance = config.losses.balance_coefficient;
  args.add("--moe-router-load-balancing-type {}", balance > 0 ? "aux_loss" : "none");
  if (balance > 0) args.add("--moe-aux-loss-coeff {}", balance);
  if (config.losses.z_coefficient > 0) args.add("--moe-z-loss-coeff {}", config.losses.z_coefficient);
  args.add("--moe-router-dtype fp32 --moe-grouped-gemm --moe-token-dispatcher-type alltoall");
}

void add_training(Arguments& args, const Launch& launch) {
  const double rate = launch.rate.learning_rate;
  args.group("TRAINING_ARGS");
  args.add("--micro-batch-size $MICRO_BATCH --global-batch-size {} --train-iters {}", launch.batch_sequences,
           launch.steps);
  args.add("--lr {:.4g} --min-lr {:.4g} --lr-decay-style cosine --lr-decay-iters {} --lr-warmup-iters {}", rate,
           rate * kEndRate, launch.steps, launch.warmup_steps);
  args.add("--weight-decay 0.1 --adam-beta1 0.9 --adam-beta2 0.95 --adam-eps 1e-8 --clip-grad 1.0 --seed 1234 --bf16");
  args.add("--use-distributed-optimizer --tensor-model-parallel-size $TP --pipeline-model-parallel-size $PP");
  if (launch.choice.form.experts > 1) args.add("--expert-model-parallel-size $EP");
  args.group("DATA_ARGS");
  args.add("--data-path $DATA --split 990,10,0 --tokenizer-type HuggingFaceTokenizer --tokenizer-model $TOKENIZER");
  args.group("OUTPUT_ARGS");
  const i64 interval = std::clamp<i64>(launch.steps / 20, 1, 500);
  args.add("--save $CHECKPOINTS --load $CHECKPOINTS --save-interval {} --eval-interval {}", interval, interval);
  args.add("--eval-iters 10 --log-interval 10");
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
