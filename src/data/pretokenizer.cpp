// GPT-2's scanner and the chain of pre-tokenisation steps.
#include "data/pretokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/error.h"
#include "data/pretokenizer_pattern.h"
#include "data/unicode.h"

namespace moebius::data {

const char* const kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// Classes of the ASCII characters; 255 marks the rest.
constexpr u8 kNotAscii = 255;
constexpr std::array<u8, 256> make_ascii_classes() {
  std::array<u8, 256> table = {};
  for (int c = 0; c < 256; ++c) {
    CharClass k = CharClass::other;
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) k = CharClass::letter;
    if (c >= '0' && c <= '9') k = CharClass::number;
    if (c == ' ' || (c >= 9 && c <= 13)) k = CharClass::space;
    table[static_cast<std::size_t>(c)] = c < 128 ? static_cast<u8>(k) : kNotAscii;
  }
  return table;
}
constexpr std::array<u8, 256> kAsciiClasses = make_ascii_classes();

inline CharClass class_at(const char* p, const char* end, int& length) {
  const u8 ascii = kAsciiClasses[static_cast<u8>(*p)];
  if (ascii != kNotAscii) [[likely]] {
    length = 1;
    return static_cast<CharClass>(ascii);
  }
  u32 code;
  length = decode_utf8(p, end, code);
  return code == kInvalidCode ? CharClass::other : char_class(code);
}

inline const char* run_end(const char* p, const char* end, CharClass wanted) {
  while (p < end) {
    const u8 ascii = kAsciiClasses[static_cast<u8>(*p)];
    if (ascii == static_cast<u8>(wanted)) {
      ++p;
    } else if (ascii != kNotAscii) {
      return p;
    } else {
      int length;
      if (class_at(p, end, length) != wanted) return p;
      p += length;
    }
  }
  return p;
}

// Length of an English contraction at `p` (which is an apostrophe), or 0.
inline int contraction(const char* p, const char* end) {
  if (end - p < 2) return 0;
  const char a = p[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (end - p < 3) return 0;
  const char b = p[2];
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

// White space: all of it at the end of the text; else all but the last, which belongs to the next word; but at least
// one.
inline const char* space_end(const char* p, const char* end) {
  const char* const begin = p;
  const char* last = p;
  while (p < end) {
    int length;
    if (class_at(p, end, length) != CharClass::space) return last > begin ? last : p;
    last = p;
    p += length;
  }
  return p;
}

constexpr const char* kSupported = "Split and Digits, then one ByteLevel";
constexpr const char* kSupportedFix =
    "use a byte-level BPE tokenizer such as those of GPT-2, GPT-NeoX, Llama 3 and Qwen";

std::string text_of(const Json& section, std::string_view key) { return section.get_string(key, ""); }

}  // namespace

const char* gpt2_word_end(const char* p, const char* end) {
  if (*p == '\'') {
    if (const int length = contraction(p, end); length != 0) return p + length;
  }
  int length;
  if (*p == ' ') {
    if (p + 1 == end) return end;
    const CharClass next = class_at(p + 1, end, length);
    if (next != CharClass::space) return run_end(p + 1 + length, end, next);
    return space_end(p, end);
  }
  const CharClass own = class_at(p, end, length);
  return own == CharClass::space ? space_end(p, end) : run_end(p + length, end, own);
}

PreTokenizer::PreTokenizer() { steps_.push_back({}); }

PreTokenizer::PreTokenizer(const Json& section, const std::string& where) {
  if (!section.is_null()) add_section(section, where);
  if (!byte_level_) {
    throw Error({.where = where,
                 .what = "pre_tokenizer: there is no ByteLevel step, so this BPE model works on characters",
                 .wanted = kSupported,
                 .fix = kSupportedFix});
  }
}

void PreTokenizer::add_section(const Json& section, const std::string& where) {
  const std::string type = text_of(section, "type");
  if (type == "Sequence") {
    for (const Json& inner : section.at("pretokenizers").as_array()) add_section(inner, where);
    return;
  }
  if (type != "ByteLevel" && type != "Split" && type != "Digits") {
    throw Error({.where = where,
                 .what = fmt::format("pre_tokenizer: the kind '{}' is not supported", type),
                 .wanted = kSupported,
                 .fix = kSupportedFix});
  }
  if (byte_level_) {
    throw Error({.where = where,
                 .what = fmt::format("pre_tokenizer: {} after ByteLevel is not supported", type),
                 .wanted = kSupported,
                 .fix = kSupportedFix});
  }
  if (type == "Split") return add_split(section, where);
  if (type == "Digits") {
    Step step;
    step.kind = section.get_bool("individual_digits", false) ? Kind::digits_single : Kind::digits;
    steps_.push_back(std::move(step));
    return;
  }
  byte_level_ = true;
  if (section.get_bool("add_prefix_space", true)) {
    if (!steps_.empty()) {
      throw Error({.where = where,
                   .what = "pre_tokenizer: add_prefix_space after another step is not supported",
                   .wanted = "ByteLevel alone, or \"add_prefix_space\": false",
                   .fix = kSupportedFix});
    }
    prefix_space_ = true;
  }
  if (section.get_bool("use_regex", true)) steps_.push_back({});
}

void PreTokenizer::add_split(const Json& section, const std::string& where) {
  static constexpr std::array<const char*, 5> kNames = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                                        "Contiguous"};
  const Json& pattern = section.at("pattern");
  const std::string name = text_of(section, "behavior");
  const auto known = std::find(kNames.begin(), kNames.end(), name);
  if (known == kNames.end()) {
    throw Error({.where = where,
                 .what = fmt::format("pre_tokenizer: a Split has the unknown behavior '{}'", name),
                 .wanted = fmt::format("one of: {}", fmt::join(kNames, ", "))});
  }
  Step step;
  step.behavior = static_cast<Behavior>(known - kNames.begin());
  step.invert = section.get_bool("invert", false);
  const Json* regex = pattern.find("Regex");
  const std::string text = regex != nullptr ? regex->as_string() : pattern.at("String").as_string();
  if (regex != nullptr && text == kGpt2Pattern && step.behavior == Behavior::isolated && !step.invert) {
    steps_.push_back({});
    return;
  }
  step.kind = Kind::regex;
  const ParsedPattern parsed = regex != nullptr ? parse_pattern(text, where) : literal_pattern(text);
  step.regex = std::make_shared<const RegexSplitter>(parsed, text, where);
  steps_.push_back(std::move(step));
}

// As the library does it: spans are joined in order, empty matches included.
std::vector<PreTokenizer::Span> PreTokenizer::merge_spans(std::vector<Span> spans, Behavior behavior) {
  if (behavior == Behavior::isolated) return spans;
  if (behavior == Behavior::removed) {
    std::erase_if(spans, [](const Span& span) { return span.match; });
    return spans;
  }
  const bool backward = behavior == Behavior::merged_with_next;
  if (backward) std::reverse(spans.begin(), spans.end());
  std::vector<Span> merged;
  bool previous = false;
  for (const Span& span : spans) {
    const bool joins = behavior == Behavior::contiguous ? span.match == previous : span.match && !previous;
    if (!joins || merged.empty()) {
      merged.push_back(span);
    } else if (backward) {
      merged.back().from = span.from;
    } else {
      merged.back().to = span.to;
    }
    previous = span.match;
  }
  if (backward) std::reverse(merged.begin(), merged.end());
  return merged;
}

void PreTokenizer::run_split(const Step& step, std::string_view piece, std::vector<std::string_view>& out) {
  std::vector<std::pair<i64, i64>> matches;
  step.regex->find(piece, matches);
  std::vector<Span> spans;
  i64 done = 0;
  for (const auto& [from, to] : matches) {
    if (from > done) spans.push_back({done, from, step.invert});
    spans.push_back({from, to, !step.invert});
    done = to;
  }
  if (done < std::ssize(piece)) spans.push_back({done, std::ssize(piece), step.invert});
  for (const Span& span : merge_spans(std::move(spans), step.behavior)) {
    if (span.to > span.from) {
      out.push_back(piece.substr(static_cast<std::size_t>(span.from), static_cast<std::size_t>(span.to - span.from)));
    }
  }
}

void PreTokenizer::run_step(const Step& step, std::string_view piece, std::vector<std::string_view>& out) {
  if (step.kind == Kind::regex) return run_split(step, piece, out);
  const char* const begin = piece.data();
  const char* const end = begin + piece.size();
  const char* p = begin;
  if (step.kind == Kind::gpt2) {
    while (p < end) {
      const char* const word = p;
      p = gpt2_word_end(p, end);
      out.emplace_back(word, static_cast<std::size_t>(p - word));
    }
    return;
  }
  while (p < end) {
    const char* const word = p;
    int length;
    const bool number = class_at(p, end, length) == CharClass::number;
    p += length;
    while (p < end && !(number && step.kind == Kind::digits_single)) {
      if ((class_at(p, end, length) == CharClass::number) != number) break;
      p += length;
    }
    out.emplace_back(word, static_cast<std::size_t>(p - word));
  }
}

void PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces, std::string& scratch) const {
  if (text.empty()) return;
  if (prefix_space_ && text.front() != ' ') {
    scratch.assign(1, ' ');
    scratch.append(text);
    text = scratch;
  }
  if (steps_.empty()) {
    pieces.push_back(text);
    return;
  }
  if (steps_.size() == 1) {
    run_step(steps_[0], text, pieces);
    return;
  }
  std::vector<std::string_view> before = {text}, after;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    after.clear();
    auto& out = i + 1 == steps_.size() ? pieces : after;
    for (const std::string_view piece : before) run_step(steps_[i], piece, out);
    before.swap(after);
  }
}

}  // namespace moebius::data
