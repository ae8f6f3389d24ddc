#!/usr/bin/env python3
"""Hugging Face transformers as the oracle of src/model: never needed to build, run or test moebius.

    model_test --gtest_also_run_disabled_tests --gtest_filter='*WriteOurs'      # writes TMPDIR/mixtral_tiny/ours_*
    transformers_mixtral.py TMPDIR/mixtral_tiny tests/golden/mixtral_tiny

Reads the models that moebius wrote, with moebius's own logits beside them (logits.json), loads each with
AutoModelForCausalLM and compares. Makes models of its own (theirs_*), saved by transformers, with their logits and, of the
Mixtral, loss and gradients with and without the routers' losses. Copies all of it to the golden folder, where
src/model/oracle_test.cpp reads it. Prints PASS or FAIL and the largest relative error of each model.
"""
import json
import shutil
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, MistralConfig, MixtralConfig

TOLERANCE = 1e-4
BALANCE, Z = 0.02, 0.003


def tokens(vocab):
    """Two sequences of 12; the test has the same numbers."""
    return torch.tensor([[(7 * (12 * s + i) * (12 * s + i) + 3 * i + s) % vocab for i in range(12)] for s in range(2)])


def short(values):
    """Seven digits: enough for the tolerance, and the files stay small."""
    return [float(f"{v:.7g}") for v in values.reshape(-1).tolist()]


def logits_of(model):
    with torch.no_grad():
        return model(tokens(model.config.vocab_size)).logits


def relative_error(got, wanted):
    return float((got - wanted).abs().max() / wanted.abs().max())


def check_ours(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    loose = {key: info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]}
    if loose:
        print(f"FAIL {folder.name}: {loose}")
        return False, None
    wanted = logits_of(model)
    got = torch.tensor(json.loads((folder / "logits.json").read_text())["logits"]).reshape(wanted.shape)
    error = relative_error(got, wanted)
    ok = error <= TOLERANCE
    print(f"{'PASS' if ok else 'FAIL'} {folder.name}: {type(model).__name__}, largest relative error {error:.2e}")
    return ok, wanted


def router_losses(model, inputs):
    """sum over layers of BALANCE * E sum f_i P_i + Z * mean logsumexp^2, f_i = count_i / (T k) (moebius and Megatron)."""
    total = 0.0
    for layer, x in zip(model.model.layers, inputs):
        logits = F.linear(x.reshape(-1, x.shape[-1]), layer.mlp.gate.weight)
        experts, k = logits.shape[1], model.config.num_experts_per_tok
        probabilities = logits.softmax(-1)
        counts = F.one_hot(logits.topk(k, -1).indices, experts).sum((0, 1))
        balance = experts * (counts / (logits.shape[0] * k) * probabilities.mean(0)).sum()
        total = total + BALANCE * balance + Z * logits.logsumexp(-1).square().mean()
    return total


def gradients(model, auxiliary):
    inputs = []
    hooks = [l.mlp.gate.register_forward_pre_hook(lambda _, args: inputs.append(args[0])) for l in model.model.layers]
    model.zero_grad()
    ids = tokens(model.config.vocab_size)
    logits = model(ids).logits
    loss = F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    total = loss + router_losses(model, inputs) if auxiliary else loss
    total.backward()
    for hook in hooks:
        hook.remove()
    stored = {"loss": loss.item(), "total": total.item(), "tensors": {}}
    for name, parameter in model.named_parameters():
        g = parameter.grad.reshape(-1).double()
        at = [round(i * (g.numel() - 1) / 7) for i in range(8)]
        stored["tensors"][name] = {"norm": float(g.norm()), "max": float(g.abs().max()), "at": at, "values": short(g[at])}
    return stored


def make_theirs(root):
    torch.manual_seed(1)
    common = dict(vocab_size=32, hidden_size=16, intermediate_size=12, num_hidden_layers=2, num_attention_heads=4,
                  num_key_value_heads=2, head_dim=6, max_position_embeddings=64, initializer_range=0.2, rms_norm_eps=1e-5)
    configs = {
        "theirs_mixtral": MixtralConfig(**common, num_local_experts=4, num_experts_per_tok=2,
                                        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}),
        "theirs_mistral": MistralConfig(**common, sliding_window=5),
    }
    for name, config in configs.items():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        folder = root / name
        model.save_pretrained(folder)
        golden = {"logits": short(logits_of(model))}
        if name == "theirs_mixtral":
            golden.update(balance=BALANCE, z=Z, plain=gradients(model, False), auxiliary=gradients(model, True))
            fused = root / "theirs_fused"  # the same model with the names that newer versions use in memory
            fused.mkdir(exist_ok=True)
            save_file(model.state_dict(), fused / "model.safetensors", {"format": "pt"})
            shutil.copy(folder / "config.json", fused / "config.json")
            (fused / "golden.json").write_text(json.dumps({"logits": golden["logits"]}))
        (folder / "generation_config.json").unlink(missing_ok=True)
        (folder / "golden.json").write_text(json.dumps(golden))
        print(f"made {name}")


def main():
    source, golden = Path(sys.argv[1]), Path(sys.argv[2])
    golden.mkdir(parents=True, exist_ok=True)
    good = True
    for folder in sorted(source.glob("ours_*")):
        ok, logits = check_ours(folder)
        good &= ok
        if logits is None:
            continue
        to = golden / folder.name
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for file in ("config.json", "model.safetensors"):
            shutil.copy(folder / file, to / file)
        (to / "golden.json").write_text(json.dumps({"logits": short(logits)}))
    make_theirs(golden)
    print("PASS" if good else "FAIL")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
