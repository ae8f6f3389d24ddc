#!/usr/bin/env python3
"""Writes src/data/unicode_tables.cpp: the Unicode data behind the tokenizer, as the `tokenizers` library has it.

Classes of characters (categories, scripts, some properties, case folding) are what the library's regular expression
engine says about each code point: Unicode 16.0. Composition (NFC) is what the library's normaliser does: it knows the
characters of Unicode 9.0, and for text that both know the versions agree. unicodedata2 lists the candidates; every
entry is checked against the library.

    pip install tokenizers==0.23.3 unicodedata2==16.0.0
    python3 tests/peers/unicode_tables.py > src/data/unicode_tables.cpp     (about five minutes)

A table is a string of numbers: base-32 digits, least significant first, in the alphabet of base64; a digit above 31
(the value plus 32) says that another digit follows.
"""
import sys

import unicodedata2 as u
from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "Cc Cf Cn Co Cs Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
PROPERTIES = ("Alphabetic,Alpha Lowercase,Lower Uppercase,Upper Ideographic,Ideo Emoji Emoji_Presentation,EPres Emoji_Modifier,EMod "
              "Emoji_Modifier_Base,EBase Emoji_Component,EComp Extended_Pictographic,ExtPict")
SCRIPTS = """Adlam,Adlm Ahom Anatolian_Hieroglyphs,Hluw Arabic,Arab Armenian,Armn Avestan,Avst Balinese,Bali Bamum,Bamu
Bassa_Vah,Bass Batak,Batk Bengali,Beng Bhaiksuki,Bhks Bopomofo,Bopo Brahmi,Brah Braille,Brai Buginese,Bugi Buhid,Buhd
Canadian_Aboriginal,Cans Carian,Cari Caucasian_Albanian,Aghb Chakma,Cakm Cham Cherokee,Cher Chorasmian,Chrs Common,Zyyy
Coptic,Copt,Qaac Cuneiform,Xsux Cypriot,Cprt Cypro_Minoan,Cpmn Cyrillic,Cyrl Deseret,Dsrt Devanagari,Deva Dives_Akuru,Diak
Dogra,Dogr Duployan,Dupl Egyptian_Hieroglyphs,Egyp Elbasan,Elba Elymaic,Elym Ethiopic,Ethi Garay,Gara Georgian,Geor
Glagolitic,Glag Gothic,Goth Grantha,Gran Greek,Grek Gujarati,Gujr Gunjala_Gondi,Gong Gurmukhi,Guru Gurung_Khema,Gukh
Han,Hani Hangul,Hang Hanifi_Rohingya,Rohg Hanunoo,Hano Hatran,Hatr Hebrew,Hebr Hiragana,Hira Imperial_Aramaic,Armi
Inherited,Zinh,Qaai Inscriptional_Pahlavi,Phli Inscriptional_Parthian,Prti Javanese,Java Kaithi,Kthi Kannada,Knda
Katakana,Kana Kawi Kayah_Li,Kali Kharoshthi,Khar Khitan_Small_Script,Kits Khmer,Khmr Khojki,Khoj Khudawadi,Sind
Kirat_Rai,Krai Lao,Laoo Latin,Latn Lepcha,Lepc Limbu,Limb Linear_A,Lina Linear_B,Linb Lisu Lycian,Lyci Lydian,Lydi
Mahajani,Mahj Makasar,Maka Malayalam,Mlym Mandaic,Mand Manichaean,Mani Marchen,Marc Masaram_Gondi,Gonm Medefaidrin,Medf
Meetei_Mayek,Mtei Mende_Kikakui,Mend Meroitic_Cursive,Merc Meroitic_Hieroglyphs,Mero Miao,Plrd Modi Mongolian,Mong
Mro,Mroo Multani,Mult Myanmar,Mymr Nabataean,Nbat Nag_Mundari,Nagm Nandinagari,Nand New_Tai_Lue,Talu Newa Nko,Nkoo
Nushu,Nshu Nyiakeng_Puachue_Hmong,Hmnp Ogham,Ogam Ol_Chiki,Olck Ol_Onal,Onao Old_Hungarian,Hung Old_Italic,Ital
Old_North_Arabian,Narb Old_Permic,Perm Old_Persian,Xpeo Old_Sogdian,Sogo Old_South_Arabian,Sarb Old_Turkic,Orkh
Old_Uyghur,Ougr Oriya,Orya Osage,Osge Osmanya,Osma Pahawh_Hmong,Hmng Palmyrene,Palm Pau_Cin_Hau,Pauc Phags_Pa,Phag
Phoenician,Phnx Psalter_Pahlavi,Phlp Rejang,Rjng Runic,Runr Samaritan,Samr Saurashtra,Saur Sharada,Shrd Shavian,Shaw
Siddham,Sidd SignWriting,Sgnw Sinhala,Sinh Sogdian,Sogd Sora_Sompeng,Sora Soyombo,Soyo Sundanese,Sund Sunuwar,Sunu
Syloti_Nagri,Sylo Syriac,Syrc Tagalog,Tglg Tagbanwa,Tagb Tai_Le,Tale Tai_Tham,Lana Tai_Viet,Tavt Takri,Takr Tamil,Taml
Tangsa,Tnsa Tangut,Tang Telugu,Telu Thaana,Thaa Thai Tibetan,Tibt Tifinagh,Tfng Tirhuta,Tirh Todhri,Todr Toto
Tulu_Tigalari,Tutg Ugaritic,Ugar Vai,Vaii Vithkuqi,Vith Wancho,Wcho Warang_Citi,Wara Yezidi,Yezi Yi,Yiii
Zanabazar_Square,Zanb"""
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"


def members(pattern, text):
    """The characters of the text that the library's engine takes for the pattern, one at a time."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {c for piece, _ in split.pre_tokenize_str(text) for c in piece}


def number(value):
    out = ""
    while value > 31:
        out += DIGITS[32 + value % 32]
        value //= 32
    return out + DIGITS[value]


def numbers(values):
    return "".join(number(v) for v in values)


def signed(value):
    return value * 2 if value >= 0 else -value * 2 - 1


def gaps(points):
    """Code points as gap, length, gap, length ..."""
    ranges = []
    for p in sorted(points):
        if ranges and ranges[-1][1] == p:
            ranges[-1][1] = p + 1
        else:
            ranges.append([p, p + 1])
    out, end = [], 0
    for first, last in ranges:
        out += [first - end, last - first]
        end = last
    return out


def emit(name, text):
    print(f"const char* const {name} =")
    lines = [text[i:i + 114] for i in range(0, len(text), 114)]
    print("\n".join(f'    "{line}"' for line in lines) + ";\n")


def categories():
    category = {c: u.category(c) for c in ALL}
    text = "".join(ALL)
    for name in CATEGORIES:
        if name != "Cs":
            assert members(r"\p{%s}" % name, text) == {c for c in ALL if category[c] == name}, name
    values, start = [], 0
    for cp in range(1, 0x110001):
        kind = lambda p: category.get(chr(p), "Cs")
        if cp == 0x110000 or kind(cp) != kind(start):
            values += [CATEGORIES.index(kind(start)), cp - start]
            start = cp
    return numbers(values)


def named_sets():
    text = "".join(c for c in ALL if u.category(c) not in ("Cn", "Co"))
    pictographs = "".join(c for c in ALL if u.category(c) != "Co")
    for names in sorted((PROPERTIES + " " + SCRIPTS).split()):
        first = names.split(",")[0]
        found = members(r"\p{%s}" % first, pictographs if first == "Extended_Pictographic" else text)
        for alias in names.split(",")[1:]:
            try:
                Regex(r"\p{%s}" % alias)
            except Exception:
                print("no alias", alias, file=sys.stderr)
        yield names.lower().replace("_", ""), numbers(gaps(map(ord, found)))


def case_tables():
    """Pairs (code, the least code that is equal to it without case), and sequences that are equal to one character."""
    cased = [c for c in ALL if u.category(c) in ("Lu", "Ll", "Lt") or c.lower() != c or c.upper() != c or c == "\u0345"]
    text = "\n".join(cased)
    pairs, sequences, done = [], set(), set()
    for c in cased:
        if c not in done:
            group = members(f"(?i:{c})", text)
            assert c in group
            done |= group
            pairs += [(ord(other), ord(min(group))) for other in group if other != min(group)]
        folded = c.casefold()
        if len(folded) > 1:
            split = pre_tokenizers.Split(Regex(f"(?i:{c})"), "removed", invert=True)
            if [p for p, _ in split.pre_tokenize_str(folded)] == [folded]:
                sequences.add((folded, ord(c)))
    values, last = [], 0
    for code, least in sorted(pairs):
        values += [code - last, code - least]
        last = code
    joined = []
    for folded, code in sorted(sequences):
        joined += [code, len(folded)] + [ord(c) for c in folded]
    return numbers(values), numbers(joined)


def composition():
    nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
    classes, last, run = [], 0, None
    known = {ord(c): u.combining(c) for c in ALL
             if u.combining(c) and (u.combining(c) == 240 or nfd("\u0345" + c) == c + "\u0345" != "\u0345" + c)}
    for cp in sorted(known):
        if run and run[1] == cp and run[2] == known[cp]:
            run[1] = cp + 1
        else:
            run = [cp, cp + 1, known[cp]]
            classes.append(run)
    values = []
    for first, end, combining in classes:
        values += [first - last, end - first, combining]
        last = end
    pairs, last = [], 0
    for c in ALL:
        text = u.decomposition(c)
        if not text or text.startswith("<") or nfd(c) == c:
            continue
        parts = [int(p, 16) for p in text.split()]
        assert nfd(c) == "".join(nfd(chr(p)) for p in parts), hex(ord(c))
        composes = len(parts) == 2 and nfc("".join(map(chr, parts))) == c
        pairs += [ord(c) - last, signed(parts[0] - ord(c)), parts[1] * 2 + composes if len(parts) == 2 else 0]
        last = ord(c)
    return numbers(values), numbers(pairs)


def main():
    assert u.unidata_version == "16.0.0", u.unidata_version
    print("// Generated by tests/peers/unicode_tables.py; do not edit. Classes of Unicode 16.0, composition of Unicode 9.0: as")
    print("// the `tokenizers` library has them.")
    print('#include "data/unicode_tables.h"')
    print()
    print("namespace moebius::data {")
    print()
    emit("kCategoryRuns", categories())
    folds, sequences = case_tables()
    emit("kCaseFolds", folds)
    emit("kCaseSequences", sequences)
    combining, decompositions = composition()
    emit("kCombiningRuns", combining)
    emit("kDecompositions", decompositions)
    print("const NamedSet kNamedSets[] = {")
    for names, text in named_sets():
        lines = [text[i:i + 112] for i in range(0, len(text), 112)] or [""]
        print(f'    {{"{names}",\n' + "\n".join(f'     "{line}"' for line in lines) + "},")
    print("};")
    print("const i64 kNamedSetsCount = sizeof(kNamedSets) / sizeof(kNamedSets[0]);")
    print()
    print("}  // namespace moebius::data")


if __name__ == "__main__":
    sys.exit(main())
