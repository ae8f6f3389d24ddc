"""Scores of lm-evaluation-harness for the measures loglikelihood and rolling, for Winogrande's form (several contexts, one
ending), for few-shot examples with a template of their own, and for majority votes.

Uses the checkpoint and the items in tests/golden/lm_eval (lm_eval_scores.py made them); writes winogrande.jsonl,
greedy.jsonl, pages.jsonl and kinds.json there. The C++ test must come to the same scores.

Needs: torch, transformers, tokenizers, lm_eval. Usage: python tests/peers/lm_eval_kinds.py
"""
import json
import os
import random
import tempfile

os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from lm_eval import simple_evaluate
from lm_eval.filters.selection import MajorityVoteFilter
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests/golden/lm_eval")

WINOGRANDE = [
    ("The ball did not fit into the box because _ was too small.", "the ball", "the box", "2"),
    ("Ann asked Beth about the lake because _ had lived there.", "Ann", "Beth", "2"),
    ("Carl lent Dan his umbrella although _ needed it more.", "Carl", "Dan", "1"),
    ("The sun melted the ice, so _ was gone by noon.", "the sun", "the ice", "2"),
    ("Eve passed the test and Fay failed it, since _ had studied.", "Eve", "Fay", "1"),
    ("The plant needs water and the stone does not; _ is alive.", "the plant", "the stone", "1"),
    ("Gil thanked Hal for the help, and _ said it was nothing.", "Gil", "Hal", "2"),
    ("Iron is harder than clay, so _ breaks first.", "iron", "clay", "2"),
]


def write_rows(name, items):
    with open(os.path.join(OUT, name), "w") as f:
        for item in items:
            f.write(json.dumps(item, ensure_ascii=False) + "\n")


def write_tasks(folder):
    head = """
task: %s
dataset_path: json
dataset_kwargs:
  data_files:
    test: %s
output_type: %s
test_split: test
"""
    def write(name, file, kind, rest):
        with open(os.path.join(folder, name + ".yaml"), "w") as f:
            f.write(head % (name, os.path.join(OUT, file), kind) + rest)

    write("mini_loglikelihood", "arc.jsonl", "loglikelihood", r"""
fewshot_split: test
num_fewshot: 1
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{choices[answer_index]}}"
metric_list:
  - metric: acc
  - metric: perplexity
""")
    write("mini_greedy", "greedy.jsonl", "loglikelihood", r"""
num_fewshot: 0
doc_to_text: "{{context}}"
doc_to_target: "{{ending}}"
metric_list:
  - metric: acc
""")
    write("mini_winogrande", "winogrande.jsonl", "multiple_choice", r"""
fewshot_split: test
num_fewshot: 1
doc_to_text: "{{answer|int - 1}}"
doc_to_choice: "{{[sentence.split('_')[0] + option1, sentence.split('_')[0] + option2]}}"
doc_to_target: "{{sentence.split('_')[1].strip()}}"
metric_list:
  - metric: acc
""")
    write("mini_pages", "pages.jsonl", "loglikelihood_rolling", r"""
doc_to_text: ""
doc_to_target: "{{page}}"
metric_list:
  - metric: word_perplexity
  - metric: byte_perplexity
  - metric: bits_per_byte
""")
    with open(os.path.join(folder, "shots.yaml"), "w") as f:
        f.write(r"""
task: mini_shots
dataset_path: json
dataset_kwargs:
  data_files:
    train: %s
    test: %s
output_type: loglikelihood
training_split: train
fewshot_split: train
test_split: test
num_fewshot: 2
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
fewshot_config:
  sampler: default
  doc_to_text: "Problem: {{question}}\nSolution:"
  doc_to_target: "{{answer}}"
metric_list:
  - metric: acc
""" % (os.path.join(OUT, "gsm_train.jsonl"), os.path.join(OUT, "gsm.jsonl")))


def greedy_rows(model):
    """Continuations that greedy decoding produces, every third with a word too many."""
    rows = []
    for line in list(open(os.path.join(OUT, "arc.jsonl")))[:12]:
        context = "Question: " + json.loads(line)["question"]
        tokens = model.tokenizer.encode(context)
        n = len(tokens)
        for _ in range(1 + len(rows) % 4):
            logits = model.model(torch.tensor([tokens])).logits[0, -1]
            tokens.append(int(logits.argmax()))
        ending = model.tokenizer.decode(tokens[n:])
        rows.append({"context": context, "ending": ending + (" the" if len(rows) % 3 == 2 else "")})
    return rows


def main():
    write_rows("winogrande.jsonl", [{"sentence": s, "option1": a, "option2": b, "answer": n} for s, a, b, n in WINOGRANDE])
    lines = open(os.path.join(OUT, "rolling.txt")).read().split("\n")
    pages = [" \n" + "\n".join(lines[:9]) + "\n", lines[9], "\u2003".join(lines[10:12]) + "  end", "\n\n".join(lines[12:])]
    write_rows("pages.jsonl", [{"page": page} for page in pages])
    names = ["mini_loglikelihood", "mini_greedy", "mini_winogrande", "mini_pages", "mini_shots"]
    model = HFLM(pretrained=os.path.join(OUT, "model"), dtype="float32", device="cpu", batch_size=1)
    write_rows("greedy.jsonl", greedy_rows(model))
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(folder)
        result = simple_evaluate(model=model, tasks=names, log_samples=True, bootstrap_iters=10,
                                 task_manager=TaskManager(include_path=folder, include_defaults=False))
    out = {}
    for name in names:
        samples = sorted(result["samples"][name], key=lambda s: s["doc_id"])
        items = []
        for s in samples:
            item = {"arguments": [s["arguments"]["gen_args_%d" % i] for i in range(len(s["arguments"]))]
                    if isinstance(s["arguments"], dict) else [list(a) for a in s["arguments"]]}
            item["logprobs"] = [float(r[0][0] if isinstance(r[0], (list, tuple)) else r[0]) for r in s["resps"]]
            if "acc" in s:
                item["acc"] = float(s["acc"])
            if name == "mini_pages":
                del item["arguments"]
            items.append(item)
        metrics = {k.split(",")[0]: v for k, v in result["results"][name].items()
                   if isinstance(v, float) and k.split(",")[0] in
                   ("acc", "acc_stderr", "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")}
        out[name] = {"items": items, **metrics}
    r = random.Random(7)
    texts = [[r.choice(["3", "4", "[invalid]", "40"]) for _ in range(r.randint(1, 7))] for _ in range(60)]
    votes = MajorityVoteFilter().apply(texts, [None] * len(texts))
    out["votes"] = [{"texts": t, "vote": list(v)[0]} for t, v in zip(texts, votes)]
    with open(os.path.join(OUT, "kinds.json"), "w") as f:
        json.dump(out, f, indent=1)
    print({k: {m: v[m] for m in v if m != "items"} for k, v in out.items() if k != "votes"})


if __name__ == "__main__":
    main()
