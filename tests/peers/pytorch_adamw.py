"""Twenty training steps of a tiny Mixtral in PyTorch (f32, AdamW), as numbers for src/train/pytorch_test.cpp.

In: nothing. Out: FOLDER/start/{config.json,model.safetensors} as transformers writes them, and FOLDER/run.json with the
batches (tokens, targets, documents), the hyper-parameters and, for every step, the losses and the gradient's norm.
Two runs: `whole` (a sequence is one document) and `packed` (several documents, block-diagonal attention, positions
restarting). Loss = mean cross-entropy + balance * sum over layers of E sum f P + z * sum over layers of mean lse^2.
"""
import json
import os
import sys

import torch
import torch.nn.functional as F
from transformers import MixtralConfig, MixtralForCausalLM

STEPS, SEQUENCES, LENGTH, VOCAB = 20, 4, 16, 64
HYPER = dict(learning_rate=3e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip=0.5,
             balance_coefficient=0.02, z_coefficient=0.001)


def make_config():
    return MixtralConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
                         max_position_embeddings=LENGTH, rope_theta=10000.0, rms_norm_eps=1e-5, sliding_window=None,
                         tie_word_embeddings=False, initializer_range=0.08, attention_dropout=0.0,
                         bos_token_id=None, eos_token_id=None)


def make_batches(packed, generator):
    """Per step: tokens, targets (-1: none) and documents (begin, count) over SEQUENCES * LENGTH flat rows."""
    batches = []
    for _ in range(STEPS):
        tokens, targets, spans = [], [], []
        for b in range(SEQUENCES):
            left, begin = LENGTH, b * LENGTH
            while left > 0:
                count = left if not packed else min(left, int(torch.randint(1, 8, (1,), generator=generator)))
                start = int(torch.randint(0, VOCAB, (1,), generator=generator))
                stride = int(torch.randint(1, 4, (1,), generator=generator))
                words = [(start + stride * i * i) % VOCAB for i in range(count + 1)]
                tokens += words[:count]
                targets += words[1:count] + [words[count] if not packed else -1]
                spans.append([begin, count])
                begin, left = begin + count, left - count
        batches.append(dict(tokens=tokens, targets=targets, spans=spans))
    return batches


def mask_and_positions(spans):
    document = torch.zeros(SEQUENCES * LENGTH, dtype=torch.long)
    position = torch.zeros(SEQUENCES * LENGTH, dtype=torch.long)
    for i, (begin, count) in enumerate(spans):
        document[begin:begin + count] = i
        position[begin:begin + count] = torch.arange(count)
    document, position = document.view(SEQUENCES, LENGTH), position.view(SEQUENCES, LENGTH)
    allowed = (document[:, :, None] == document[:, None, :]) & torch.ones(LENGTH, LENGTH).tril().bool()
    mask = torch.zeros(SEQUENCES, 1, LENGTH, LENGTH).masked_fill(~allowed[:, None], torch.finfo(torch.float32).min)
    return mask, position


def router_terms(inputs, routers, config):
    balance, z = [], []
    for x, router in zip(inputs, routers):
        logits = F.linear(x.reshape(-1, config.hidden_size).float(), router.weight.float())
        experts, k = config.num_local_experts, config.num_experts_per_tok
        probabilities = logits.softmax(-1)
        counts = torch.bincount(probabilities.topk(k, dim=-1).indices.flatten(), minlength=experts)
        share = counts.float() / (logits.shape[0] * k)
        balance.append(experts * (share * probabilities.mean(0)).sum())
        z.append(logits.logsumexp(-1).square().mean())
    return torch.stack(balance), torch.stack(z)


def train(folder, batches):
    model = MixtralForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.train()
    routers = [layer.mlp.gate for layer in model.model.layers]
    inputs = []
    for router in routers:
        router.register_forward_hook(lambda module, args, out: inputs.append(args[0]))
    decays = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([dict(params=decays, weight_decay=HYPER["weight_decay"]),
                                   dict(params=others, weight_decay=0.0)], lr=HYPER["learning_rate"],
                                  betas=(HYPER["beta1"], HYPER["beta2"]), eps=HYPER["epsilon"])
    steps = []
    for batch in batches:
        inputs.clear()
        mask, position = mask_and_positions(batch["spans"])
        tokens = torch.tensor(batch["tokens"]).view(SEQUENCES, LENGTH)
        logits = model(tokens, attention_mask=mask, position_ids=position, use_cache=False).logits
        targets = torch.tensor(batch["targets"])
        loss = F.cross_entropy(logits.view(-1, VOCAB).float(), targets, ignore_index=-1)
        balance, z = router_terms(inputs, routers, model.config)
        assert len(inputs) == len(routers)
        total = loss + HYPER["balance_coefficient"] * balance.sum() + HYPER["z_coefficient"] * z.sum()
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), HYPER["clip"])
        optimizer.step()
        steps.append(dict(loss=loss.item(), balance=balance.mean().item(), z=z.mean().item(), grad_norm=norm.item()))
    return steps


def main():
    folder = sys.argv[1]
    start = os.path.join(folder, "start")
    os.makedirs(start, exist_ok=True)
    torch.manual_seed(7)
    torch.use_deterministic_algorithms(True)
    model = MixtralForCausalLM(make_config()).to(torch.bfloat16)  # values exact in bf16 and f32
    model.save_pretrained(start)
    generation = os.path.join(start, "generation_config.json")
    if os.path.exists(generation):
        os.remove(generation)
    generator = torch.Generator().manual_seed(11)
    runs = {}
    for name in ("whole", "packed"):
        batches = make_batches(name == "packed", generator)
        runs[name] = dict(batches=batches, steps=train(start, batches))
        print(name, [round(s["loss"], 4) for s in runs[name]["steps"]])
        print(name, [round(s["grad_norm"], 3) for s in runs[name]["steps"]])
    with open(os.path.join(folder, "run.json"), "w") as file:
        json.dump(dict(sequences=SEQUENCES, length=LENGTH, hyper=HYPER, runs=runs), file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
