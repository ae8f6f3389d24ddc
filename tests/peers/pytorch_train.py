"""Training beside PyTorch: the same model, start, batches and optimiser, in transformers' fastest form on a CPU.

In: the program (--moebius), a work folder. Out: a table on standard output and FOLDER/RESULT.json.
  loss   200 steps of real text from one start: the means of 20 steps of the loss must agree within 0.02
  speed  steps of both, alternating in one run: tokens per second of each and their ratio

Set-up: python3 -m venv V && V/bin/pip install torch==2.13.0 transformers safetensors (the CPU build of torch). The fastest form
there is autocast (f32 weights and moments, bf16 products), grouped_mm for the experts, torch.compile, fused AdamW.
  V/bin/python tests/peers/pytorch_train.py loss  --moebius build/release/moebius --work /tmp/peer
  V/bin/python tests/peers/pytorch_train.py speed --moebius build/release/moebius --work /tmp/peer --d-model 512 \
      --experts 32 --top-k 2 --expert-width 1024 --tokens-per-step 8192
In `speed` both replay the routing that moebius recorded while training on real text: the peer's own routing, at its start or after
training on one batch repeatedly, would differ, and speed depends on the load.
On AVX2 (a processor without more, or forced on both sides) f32 is the fastest form of both:
  ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 V/bin/python tests/peers/pytorch_train.py speed \
      --isa avx2 --precision f32 --d-model 384 --layers 6 --experts 48 --top-k 3 --expert-width 320 --sequence 640 \
      --tokens-per-step 7680 --moebius build/release/moebius --work /tmp/peer
The balance and z losses are ours on both sides (docs/train.md), since without them the experts collapse; transformers' own
definition of the balance loss differs.

Numerics of `loss`. The start's weights are exact in bf16 and f32; the rotary frequencies stay f32 (model.to(bfloat16) rounds them too,
and then positions differ). The peer's router runs in f32 as ours does; --router bf16 leaves it to autocast. Autocast does not reach
grouped_mm, so the peer's experts multiply in f32; --peer-experts bf16 makes them as ours. --precision f32 puts both sides in f32.

Chance. Routing makes training chaotic: after some 17 steps of this shape any rounding changes which experts are chosen. --nudges N trains
ours N times more, from starts in which one weight moved by one step of bf16, and prints how far that alone moves the means; --peer-nudges N
does so with the peer, and then the means over the starts are compared too; --seed gives another start and another order of the data. Until
then the losses of single steps must agree, and these are printed first. The learning rate, 3e-4, is one at which chance moves the means of
20 steps by 0.004; at 1e-3 it moves them by 0.02, as much as the tolerance. Complete runs in the work folder are reused.
"""
import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
import transformers.integrations.moe as peer_moe
from transformers import MixtralConfig, MixtralForCausalLM

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EARLY = 16  # steps before the choice of experts parts
HYPER = dict(learning_rate=3e-4, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip=1.0,
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
    parser.add_argument("--seed", type=int, default=1, help="of the start and of the data's order")
    parser.add_argument("--precision", choices=["bf16", "f32"], default="bf16", help="of both sides")
    parser.add_argument("--isa", default="auto", help="of moebius; the peer's is set by the environment")
    parser.add_argument("--router", choices=["bf16", "f32"], help="the peer's router; default: f32 for loss, bf16 for speed")
    parser.add_argument("--peer-experts", choices=["bf16", "f32"], default="f32", help="the peer's expert products")
    parser.add_argument("--nudges", type=int, default=0, help="loss: number of additional moebius runs from starts with one weight moved")
    parser.add_argument("--peer-nudges", type=int, default=0, help="loss: number of additional runs of the peer from the first of these starts")
    for name in ("learning_rate", "warmup_fraction"):
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=HYPER[name])
    a = parser.parse_args(args)
    HYPER.update(learning_rate=a.learning_rate, warmup_fraction=a.warmup_fraction)
    return a


def make_model(a):
    heads = max(1, a.d_model // 64)
    config = MixtralConfig(vocab_size=a.vocab, hidden_size=a.d_model, intermediate_size=a.expert_width,
                           num_hidden_layers=a.layers, num_attention_heads=heads, num_key_value_heads=heads,
                           num_local_experts=a.experts, num_experts_per_tok=a.top_k, max_position_embeddings=a.sequence,
                           rope_theta=10000.0, rms_norm_eps=1e-5, sliding_window=None, tie_word_embeddings=False,
                           use_cache=False, attn_implementation="sdpa", bos_token_id=None, eos_token_id=None)
    config._experts_implementation = "grouped_mm"
    torch.manual_seed(a.seed)
    model = MixtralForCausalLM(config)
    if (a.router or ("f32" if a.what == "loss" else "bf16")) == "f32":
        for layer in model.model.layers:
            layer.mlp.gate.forward = outside_autocast(layer.mlp.gate.forward)
    return model


def load_model(a, folder):
    """The model of a saved start, its weights in f32; the rotary frequencies are recomputed in f32."""
    model = make_model(a)
    saved = MixtralForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    model.load_state_dict(saved)
    return model


def grouped_mm_in_bf16(grouped_mm):
    def run(x, w, offs):
        return grouped_mm(x.bfloat16(), w.bfloat16(), offs)
    return run


def replayed(gate, chosen):
    """The router with a recorded choice of experts [tokens, k]: both sides then have the same load, at every step."""
    def run(hidden):
        logits = F.linear(hidden.reshape(-1, gate.hidden_dim), gate.weight)
        gates = logits.float().softmax(-1).gather(1, chosen)
        return logits, gates / gates.sum(-1, keepdim=True), chosen
    return run


def outside_autocast(forward):
    def run(*given):
        with torch.autocast("cpu", enabled=False):
            return forward(*given)
    return run


def round_weights(model):
    """Values exact in bf16 and f32. Parameters only: model.to(bfloat16) would round the rotary frequencies as well."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16())
    return model


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
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.a.precision == "bf16"):
            out = self.forward(input_ids=tokens, output_router_logits=True)
        loss = F.cross_entropy(out.logits.float().view(-1, self.a.vocab), targets.view(-1), ignore_index=-1)
        (loss + auxiliary(out.router_logits, self.a)).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), HYPER["clip"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()


def keep_to_one_training(a):
    """A work folder's runs are of one recipe: what is found there may then be read and not made again."""
    recipe = dict(HYPER, **{k: v for k, v in vars(a).items() if k not in ("moebius", "work", "nudges", "peer_nudges", "threads")})
    path = os.path.join(a.work, "recipe.json")
    if os.path.exists(path):
        with open(path) as file:
            if json.load(file) != recipe:
                raise SystemExit("%s: this folder holds another training; give another --work" % path)
    with open(path, "w") as file:
        json.dump(recipe, file, indent=1)


def compare_loss(a):
    keep_to_one_training(a)
    start, shard = os.path.join(a.work, "start"), os.path.join(a.work, "wiki")
    text = os.path.join(SOURCE, "corpora", "enwiki2019-00.jsonl.gz")
    tokenizer = os.path.join(a.work, "tokenizer.json")
    moebius(a, "data", "tokenizer", "--input", text, "--vocab", a.vocab, "--out", tokenizer)
    moebius(a, "data", "pack", "--input", text, "--tokenizer", tokenizer, "--out", shard)
    model = round_weights(make_model(a))
    model.save_pretrained(start)
    batches = os.path.join(a.work, "batches.jsonl")
    run = os.path.join(a.work, "run")
    given = ["train", "--data", "wiki=" + shard + ":1", "--tokenizer", tokenizer, *shape_words(a),
             "--steps", a.steps, "--batch-tokens", a.tokens_per_step, "--micro-batch-tokens", a.tokens_per_step,
             "--attend-across-documents", "--positions-restart=false", "--balance-coefficient", HYPER["balance"],
             "--z-coefficient", HYPER["z"],
             "--learning-rate", HYPER["learning_rate"], "--warmup-fraction", HYPER["warmup_fraction"], "--seed-data", a.seed,
             "--precision", a.precision, "--isa", a.isa]
    moebius(a, *given, "--init-from", start, "--out", run, "--dry-run", "--batches-out", batches)
    ours = train_ours(a, [*given, "--init-from", start], run)
    nudged = [train_ours(a, [*given, "--init-from", save_nudged(model, start, n)], "%s-nudged-%d" % (run, n))
              for n in range(a.nudges)]
    theirs = train_peer(a, start, batches, "peer")
    theirs_nudged = [train_peer(a, save_nudged(model, start, n), batches, "peer-nudged-%d" % n) for n in range(a.peer_nudges)]
    return print_losses(a, [ours, *nudged], [theirs, *theirs_nudged])


def print_losses(a, ours, theirs):
    """Each a list of runs, the first from the start itself, the others from nudged ones."""
    before = max(abs(x - y) for x, y in zip(ours[0][:EARLY], theirs[0]))
    print("steps 1-%d, one by one: largest difference %.5f" % (EARLY, before), end="")
    print("".join("   nudged %.5f" % max(abs(x - y) for x, y in zip(ours[0][:EARLY], again)) for again in ours[1:]))
    rows = []
    for begin in range(0, a.steps, 20):
        mine, other = [mean(run, begin) for run in ours], [mean(run, begin) for run in theirs]
        row = dict(steps=[begin + 1, min(begin + 20, a.steps)], moebius=mine, pytorch=other, difference=mine[0] - other[0],
                   difference_of_means=sum(mine) / len(mine) - sum(other) / len(other), error=standard_error(mine, other))
        text = "steps %3d-%3d  moebius %.4f  PyTorch %.4f  difference %+.4f" % (*row["steps"], mine[0], other[0], row["difference"])
        for name, values in (("moebius", mine), ("PyTorch", other)):
            if len(values) > 1:
                text += "   %s nudged" % name + "".join(" %+.4f" % (x - values[0]) for x in values[1:])
        if len(mine) > 1 or len(other) > 1:
            text += "   means differ by %+.4f +- %.4f" % (row["difference_of_means"], row["error"])
        rows.append(row)
        print(text)
    worst = {}
    for key, name in (("difference", "means of 20 steps"), ("difference_of_means", "means of 20 steps over the starts")):
        worst[key] = max(abs(row[key]) for row in rows)
        print("%s: largest difference of %s: %.4f (wanted: at most 0.02)" % ("PASS" if worst[key] <= 0.02 else "FAIL", name, worst[key]))
    return dict(rows=rows, worst=worst, agree=worst["difference"] <= 0.02, early=before)


def standard_error(mine, other):
    """Of the difference of two means, one variance for both: they train the same model; nan where no start was nudged."""
    free = len(mine) + len(other) - 2
    if free == 0:
        return math.nan
    squares = sum((x - sum(run) / len(run)) ** 2 for run in (mine, other) for x in run)
    return math.sqrt(squares / free * (1 / len(mine) + 1 / len(other)))


def mean(values, begin):
    part = values[begin:begin + 20]
    return sum(part) / len(part)


def save_nudged(model, start, n):
    """The start with one weight of 10^8 moved by one step of bf16: what becomes of it is chance."""
    folder = "%s-nudged-%d" % (start, n)
    weight = model.model.layers[0].self_attn.q_proj.weight.data.view(-1)
    before = weight[n].clone()
    weight[n] = (before * (1 + 2 ** -7)).bfloat16()
    model.save_pretrained(folder)
    weight[n] = before
    return folder


def train_ours(a, given, run):
    moebius(a, *given, "--out", run)
    with open(os.path.join(run, "records.jsonl")) as file:
        records = [json.loads(line) for line in file]
    return [r["loss"] for r in records if r.get("type") == "step"]


def train_peer(a, start, batches, name):
    """The peer's loss of every step; NAME.jsonl in the work folder grows as it goes. One that is whole is read."""
    path, losses = os.path.join(a.work, name + ".jsonl"), []
    if os.path.exists(path):
        with open(path) as file:
            losses = [json.loads(line)["loss"] for line in file]
        if len(losses) == a.steps:
            return losses
    peer, losses = Peer(load_model(a, start), a), []
    with open(batches) as file, open(path, "w") as log:
        for line in file:
            batch = json.loads(line)
            shape = (batch["sequences"], batch["length"])
            losses.append(peer.step(torch.tensor(batch["tokens"]).view(shape), torch.tensor(batch["targets"]).view(shape),
                                    learning_rate(batch["step"], a.steps)))
            print(json.dumps(dict(step=batch["step"], loss=losses[-1])), file=log, flush=True)
    return losses


def compare_speed(a):
    routing = os.path.join(a.work, "routing-d%d-E%d-k%d.json" % (a.d_model, a.experts, a.top_k))
    bench = ["bench", "train", *shape_words(a), "--tokens-per-step", a.tokens_per_step, "--repeats", 1, "--steps", 2,
             "--precision", a.precision, "--isa", a.isa]
    if not os.path.exists(routing):
        moebius(a, *bench, "--steps-warm", a.steps_warm, "--record-routing", routing)
    model = make_model(a)
    with open(routing) as file:
        layers = json.load(file)["layers"]
    for layer, chosen in zip(model.model.layers, layers, strict=True):
        forward = replayed(layer.mlp.gate, torch.tensor(chosen).view(a.tokens_per_step, a.top_k))
        layer.mlp.gate.forward = outside_autocast(forward) if a.router == "f32" else forward
    peer = Peer(model, a)
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
    ratio = statistics.median(row["ratio"] for row in rows)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("median ratio %.2f; peak memory: PyTorch %.2f GB, moebius %.2f GB"
          % (ratio, memory / 1e9, rows[-1]["moebius_memory"] / 1e9))
    return dict(rows=rows, ratio=ratio, pytorch_memory=memory)


def main():
    a = words(None)
    os.makedirs(a.work, exist_ok=True)
    torch.set_num_threads(a.threads)
    if a.peer_experts == "bf16":
        peer_moe._grouped_mm = grouped_mm_in_bf16(peer_moe._grouped_mm)
    result = compare_loss(a) if a.what == "loss" else compare_speed(a)
    with open(os.path.join(a.work, a.what + ".json"), "w") as file:
        json.dump(dict(shape={k: v for k, v in vars(a).items() if k not in ("moebius", "work")}, torch=torch.__version__,
                       **result), file, indent=1)


if __name__ == "__main__":
    main()
