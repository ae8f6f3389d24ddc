"""Training beside PyTorch: the same model, start, batches and optimiser, in transformers' fastest form on a CPU.

In: the program (--moebius), a work folder. Out: a table on standard output and FOLDER/RESULT.json.
  loss   200 steps of real text from one start: the means of 20 steps of the loss must agree within 0.02
  speed  steps of both, alternating in one run: tokens per second of each and their ratio

Set-up: python3 -m venv V && V/bin/pip install torch==2.13.0 transformers safetensors (the CPU build of torch). The fastest form
there is autocast (f32 weights and moments, bf16 products), grouped_mm for the experts, torch.compile, fused AdamW.
  V/bin/python tests/peers/pytorch_train.py loss  --moebius build/release/moebius --work /tmp/peer
  V/bin/python tests/peers/pytorch_train.py speed --moebius build/release/moebius --work /tmp/peer --d-model 512 \
      --experts 32 --top-k 2 --expert-width 1024 --tokens-per-step 8192
The balance and z losses are ours on both sides (docs/train.md), since without them the experts collapse; transformers' own
definition of the balance loss differs.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import time

import torch
import torch.nn.functional as F
from transformers import MixtralConfig, MixtralForCausalLM

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
HYPER = dict(learning_rate=1e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip=1.0,
             warmup_fraction=0.1, final_fraction=0.1, balance=0.01, z=0.001)


def words(args):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["loss", "speed"])
    parser.add_argument("--moebius", required=True)
    parser.add_argument("--work", required=True)
    for name, default in dict(d_model=256, layers=8, experts=64, top_k=4, expert_width=256, vocab=16384, sequence=512,
                              tokens_per_step=2048, steps=200, rounds=5, threads=2, steps_warm=150).items():
        parser.add_argument("--" + name.replace("_", "-"), type=int, default=default)
    parser.add_argument("--no-compile", action="store_true", help="without torch.compile")
    return parser.parse_args(args)


def make_model(a):
    heads = max(1, a.d_model // 64)
    config = MixtralConfig(vocab_size=a.vocab, hidden_size=a.d_model, intermediate_size=a.expert_width,
                           num_hidden_layers=a.layers, num_attention_heads=heads, num_key_value_heads=heads,
                           num_local_experts=a.experts, num_experts_per_tok=a.top_k, max_position_embeddings=a.sequence,
                           rope_theta=10000.0, rms_norm_eps=1e-5, sliding_window=None, tie_word_embeddings=False,
                           use_cache=False, attn_implementation="sdpa", bos_token_id=None, eos_token_id=None)
    config._experts_implementation = "grouped_mm"
    torch.manual_seed(1)
    return MixtralForCausalLM(config)


def shape_words(a):
    return ["--d-model", a.d_model, "--layers", a.layers, "--heads", max(1, a.d_model // 64), "--experts", a.experts,
            "--top-k", a.top_k, "--expert-width", a.expert_width, "--vocab", a.vocab, "--sequence", a.sequence]


def moebius(a, *given):
    command = [a.moebius, *[str(word) for word in given], "--threads", str(a.threads), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def learning_rate(step, steps):
    """Cosine after a linear warm-up: docs/train.md."""
    warmup, peak = round(HYPER["warmup_fraction"] * steps), HYPER["learning_rate"]
    if step < warmup:
        return peak * step / warmup
    last = peak * HYPER["final_fraction"]
    return last + (peak - last) / 2 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def auxiliary(router_logits, a):
    """Sum over layers of balance * E sum f P + z * mean lse^2, f = count / (T k)."""
    total = 0.0
    for logits in router_logits:
        logits = logits.float()
        probabilities = logits.softmax(-1)
        chosen = probabilities.topk(a.top_k, dim=-1).indices
        share = F.one_hot(chosen, a.experts).sum((0, 1)).float() / chosen.numel()
        total = total + HYPER["balance"] * a.experts * (share * probabilities.mean(0)).sum()
        total = total + HYPER["z"] * logits.logsumexp(-1).square().mean()
    return total


class Peer:
    """One training step as transformers and PyTorch do it fastest here."""

    def __init__(self, model, a):
        self.model, self.a = model, a
        model.train()
        self.forward = model if a.no_compile else torch.compile(model)
        decays = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [dict(params=decays, weight_decay=HYPER["weight_decay"]), dict(params=others, weight_decay=0.0)],
            lr=HYPER["learning_rate"], betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["epsilon"], fused=True)

    def step(self, tokens, targets, rate):
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = self.forward(input_ids=tokens, output_router_logits=True)
        loss = F.cross_entropy(out.logits.float().view(-1, self.a.vocab), targets.view(-1), ignore_index=-1)
        (loss + auxiliary(out.router_logits, self.a)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), HYPER["clip"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def compare_loss(a):
    start, shard = os.path.join(a.work, "start"), os.path.join(a.work, "wiki")
    text = os.path.join(SOURCE, "corpora", "enwiki2019-00.jsonl.gz")
    tokenizer = os.path.join(a.work, "tokenizer.json")
    moebius(a, "data", "tokenizer", "--input", text, "--vocab", a.vocab, "--out", tokenizer)
    moebius(a, "data", "pack", "--input", text, "--tokenizer", tokenizer, "--out", shard)
    model = make_model(a).to(torch.bfloat16).float()  # values exact in both types
    model.save_pretrained(start)
    batches = os.path.join(a.work, "batches.jsonl")
    run = os.path.join(a.work, "run")
    given = ["train", "--data", "wiki=" + shard + ":1", "--tokenizer", tokenizer, "--init-from", start, *shape_words(a),
             "--steps", a.steps, "--batch-tokens", a.tokens_per_step, "--micro-batch-tokens", a.tokens_per_step,
             "--attend-across-documents", "--positions-restart=false", "--balance-coefficient", HYPER["balance"],
             "--z-coefficient", HYPER["z"],
             "--learning-rate", HYPER["learning_rate"], "--warmup-fraction", HYPER["warmup_fraction"], "--out", run]
    moebius(a, *given, "--dry-run", "--batches-out", batches)
    moebius(a, *given)
    with open(os.path.join(run, "records.jsonl")) as file:
        records = [json.loads(line) for line in file]
    ours = [r["loss"] for r in records if r.get("type") == "step"]
    peer, theirs = Peer(model, a), []
    with open(batches) as file:
        for line in file:
            batch = json.loads(line)
            shape = (batch["sequences"], batch["length"])
            theirs.append(peer.step(torch.tensor(batch["tokens"]).view(shape), torch.tensor(batch["targets"]).view(shape),
                                    learning_rate(batch["step"], a.steps)))
    rows = []
    for begin in range(0, a.steps, 20):
        mine, other = (sum(x[begin:begin + 20]) / len(x[begin:begin + 20]) for x in (ours, theirs))
        rows.append(dict(steps=[begin + 1, begin + 20], moebius=mine, pytorch=other, difference=mine - other))
        print("steps %3d-%3d  moebius %.4f  PyTorch %.4f  difference %+.4f" % (begin + 1, begin + 20, mine, other, mine - other))
    worst = max(abs(row["difference"]) for row in rows)
    print("largest difference of means of 20 steps: %.4f (wanted: at most 0.02)" % worst)
    return dict(rows=rows, worst=worst, agree=worst <= 0.02)


def compare_speed(a):
    routing = os.path.join(a.work, "routing-d%d-E%d-k%d.json" % (a.d_model, a.experts, a.top_k))
    bench = ["bench", "train", *shape_words(a), "--tokens-per-step", a.tokens_per_step, "--repeats", 1, "--steps", 2]
    if not os.path.exists(routing):
        moebius(a, *bench, "--steps-warm", a.steps_warm, "--record-routing", routing)
    peer = Peer(make_model(a), a)
    shape = (a.tokens_per_step // a.sequence, a.sequence)
    tokens = torch.randint(0, a.vocab, shape)
    targets = torch.randint(0, a.vocab, shape)
    for _ in range(2):  # compiles, and lets the optimiser make its states
        peer.step(tokens, targets, 1e-4)
    rows = []
    for _ in range(a.rounds):
        begin = time.perf_counter()
        peer.step(tokens, targets, 1e-4)
        theirs = a.tokens_per_step / (time.perf_counter() - begin)
        mine = moebius(a, *bench, "--routing", routing)
        rows.append(dict(pytorch=theirs, moebius=mine["tokens_per_s"], ratio=mine["tokens_per_s"] / theirs,
                         roof_flops_per_s=mine["roof_flops_per_s"], roofline_ratio=mine["roofline_ratio"], mfu=mine["mfu"],
                         moebius_memory=mine["peak_memory_bytes"]))
        print("PyTorch %7.0f tokens/s   moebius %7.0f   ratio %.2f   (roof %.0f GFLOP/s)"
              % (theirs, rows[-1]["moebius"], rows[-1]["ratio"], mine["roof_flops_per_s"] / 1e9), flush=True)
    ratios = sorted(row["ratio"] for row in rows)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("median ratio %.2f; peak memory: PyTorch %.2f GB, moebius %.2f GB"
          % (ratios[len(ratios) // 2], memory / 1e9, rows[-1]["moebius_memory"] / 1e9))
    return dict(rows=rows, ratio=ratios[len(ratios) // 2], pytorch_memory=memory)


def main():
    a = words(None)
    os.makedirs(a.work, exist_ok=True)
    torch.set_num_threads(a.threads)
    result = compare_loss(a) if a.what == "loss" else compare_speed(a)
    with open(os.path.join(a.work, a.what + ".json"), "w") as file:
        json.dump(dict(shape={k: v for k, v in vars(a).items() if k not in ("moebius", "work")}, torch=torch.__version__,
                       **result), file, indent=1)


if __name__ == "__main__":
    main()
