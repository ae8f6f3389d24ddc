"""Builds the models of `moebius plan --out FOLDER` with the systems the files are written for, and compares parameters.

In: folders with plan.json, megatron.sh and torchtitan_plan.py. Out: one line a folder and system: parameters built, planned,
difference; exit code 1 when they differ. No GPU is needed: the weights lie on torch's meta device, nothing is trained.
Seen equal with torchtitan 0.3.0 (run it as `plan_launch.py torchtitan FOLDER...`) and megatron-core 0.16.1 with torch 2.13
(`plan_launch.py megatron FOLDER...`). Grouped GEMM and CUDA streams are left out: they hold no parameters.
"""
import dataclasses
import importlib.util
import json
import os
import re
import sys

import torch


def planned(folder):
    with open(os.path.join(folder, "plan.json")) as file:
        return json.load(file)["chosen"]


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def build_torchtitan(folder):
    path = os.path.join(folder, "torchtitan_plan.py")
    spec = importlib.util.spec_from_file_location("torchtitan_plan", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.plan()
    with torch.device("meta"):
        return parameters(config.model_spec.model.build())


def script_flags(folder):
    """Flag -> value of megatron.sh, flags without a value as True; shell variables are left out."""
    with open(os.path.join(folder, "megatron.sh")) as file:
        text = file.read()
    flags = {}
    for name, value in re.findall(r"^  --([a-z0-9-]+)(?: (.*))?$", text, re.M):
        if value.startswith("$"):
            continue
        try:
            flags[name.replace("-", "_")] = json.loads(value) if value else True
        except json.JSONDecodeError:
            flags[name.replace("-", "_")] = value
    return flags


def build_megatron(folder):
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_decoder_block_spec
    from megatron.core.models.gpt.gpt_model import GPTModel
    from megatron.core.transformer.transformer_config import TransformerConfig

    flags = script_flags(folder)
    # As Megatron's own argument parsing names them in the configuration.
    renamed = {"swiglu": "gated_linear_unit", "num_experts": "num_moe_experts", "norm_epsilon": "layernorm_epsilon"}
    known = {field.name for field in dataclasses.fields(TransformerConfig)}
    values = {renamed.get(k, k): v for k, v in flags.items() if renamed.get(k, k) in known}
    values.pop("moe_grouped_gemm", None)
    values.pop("bf16", None)
    if "moe_layer_freq" in values:
        dense, moe = map(int, re.findall(r"\*(\d+)", values["moe_layer_freq"]))
        values["moe_layer_freq"] = [0] * dense + [1] * moe
    activation = torch.nn.functional.silu if values.get("gated_linear_unit") else torch.nn.functional.gelu
    config = TransformerConfig(add_bias_linear=False, use_cpu_initialization=True, perform_initialization=False,
                               gradient_accumulation_fusion=False, activation_func=activation, **values)
    layers = get_gpt_decoder_block_spec(config, use_transformer_engine=False, normalization="RMSNorm")
    vocabulary = planned(folder)["config"]["vocab"]
    with torch.device("meta"):
        model = GPTModel(config, layers, vocab_size=vocabulary, max_sequence_length=flags["max_position_embeddings"],
                         position_embedding_type="rope", share_embeddings_and_output_weights=False)
    return parameters(model)


def start_megatron():
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29533", RANK="0", WORLD_SIZE="1")
    torch.cuda.Stream = lambda *args, **kwargs: None
    torch.cuda.current_device = lambda: "cpu"
    torch.distributed.init_process_group("gloo", rank=0, world_size=1)
    from megatron.core import parallel_state
    parallel_state.initialize_model_parallel(1, 1)


def main():
    system, folders = sys.argv[1], sys.argv[2:]
    if system == "megatron":
        start_megatron()
    build = {"torchtitan": build_torchtitan, "megatron": build_megatron}[system]
    wrong = 0
    for folder in folders:
        built, wanted = build(folder), planned(folder)["parameters_total"]
        wrong += built != wanted
        print(f"{folder}: {system} {built:,}, planned {wanted:,}, difference {built - wanted}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
