"""Per-item scores of lm-evaluation-harness on small local tasks with a tiny random Mixtral checkpoint.

Writes tests/golden/lm_eval: the checkpoint (model/), the items (*.jsonl), and scores.json. The C++ test scores the same
items with the same checkpoint and must come to the same decisions. Also writes CPython's random draws.

Needs: torch, transformers, tokenizers, lm_eval. Usage: python tests/peers/lm_eval_scores.py
"""
import gzip
import json
import os
import random
import shutil
import tempfile

os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, MixtralConfig, MixtralForCausalLM, PreTrainedTokenizerFast

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "tests/golden/lm_eval")
EVAL = os.path.join(ROOT, "corpora/eval")
POSITIONS = 256


def rows(name):
    with gzip.open(os.path.join(EVAL, name), "rt") as f:
        return [json.loads(line) for line in f]


def write_rows(name, items):
    with open(os.path.join(OUT, name), "w") as f:
        for item in items:
            f.write(json.dumps(item, ensure_ascii=False) + "\n")


def make_checkpoint(texts):
    folder = os.path.join(OUT, "model")
    shutil.rmtree(folder, ignore_errors=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(5)
    config = MixtralConfig(vocab_size=400, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
                           num_attention_heads=4, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2,
                           max_position_embeddings=POSITIONS, rope_theta=10000.0, sliding_window=None,
                           tie_word_embeddings=False, initializer_range=0.3, bos_token_id=None, eos_token_id=0)
    model = MixtralForCausalLM(config).float().eval()
    model.save_pretrained(folder)
    for name in os.listdir(folder):
        if name not in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
            os.remove(os.path.join(folder, name))
    return folder


def write_tasks(folder):
    data = {name: os.path.join(OUT, name) for name in os.listdir(OUT) if name.endswith(".jsonl")}
    choice = """
task: {task}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
output_type: multiple_choice
test_split: test
fewshot_split: test
num_fewshot: {shots}
doc_to_text: "{text}"
doc_to_target: "{{{{answer_index}}}}"
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
    with open(os.path.join(folder, "arc.yaml"), "w") as f:
        f.write(choice.format(task="mini_arc", file=data["arc.jsonl"], shots=2, text="Question: {{question}}\\nAnswer:"))
    with open(os.path.join(folder, "hellaswag.yaml"), "w") as f:
        f.write(choice.format(task="mini_hellaswag", file=data["hellaswag.jsonl"], shots=0, text="{{question}}"))
    with open(os.path.join(folder, "gsm.yaml"), "w") as f:
        f.write(r"""
task: mini_gsm
dataset_path: json
dataset_kwargs:
  data_files:
    train: %s
    test: %s
output_type: generate_until
training_split: train
fewshot_split: train
test_split: test
num_fewshot: 1
doc_to_text: "Question: {{question}}\nAnswer:"
doc_to_target: "{{answer}}"
metric_list:
  - metric: exact_match
    ignore_case: true
    ignore_punctuation: false
    regexes_to_ignore:
      - ","
      - "\\$"
      - "(?s).*#### "
      - "\\.$"
generation_kwargs:
  until:
    - "Question:"
    - "</s>"
    - "e"
  do_sample: false
  max_gen_toks: 48
filter_list:
  - name: "strict"
    filter:
      - function: "regex"
        regex_pattern: "#### (\\-?[0-9\\.\\,]+)"
      - function: "take_first"
  - name: "flexible"
    filter:
      - function: "regex"
        group_select: -1
        regex_pattern: "(-?[$0-9.,]{2,})|([a-z]+)"
      - function: "take_first"
""" % (data["gsm_train.jsonl"], data["gsm.jsonl"]))


def evaluate(model_folder):
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(folder)
        model = HFLM(pretrained=model_folder, dtype="float32", device="cpu", batch_size=1)
        result = simple_evaluate(model=model, tasks=["mini_arc", "mini_hellaswag", "mini_gsm"], log_samples=True,
                                 task_manager=TaskManager(include_path=folder, include_defaults=False),
                                 bootstrap_iters=1)
        text = open(os.path.join(OUT, "rolling.txt")).read()
        tokenizer = AutoTokenizer.from_pretrained(model_folder)
        from lm_eval.api.instance import Instance
        rolling = model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)])[0]
        return result, {"logprob": float(rolling), "tokens": len(tokenizer.encode(text)), "bytes": len(text.encode())}


def collect(result):
    out = {}
    for task in ("mini_arc", "mini_hellaswag"):
        samples = sorted(result["samples"][task], key=lambda s: s["doc_id"])
        out[task] = {
            "items": [{"prompt": s["arguments"][0][0] if isinstance(s["arguments"], list) else s["arguments"]["gen_args_0"]["arg_0"],
                       "logprobs": [float(r[0][0]) for r in s["resps"]], "acc": s["acc"], "acc_norm": s["acc_norm"]}
                      for s in samples],
            "acc": result["results"][task]["acc,none"], "acc_se": result["results"][task]["acc_stderr,none"],
            "acc_norm": result["results"][task]["acc_norm,none"],
            "acc_norm_se": result["results"][task]["acc_norm_stderr,none"]}
    items = {}
    for s in result["samples"]["mini_gsm"]:
        item = items.setdefault(s["doc_id"], {"generated": s["resps"][0][0]})
        item["extracted_" + s["filter"]] = s["filtered_resps"][0]
        item["exact_match_" + s["filter"]] = s["exact_match"]
    out["mini_gsm"] = {"items": [items[i] for i in sorted(items)]}
    for f in ("strict", "flexible"):
        out["mini_gsm"]["exact_match_" + f] = result["results"]["mini_gsm"]["exact_match," + f]
    return out


def python_random():
    r = random.Random(1234)
    words = [r.getrandbits(32) for _ in range(700)]
    out = {"words_first": words[:3], "words_last": words[-3:], "samples": []}
    for seed, n, k in ((1234, 100, 5), (1234, 7473, 5), (1234, 20, 6), (42, 1000, 9), (42, 3, 3), (0, 90, 8), (7, 1, 1)):
        r = random.Random(seed)
        out["samples"].append({"seed": seed, "n": n, "k": k, "draws": [r.sample(range(n), k) for _ in range(4)]})
    return out


def main():
    os.makedirs(OUT, exist_ok=True)
    write_rows("arc.jsonl", rows("arc_easy_test.jsonl.gz")[:40])
    write_rows("hellaswag.jsonl", rows("hellaswag_val1000.jsonl.gz")[:25])
    short = [r for r in rows("../gsm8k_train.jsonl.gz") if len(r["question"]) < 120]
    write_rows("gsm_train.jsonl", short[:30])
    gsm = short[30:54]
    write_rows("gsm.jsonl", gsm)
    with open(os.path.join(OUT, "rolling.txt"), "w") as f:
        f.write("\n".join(r["question"] + " \u00e9\u4e2d" for r in short[60:80]))
    model = make_checkpoint([r["question"] + " " + " ".join(r["choices"]) for r in rows("arc_easy_test.jsonl.gz")]
                            + [r["answer"] for r in short[:200]])
    first, _ = evaluate(model)
    # Random weights answer nothing right: give every third item the answer that was extracted, so that both outcomes occur.
    for i, item in enumerate(collect(first)["mini_gsm"]["items"]):
        got = item["extracted_flexible"]
        if i % 3 == 0 and got != "[invalid]":
            gsm[i]["answer"] = "Because.\n#### " + got
    write_rows("gsm.jsonl", gsm)
    result, rolling = evaluate(model)
    scores = collect(result)
    scores["rolling"] = rolling
    scores["python_random"] = python_random()
    with open(os.path.join(OUT, "scores.json"), "w") as f:
        json.dump(scores, f, indent=1)
    print({k: {m: v[m] for m in v if m not in ("items", "samples")} for k, v in scores.items()})


if __name__ == "__main__":
    main()
