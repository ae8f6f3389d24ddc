#!/usr/bin/env python3
"""Hugging Face transformers as the oracle of src/model/config_hf.cpp: never needed to build, run or test moebius.

    transformers_configs.py tests/golden/hf_configs.json

For every model_type that moebius reads: config.json objects, and the values that transformers computes with after it has
applied its class defaults, renamed keys and legacy keys. src/model/config_hf_test.cpp compares. Needs transformers 5.x;
no PyTorch.
"""
import json
import sys

import transformers
from transformers import LlamaConfig, MistralConfig, MixtralConfig, OlmoeConfig, Qwen3MoeConfig

CLASSES = [MixtralConfig, MistralConfig, LlamaConfig, Qwen3MoeConfig, OlmoeConfig]

# Keys that one file adds to {"model_type": ...}. Each is tried with every class.
VARIANTS = [
    {},
    {"rope_theta": 5000.0},
    {"rope_theta": 5000},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 7000.0}},
    {"rope_parameters": {"rope_type": "default"}},
    {"rope_parameters": {"rope_theta": 7000.0}},
    {"rope_parameters": None},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 7000.0}, "rope_theta": 5000.0},
    {"rope_scaling": None, "rope_theta": 5000.0},
    {"rope_scaling": {"type": "default"}, "rope_theta": 5000.0},
    {"rope_scaling": {"rope_type": "default", "rope_theta": 9000.0}, "rope_parameters": {"rope_theta": 7000.0}},
    {"sliding_window": 128},
    {"sliding_window": None},
    {"use_sliding_window": True},
    {"use_sliding_window": False, "sliding_window": 64},
    {"use_sliding_window": True, "sliding_window": 64},
    {"use_sliding_window": True, "sliding_window": None},
    {"num_key_value_heads": 2},
    {"num_key_value_heads": None},
    {"head_dim": 64},
    {"head_dim": None},
    {"hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 4},
    {"vocab_size": 1000, "intermediate_size": 96, "num_hidden_layers": 3},
    {"max_position_embeddings": 512, "rms_norm_eps": 1e-3, "initializer_range": 0.01},
    {"tie_word_embeddings": True},
    {"num_experts": 16},
    {"num_local_experts": 16},
    {"num_experts_per_tok": 4, "moe_intermediate_size": 80},
    {"norm_topk_prob": True},
    {"router_aux_loss_coef": 0.5},
    {"mlp_only_layers": [0, 1]},
    {"mlp_only_layers": None},
    {"torch_dtype": "bfloat16"},
    {"dtype": "bfloat16"},
    {"hidden_act": "silu"},
    {"hidden_act": "swish"},
]


def effective(config):
    """What modeling_*.py of the class reads."""
    kind = config.model_type
    heads = config.num_attention_heads
    if kind == "olmoe" and getattr(config, "head_dim", None) not in (None, config.hidden_size // heads):
        raise ValueError("OlmoeAttention normalises hidden_size columns: its forward pass fails with this head_dim")
    values = {
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // heads,
        "rope_theta": config.rope_parameters["rope_theta"],
        # LlamaModel and OlmoeModel make a causal mask whatever the configuration says.
        "sliding_window": config.sliding_window if kind in ("mixtral", "mistral", "qwen3_moe") else None,
        "rms_norm_eps": config.rms_norm_eps,
        "max_position_embeddings": config.max_position_embeddings,
        "initializer_range": config.initializer_range,
        "tie_word_embeddings": config.tie_word_embeddings,
        "intermediate_size": config.intermediate_size,
    }
    if kind in ("mixtral", "qwen3_moe", "olmoe"):
        values["num_experts"] = config.num_experts
        values["num_experts_per_tok"] = config.num_experts_per_tok
        values["router_aux_loss_coef"] = config.router_aux_loss_coef
        values["norm_topk_prob"] = True if kind == "mixtral" else config.norm_topk_prob
    if kind == "qwen3_moe":
        values["moe_intermediate_size"] = config.moe_intermediate_size
        values["mlp_only_layers"] = config.mlp_only_layers
    return values


def main():
    blocks = []
    for cls in CLASSES:
        defaults = effective(cls.from_dict({"model_type": cls.model_type}))
        cases = []
        for variant in VARIANTS:
            try:
                values = effective(cls.from_dict(json.loads(json.dumps({"model_type": cls.model_type, **variant}))))
                changes = {key: value for key, value in values.items() if value != defaults[key]}
            except Exception as error:  # transformers refuses the file
                print(f"{cls.model_type} {json.dumps(variant)}: {type(error).__name__}", file=sys.stderr)
                changes = None
            cases.append(json.dumps({"config": variant, "changes": changes}))
        blocks.append('{"model_type": "%s",\n"defaults": %s,\n"cases": [\n%s\n]}'
                      % (cls.model_type, json.dumps(defaults), ",\n".join(cases)))
    with open(sys.argv[1], "w") as file:
        file.write('{"transformers": "%s", "classes": [\n%s\n]}\n' % (transformers.__version__, ",\n".join(blocks)))


if __name__ == "__main__":
    main()
