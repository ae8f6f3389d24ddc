#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/: texts with the ids that other programs give them, for data's tokenizer tests.

    python3 tests/peers/tokenizers_goldens.py make --tokenizers FOLDER --text WIKIPEDIA.jsonl.gz BOOKS.jsonl.gz
    python3 tests/peers/tokenizers_goldens.py trained
    python3 tests/peers/tokenizers_goldens.py variants
    python3 tests/peers/tokenizers_goldens.py patterns
    python3 tests/peers/tokenizers_goldens.py behaviors
    python3 tests/peers/tokenizers_goldens.py nfc
    python3 tests/peers/tokenizers_goldens.py check OURS/tokenizer.json TEXT...

make:    FOLDER holds gpt2/encoder.json, gpt2/vocab.bpe, gpt-neox-olmo-dolma-v1_5.tokenizer.json and vectors/ of
         llama.cpp and swift-transformers.
variants: runs the library on the trained vocabulary with other pre-tokenizers, normalisers and added tokens.
patterns: how the library splits texts by patterns in its dialect (Oniguruma's), published ones and one per construct.
behaviors: what a Split makes of its matches, for every behavior, inverted or not.
nfc:     what the library's normaliser (Unicode 9.0) makes of every character that decomposes, and of random marks.
trained: trains the `tokenizers` library's BpeTrainer on trained_text.txt.gz and stores vocabulary and merges.
check:   loads a tokenizer.json that moebius wrote, and trains one beside it on the same texts; both must be equal.
Needs: pip install tokenizers==0.23.3; for nfc also unicodedata2==16.0.0.
"""
import argparse
import array
import gzip
import json
import pathlib
import random
import re
import sys
import unicodedata

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "golden" / "tokenizer"


def write_gz(name, data):
    if isinstance(data, str):
        data = data.encode("utf-8")
    with open(OUT / name, "wb") as f, gzip.GzipFile("", "wb", 9, f, mtime=0) as g:
        g.write(data)


def read_gz(name):
    return gzip.open(OUT / name, "rb").read().decode("utf-8")


def write_ids(name, ids):
    assert max(ids) < 65536
    values = array.array("H", ids)
    if sys.byteorder == "big":
        values.byteswap()
    write_gz(name, values.tobytes())


def gpt2_vectors(folder):
    cases = []
    base = folder / "vectors" / "llama.cpp" / "ggml-vocab-gpt-2.gguf"
    texts = open(str(base) + ".inp", encoding="utf-8", newline="").read().split("\n__ggml_vocab_test__\n")
    lines = open(str(base) + ".out", encoding="utf-8").read().split("\n")
    for text, line in zip(texts, lines):
        cases.append({"from": "llama.cpp", "text": text, "ids": [int(i) for i in line.split()]})
    swift = json.load(open(folder / "vectors" / "swift-transformers_tokenizer_tests.json", encoding="utf-8"))
    for case in swift["distilgpt2"]:
        cases.append({"from": "swift-transformers", "text": case["input"], "ids": case["encoded"]["input_ids"]})
    return cases


SENTENCES = [
    "Der alte Mühlbach rauschte, während die Müllerin vierzehn Säcke Weizen zählte.",
    "L'été dernier, nous avons vu où naît la rivière; c'était très beau, n'est-ce pas ?",
    "El niño comió ñandú y bebió café; ¿cuánto costó? ¡Nada!",
    "Źdźbło trawy kołysało się na łące, gdy zając przeskoczył miedzę.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy o šťávě.",
    "Η θάλασσα ήταν ήρεμη και ο ήλιος έλαμπε πάνω από τα βουνά.",
    "Старый мост через реку построили ещё в 1874 году, и он стоит до сих пор.",
    "ביום שני הלכנו לשוק וקנינו תפוחים, לחם ודבש.",
    "ذهبنا إلى السوق يوم الاثنين واشترينا التفاح والخبز، ثمنها ٢٥ ريالا.",
    "सोमवार को हम बाज़ार गए और १२ सेब ख़रीदे।",
    "เราไปตลาดวันจันทร์และซื้อแอปเปิลสิบสองผล",
    "月曜日に市場へ行って、りんごを十二個とパンを買いました。ガギグゲゴ ｶﾞｷﾞ",
    "星期一我们去了市场，买了十二个苹果和面包。《红楼梦》第３回",
    "월요일에 우리는 시장에 가서 사과 열두 개와 빵을 샀습니다.",
    "Thứ hai chúng tôi đi chợ mua mười hai quả táo và bánh mì.",
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ☃️ ⚡ 🤷‍♀️ emoji 😀😀😀 mixed🙂in words",
    "x² + y³ ≤ ½·∑ᵢ aᵢ, Ⅷ ≠ ⅷ; Å (angstrom) is not Å (letter) until normalised; ﬁ ﬂ ﬀ",
    "e\u0301 and \u00e9, n\u0303o, \u1100\u1161\u11a8 and \uac01, q\u0323\u0307 and q\u0307\u0323",
]


def random_text(rnd, size):
    """Every script, white space of every kind, marks in any order, controls, things that look broken."""
    hf = normalizers.NFC()
    ranges = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE80), (0x1100, 0x1200),
              (0x1E00, 0x2000), (0x2000, 0x2070), (0x2150, 0x2400), (0x3000, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
              (0xF900, 0xFA00), (0xFB00, 0xFB50), (0xFF00, 0xFFF0), (0x1D15E, 0x1D166), (0x1F300, 0x1F700),
              (0x20000, 0x20100), (0x2F800, 0x2F880)]
    special = ["\ufffd", "\ufeff", "\u200d", "\u0000", "\x7f", "\x85", "\u2028", "\u2029", "\ufdd0", "\U0010ffff", "\r\n", "\t",
               "\n\n\n", "  ", "   ", " " * 24, " " * 31, "\u00a0", "\u3000", "'s", "'re", "'LL", "'ve ", " 'd", "\\xff\\xfe",
               "%C3%28", "Ã©Ã¼", "&#xD800;", "\\ud800", "<|endoftext|>", "<|padding|>", "|||IP_ADDRESS|||",
               "|||EMAIL_ADDRESS|||", "<|endoftext", "endoftext|>", "0x1F", "3.14159", "1,000,000", "٣٤٥", "x" * 70, "=" * 50,
               "-" * 17, "__init__", "a_b", "http://a.example/?q=1&r=%20", "\u180e", "\u200b"]
    out, total = [], 0
    while total < size:
        parts = []
        for _ in range(rnd.randrange(5, 60)):
            kind = rnd.random()
            if kind < 0.35:
                first, last = rnd.choice(ranges)
                count = rnd.randrange(1, 9)
                parts.append("".join(chr(rnd.randrange(first, last)) for _ in range(count)))
            elif kind < 0.5:
                parts.append(rnd.choice(special))
            elif kind < 0.6:
                parts.append(rnd.choice(" \t\n\u00a0") * rnd.randrange(1, 30))
            elif kind < 0.7:
                parts.append(rnd.choice("aeioucnsAEIOU") + "".join(chr(rnd.randrange(0x300, 0x345)) for _ in range(rnd.randrange(1, 4))))
            else:
                parts.append(rnd.choice(SENTENCES)[: rnd.randrange(4, 90)])
            parts.append(rnd.choice(["", "", " ", "\n"]))
        text = "".join(parts)
        # The library's normaliser has an older Unicode: keep what both normalise alike.
        if hf.normalize_str(text) == unicodedata.normalize("NFC", text):
            out.append(text)
            total += len(text.encode("utf-8"))
    return "\n".join(out)


def documents(path):
    with gzip.open(path, "rt", encoding="utf-8") as f:
        for line in f:
            item = json.loads(line)
            TITLES[item["text"]] = item.get("title", "")
            yield item["text"]


TITLES = {}
TAKEN = []


def take(path, size, skip):
    out, total = [], 0
    for i, text in enumerate(documents(path)):
        if i < skip:
            continue
        out.append(text)
        TAKEN.append(TITLES[text])
        total += len(text.encode("utf-8"))
        if total >= size:
            break
    return "\n\n".join(out).encode("utf-8")[:size].decode("utf-8", errors="ignore")


def code_text(size):
    files = sorted((ROOT / "src" / "base").glob("*.cpp")) + sorted((ROOT / "tests" / "peers").glob("*.py"))
    return "\n".join(p.read_text(encoding="utf-8") for p in files)[:size]


def nfc(_):
    import unicodedata2

    rnd = random.Random(20240903)
    normal = normalizers.NFC().normalize_str
    cases = []
    for cp in range(0x110000):
        text = unicodedata2.decomposition(chr(cp))
        if text and not text.startswith("<"):
            cases += [chr(cp), unicodedata2.normalize("NFD", chr(cp))]
    marks = [c for c in map(chr, range(0x300, 0x1F000)) if unicodedata2.combining(c)]
    for _ in range(2000):
        text = ""
        for _ in range(rnd.randrange(1, 6)):
            text += rnd.choice("aeioukq \u00c5\u00e9\uac00\uac01\u1100\u1161\u11a8\u0e01\u0b47\u0b3e\U0001d157")
            text += "".join(rnd.choice(marks) for _ in range(rnd.randrange(0, 4)))
        cases.append(text)
    write_gz("nfc_cases.json.gz", json.dumps([[c, normal(c)] for c in cases], ensure_ascii=False))
    print("nfc:", len(cases), "cases")


def make(args):
    folder = pathlib.Path(args.tokenizers)
    write_gz("gpt2_encoder.json.gz", (folder / "gpt2" / "encoder.json").read_bytes())
    write_gz("gpt2_vocab.bpe.gz", (folder / "gpt2" / "vocab.bpe").read_bytes())
    olmoe = (folder / "gpt-neox-olmo-dolma-v1_5.tokenizer.json").read_bytes()
    write_gz("olmoe_tokenizer.json.gz", olmoe)
    (OUT / "gpt2_vectors.json").write_text(json.dumps(gpt2_vectors(folder), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    rnd = random.Random(20240903)
    wikipedia, books = args.text
    text = "\n\n".join([take(wikipedia, 400000, 0), take(books, 250000, 3), code_text(120000), random_text(rnd, 290000)])
    write_gz("mixed_text.txt.gz", text)
    ids = Tokenizer.from_str(olmoe.decode("utf-8")).encode(text, add_special_tokens=False).ids
    write_ids("mixed_olmoe_ids.u16.gz", ids)
    write_gz("trained_text.txt.gz", take(wikipedia, 400000, 200) + "\n\n" + random_text(rnd, 20000))
    (OUT / "text_titles.txt").write_text("\n".join(TAKEN) + "\n", encoding="utf-8")
    print("mixed text:", len(text.encode("utf-8")), "bytes,", len(ids), "ids; tokenizers", tokenizers.__version__)


def train(texts, vocab_size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=2, special_tokens=["<|endoftext|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def trained(_):
    tokenizer = train([read_gz("trained_text.txt.gz")], 2048)
    write_gz("trained_tokenizer.json.gz", tokenizer.to_str())
    text = read_gz("mixed_text.txt.gz")[300000:400000]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    write_ids("trained_ids.u16.gz", ids)
    print("trained:", tokenizer.get_vocab_size(), "tokens;", len(ids), "ids")


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def variants(_):
    base = json.loads(read_gz("trained_tokenizer.json.gz"))
    size = len(base["model"]["vocab"])

    def added(*tokens):
        out = list(base["added_tokens"])
        for i, (content, flags) in enumerate(tokens):
            out.append({"id": size + i, "content": content, "single_word": "w" in flags, "lstrip": "l" in flags,
                        "rstrip": "r" in flags, "normalized": "n" in flags, "special": "s" in flags})
        return out

    tokens = added(("<mask>", "ls"), ("<sep>", "rs"), ("<both>", "lrs"), ("word", "wn"), ("caf\u00e9", "n"), ("<a", ""),
                   ("<a>", ""), ("<a>b", "n"), ("  ", "n"), ("    ", "n"))
    settings = {
        "flags": {"added_tokens": tokens},
        "flags and NFC": {"added_tokens": tokens, "normalizer": {"type": "NFC"}},
        "NFC in a sequence": {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}},
        "Llama 3": {"pre_tokenizer": sequence(split({"Regex": LLAMA3}), byte_level(False, False)), "ignore": True},
        "Qwen 2": {"pre_tokenizer": sequence(split({"Regex": QWEN2}), byte_level(False, False)), "normalizer": {"type": "NFC"}},
        "removed, inverted": {"pre_tokenizer": sequence(split({"Regex": QWEN2}, "Removed", True), byte_level(False, False))},
        "removed": {"pre_tokenizer": sequence(split({"Regex": "\\s+"}, "Removed"), byte_level(False, False))},
        "literal": {"pre_tokenizer": sequence(split({"String": "e."}), byte_level())},
        "prefix space": {"pre_tokenizer": byte_level(True)},
        "prefix space and flags": {"pre_tokenizer": byte_level(True), "added_tokens": tokens},
        "no words": {"pre_tokenizer": byte_level(False, False)},
        "digits": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": False}, byte_level())},
        "digits one by one": {"pre_tokenizer": sequence({"type": "Digits", "individual_digits": True}, byte_level())},
    }
    rnd = random.Random(7)
    texts = ["", " ", "Hello world", "It's 12345 o'clock, they'LL say;\r\n\r\n  we've\t\tseen   it ", "a <mask> b<mask>c  <sep>  d<sep>e",
             "x <both>  <both> y\n<both>\n z", "word words sword, word; word_ word1 (word)word wordword \u00e9word word\u0301",
             "cafe\u0301 caf\u00e9 caf\u00e8 un cafe\u0301s", "<a <a> <a>b <a>bc <<a>", "1 2  3   4    5     6      7",
             "<|endoftext|>text<|endoftext|> <|endoftext|>", "the end.e.e. e .", "\u00a0\u2003x\u3000\u180ey\u0085z\u200b",
             "x\u00b2\u0663\u2167 100 20000 3,141,592"] + SENTENCES
    texts += [random_text(rnd, 300) for _ in range(4)]
    out = []
    for name, setting in settings.items():
        data = json.loads(json.dumps(base))
        for key, value in setting.items():
            if key == "ignore":
                data["model"]["ignore_merges"] = value
            else:
                data[key] = value
        tokenizer = Tokenizer.from_str(json.dumps(data))
        cases = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        out.append({"name": name, "set": setting, "ids": cases})
    write_gz("variants.json.gz", json.dumps({"texts": texts, "variants": out}, ensure_ascii=False))
    print("variants:", len(out), "with", len(texts), "texts")


# One pattern a line: published ones (BLOOM, GPT-4, GPT-4o, Kimi K2, DeepSeek V3), then one for each construct.
PATTERNS = r"""
 ?[^(\s|[.,!?…。，、।۔،])]+
'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+
[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
[\p{Han}]+|[\p{L}&&[^\p{Han}]]+|\s+
[a-c&&b-d]
[^a-c&&b-d]+
[a-w&&[^c-g]z]
[[a-c][x-z]]+
[^[a-c]]+
[a[^b]]
\h+
\H+
^.
.$
$
^
\Abc|\A.
c\Z
.\Z
.\z
(?m:.+)
.+
(?m).+
(?i)abc
(?i:'s|'t|'re|'ve|'m|'ll|'d)
(?i:[sdmt])
(?i:[a-z]+)
(?i:[^s]+)
(?i:k)
(?i)\p{Lu}
(?i)\p{Upper}+
(?i)[A-Z&&[^B]]
(?i)å
a{2}+
a{2}+b
a{2}?
a{2,}+
a{,2}
a{,2}+
a{3,2}
a{1,2}?
a{2}{2}
a**
a+?
a++b
a*+
a?+
a+*
a+?*
(?:a|b)+?
x{
{
a{,}
a{x}
(?=a)
(?=\d)
(?=(\d{3})+(?!\d))
(?<=a)b
(?<!a)b
(?<=a|bb)b
(?>a+)b
(?<n>a)b
(?'n'a)b
(?#comment)a
a(?#c)*
(?x) a b # c
(?x: a b )c
(?x)[ a]
a(?i)b|c
(?:a(?i)b|c)B
(?i-i:a)b
(?imx-imx:a)
\R
\R+
\N+
\O+
\b
\b\w
\B
\w+
\W+
\s+
\S+
\d+
\D+
\p{L}+
\p{^L}+
\P{L}+
\P{^L}+
\p{Lu}
\p{Letter}
\p{Uppercase Letter}
\p{uppercase_letter}
\p{LC}
\p{Han}+
\p{Hani}
\p{Any}
\p{Assigned}+
\p{ASCII}+
\p{Alnum}+
\p{Alpha}+
\p{Punct}+
\p{Word}+
\p{Graph}+
\p{Print}+
\p{Emoji}
\p{Hiragana}+|\p{Katakana}+
\pL
\p
[\p{L}\p{M}]+
[^\p{L}\p{N}]+
[[:alpha:]]+
[[:^alpha:]]+
[[:punct:]]+
[[:word:]]+
[[:space:][:digit:]]+
[:alpha:]+
[\w-]
[-a]+
[a-]+
[a-c-e]+
[a-c-]
[--/]+
[!--]+
[a&&]
[&&a]
[a&b]+
[a&&b&&c]
[]a]+
[^]a]+
[a\]b]+
[\[\]]+
[^\n]+
[\r\n]+
[\t\v\f]
[\b]
[\x61-\x63]+
[\u4e00-\u9fff]+
[\x{4e00}-\x{9fff}]+
\x{4e00}
\x61
\u4e2d
\o{141}
\061
\0
\cA
\Q.\E
\q
\-\&\~\#\ \/\'
\U
\e
\a
a|
|a
a||b
(?:)
()
(?:a|)
x*
a*?
(?:(?:a{100}){100}){10}
[一-龥぀-ゟ゠-ヿ]+
[0-9][0-9][0-9]
[\w]
[^\w]
[\W&&[^a]]
[^\p{Word}]
\P{Word}
""".strip("\n").split("\n")
PATTERN_TEXTS = [
    "abc ABC", "a&b-c]d[e^f", "aaabbbccc", "foo123bar\uff14\u0663 \u00bd\u00b2", "line1\nline2\r\n\nend\n", "\n", "", "x",
    "\u00e9\u00c0\u00df\u1e9e\ufb05\u017fsSK\u212ak ss SS", "\u4e2d\u6587\u304b\u306a\u30ab\u30ca\ud55c\uae00 mixed",
    "tab\tvt\x0bff\x0cnel\x85ls\u2028ps\u2029z\u180e\u200b\u3000", "word_word-word's DON'T", "{2}{,}a{", "0x1Fg hH",
    "a  b   c\n\n d", "\u0301e\u0301", "\U0001e5d0\U0002ebf0\U00031350\U00016ea0\U000105c0",
    "\u01c5\u01c6 \u03a9 \u2126 \u00c5 \u212b \u03d0\u03b2", "#x y\n", "cost $5.00, 1234567", "\u00b9a\u00bd\u00bdz-\u00b2"]


def patterns(_):
    out = []
    for pattern in PATTERNS:
        step = pre_tokenizers.Split(Regex(pattern), "isolated")
        out.append({"pattern": pattern, "pieces": [[p for p, _ in step.pre_tokenize_str(t)] for t in PATTERN_TEXTS]})
    write_gz("patterns.json.gz", json.dumps({"texts": PATTERN_TEXTS, "patterns": out}, ensure_ascii=False))
    print("patterns:", len(out), "with", len(PATTERN_TEXTS), "texts")


def behaviors(_):
    texts = ["", "x", "--", "the-final--countdown", "-a-", "a 1 b22c  333", "aaxbx", " lead and trail ", "\u00e9-\u4e2d--\u00df"]
    out = []
    for pattern in [{"String": "-"}, {"String": "--"}, {"Regex": "-+"}, {"Regex": r"\s"}, {"Regex": r"\d"}, {"Regex": "x*"},
                    {"Regex": "(?=-)"}, {"Regex": r"\w+"}]:
        for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
            for invert in [False, True]:
                section = split(pattern, behavior, invert)
                given = Regex(pattern["Regex"]) if "Regex" in pattern else pattern["String"]
                name = re.sub("(?<!^)([A-Z])", r"_\1", behavior).lower()
                step = pre_tokenizers.Split(given, name, invert)
                assert json.loads(step.__getstate__()) == section
                out.append({"split": section, "pieces": [[p for p, _ in step.pre_tokenize_str(t)] for t in texts]})
    write_gz("behaviors.json.gz", json.dumps({"texts": texts, "splits": out}, ensure_ascii=False))
    print("behaviors:", len(out), "with", len(texts), "texts")


def check(args):
    ours = Tokenizer.from_file(args.ours)
    texts = []
    for path in args.texts:
        opener = gzip.open if path.endswith(".gz") else open
        if ".jsonl" in path:
            texts += list(documents(path))
        else:
            texts.append(opener(path, "rt", encoding="utf-8", newline="").read())
    theirs = train(texts, ours.get_vocab_size())
    a, b = json.loads(ours.to_str())["model"], json.loads(theirs.to_str())["model"]
    assert a["vocab"] == b["vocab"], "vocabularies differ"
    assert a["merges"] == b["merges"], "merges differ"
    for text in texts[:500]:
        assert ours.encode(text).ids == theirs.encode(text).ids, "ids differ"
        assert ours.decode(ours.encode(text).ids) == theirs.decode(theirs.encode(text).ids), "texts differ"
    print("equal:", len(a["vocab"]), "tokens,", len(a["merges"]), "merges,", len(texts), "texts")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("make")
    one.add_argument("--tokenizers", required=True)
    one.add_argument("--text", required=True, nargs=2)
    one.set_defaults(run=make)
    commands.add_parser("trained").set_defaults(run=trained)
    commands.add_parser("variants").set_defaults(run=variants)
    commands.add_parser("patterns").set_defaults(run=patterns)
    commands.add_parser("behaviors").set_defaults(run=behaviors)
    commands.add_parser("nfc").set_defaults(run=nfc)
    one = commands.add_parser("check")
    one.add_argument("ours")
    one.add_argument("texts", nargs="+")
    one.set_defaults(run=check)
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    args.run(args)


if __name__ == "__main__":
    main()
