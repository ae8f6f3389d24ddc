// The torchtitan writer: a Python module whose function `plan` returns a Trainer.Config, since torchtitan 0.3 reads its
// configurations from such functions (its TOML files ended with 0.2). Built from torchtitan's own blocks for Qwen3, which
// are a plain pre-norm decoder: attention with or without QK-norm, dense or MoE layers.
#include <fmt/format.h>

#include "plan/launch.h"

namespace moebius::plan {

namespace {

const char* const kImports = R"(from functools import partial

import torch.nn as nn

from torchtitan.components.checkpoint import CheckpointManager
from torchtitan.components.loss import ChunkedLossWrapper, CrossEntropyLoss
from torchtitan.components.optimizer import default_adamw, LRSchedulersContainer, register_moe_load_balancing_hook
from torchtitan.config import ParallelismConfig, TrainingConfig
from torchtitan.distributed.activation_checkpoint import SelectiveAC
from torchtitan.distributed.pipeline_parallel import pipeline_llm
from torchtitan.hf_datasets.text_datasets import HuggingFaceTextDataLoader
from torchtitan.models.common import CosSinRoPE, Embedding, Linear
from torchtitan.models.common.config_utils import (
    get_attention_config,
    make_ffn_config,
    make_gqa_config,
    make_moe_config,
    make_routed_experts_config,
    make_router_config,
)
from torchtitan.models.common.nn_modules import RMSNorm
from torchtitan.models.qwen3.model import Qwen3Model, Qwen3TransformerBlock
from torchtitan.models.qwen3.parallelize import parallelize_qwen3
from torchtitan.models.qwen3.state_dict_adapter import Qwen3StateDictAdapter
from torchtitan.protocols.model_spec import ModelSpec
from torchtitan.trainer import Trainer
)";

const char* const kBlocks = R"(
INIT = {"weight": partial(nn.init.normal_, std=INIT_STD), "bias": nn.init.zeros_}
OUT_INIT = {"weight": partial(nn.init.normal_, std=INIT_STD / (2 * LAYERS) ** 0.5), "bias": nn.init.zeros_}
EXPERTS_INIT = {"w1_EFD": INIT["weight"], "w2_EDF": OUT_INIT["weight"], "w3_EFD": INIT["weight"]}


def norm(width: int) -> RMSNorm.Config:
    return RMSNorm.Config(normalized_shape=width, eps=NORM_EPSILON, param_init={"weight": nn.init.ones_})


def feed_forward(width: int):
    return make_ffn_config(dim=DIM, hidden_dim=width, w1_param_init=INIT, w2w3_param_init=OUT_INIT)


def moe_layer():
    return make_moe_config(
        num_experts=EXPERTS,
        router=make_router_config(
            dim=DIM,
            num_experts=EXPERTS,
            gate_param_init=INIT,
            top_k=TOP_K,
            score_func=SCORE,
            route_norm=ROUTE_NORM,
        ),
        routed_experts=make_routed_experts_config(
            dim=DIM,
            hidden_dim=EXPERT_WIDTH,
            num_experts=EXPERTS,
            top_k=TOP_K,
            param_init=EXPERTS_INIT,
            comm_backend="standard",
        ),
        shared_experts=feed_forward(SHARED_WIDTH) if SHARED_WIDTH else None,
        load_balance_coeff=BALANCE_RATE,
    )


def block(layer: int, attn_backend: str):
    dense = EXPERTS <= 1 or layer < DENSE_LAYERS_FIRST
    return Qwen3TransformerBlock.Config(
        attention_norm=norm(DIM),
        ffn_norm=norm(DIM),
        attention=make_gqa_config(
            dim=DIM,
            n_heads=HEADS,
            n_kv_heads=KV_HEADS,
            head_dim=HEAD_DIM,
            wqkv_param_init=INIT,
            wo_param_init=OUT_INIT,
            inner_attention=get_attention_config(attn_backend),
            fuse_qkv=True,
            rope=CosSinRoPE.Config(dim=HEAD_DIM, max_seq_len=SEQUENCE, theta=ROPE_BASE),
            qk_norm=norm(HEAD_DIM) if QK_NORM else None,
        ),
        **({"feed_forward": feed_forward(DENSE_WIDTH)} if dense else {"moe": moe_layer()}),
    )


def model_config(attn_backend: str = "flex") -> Qwen3Model.Config:
    return Qwen3Model.Config(
        vocab_size=VOCAB,
        dim=DIM,
        norm=norm(DIM),
        tok_embeddings=Embedding.Config(num_embeddings=VOCAB, embedding_dim=DIM, param_init={"weight": INIT["weight"]}),
        lm_head=Linear.Config(in_features=DIM, out_features=VOCAB, param_init=INIT),
        layers=[block(layer, attn_backend) for layer in range(LAYERS)],
    )


def plan() -> Trainer.Config:
    return Trainer.Config(
        loss=ChunkedLossWrapper.Config(loss_fn=CrossEntropyLoss.Config(global_vocab_size=VOCAB)),
        hf_assets_path="./assets/hf/tokenizer",
        model_spec=ModelSpec(
            name="qwen3",
            flavor=NAME,
            model=model_config(),
            parallelize_fn=parallelize_qwen3,
            pipelining_fn=pipeline_llm,
            post_optimizer_build_fn=register_moe_load_balancing_hook,
            state_dict_adapter=Qwen3StateDictAdapter,
        ),
        dataloader=HuggingFaceTextDataLoader.Config(dataset="c4"),
        optimizer=default_adamw(lr=LEARNING_RATE),
        lr_scheduler=LRSchedulersContainer.Config(warmup_steps=WARMUP_STEPS, decay_type="cosine", min_lr_factor=0.1),
        training=TrainingConfig(local_batch_size=1, global_batch_size=BATCH_SEQUENCES, seq_len=SEQUENCE, steps=STEPS),
        parallelism=ParallelismConfig(expert_parallel_degree=1),
        checkpoint=CheckpointManager.Config(interval=500, last_save_model_only=False),
        activation_checkpoint=SelectiveAC.Config(),
    )
)";

const char* python_bool(bool value) { return value ? "True" : "False"; }

}  // namespace

std::string torchtitan_module(const Launch& launch) {
  const model::ModelConfig& config = launch.choice.config;
  const model::ExpertConfig& experts = config.experts;
  const bool sayable = experts.activation == model::Activation::swiglu && experts.bank_layers == 1 &&
                       !config.attention.bias && !config.attention.qk_norm_whole && config.attention.window == 0 &&
                       config.router.scale == 1.0 && !config.router.previous_layer;
  if (!sayable) return "";
  // Gates renormalised after the choice equal the softmax over the chosen logits.
  const bool renormalise = config.router.renormalise || !config.router.softmax_before_top_k;
  std::string text = fmt::format("\"\"\"{}: planned by moebius under {}.\n\n", config.name, launch.why);
  text += fmt::format(
      "Written for {}. With this file in the current folder (or on PYTHONPATH):\n\n"
      "    torchrun --nproc_per_node 8 -m torchtitan.train --module torchtitan_plan --config plan\n\n",
      kTorchtitanVersion);
  text +=
      "Set the tokenizer (hf_assets_path), the data set and the parallel degrees to what you have. Experts are balanced by\n"
      "torchtitan's selection bias: 0.3 has neither the auxiliary loss nor the z-loss that the other launch files use.\n";
  text += fmt::format("Learning rate: {}.\n\"\"\"\n\n{}\n", launch.rate.source, kImports);
  text += fmt::format("NAME = \"{}\"\nVOCAB, DIM, LAYERS = {}, {}, {}\n", config.name, config.vocab, config.d_model,
                      config.layers);
  text += fmt::format("HEADS, KV_HEADS, HEAD_DIM, QK_NORM = {}, {}, {}, {}\n", config.attention.heads,
                      config.attention.kv_heads, config.attention.head_dim, python_bool(config.attention.qk_norm));
  text += fmt::format("EXPERTS, TOP_K, EXPERT_WIDTH = {}, {}, {}\n", experts.experts, experts.top_k, experts.width);
  text += fmt::format("SHARED_WIDTH, DENSE_LAYERS_FIRST, DENSE_WIDTH = {}, {}, {}\n",
                      experts.shared_experts * experts.width, experts.dense_layers_first, experts.dense_width);
  text +=
      fmt::format("SCORE, ROUTE_NORM, BALANCE_RATE = \"{}\", {}, {}\n", model::router_score_name(config.router.score),
                  python_bool(renormalise), config.router.bias_rate > 0 ? config.router.bias_rate : 1e-3);
  text += fmt::format("NORM_EPSILON, INIT_STD, ROPE_BASE = {}, {}, {:.1f}\n", config.norm_epsilon, config.init_std,
                      config.attention.rope_base);
  text += fmt::format("SEQUENCE, BATCH_SEQUENCES, STEPS, WARMUP_STEPS = {}, {}, {}, {}\n", launch.sequence,
                      launch.batch_sequences, launch.steps, launch.warmup_steps);
  text += fmt::format("LEARNING_RATE = {:.4g}\n{}", launch.rate.learning_rate, kBlocks);
  return text;
}

}  // namespace moebius::plan
