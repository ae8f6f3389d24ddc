// A recursive-descent parser after Oniguruma's doc/RE and its default syntax. All groups become non-capturing: only the
// place of the whole match counts, so back-references are refused.
#include "data/pretokenizer_pattern.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace moebius::data {

namespace {

constexpr int kDepthMax = 100;
constexpr std::size_t kPatternBytesMax = std::size_t{64} << 10;
constexpr i64 kRepeatMax = 65535;  // PCRE2's

struct Flags {
  bool ignore_case = false;  // (?i)
  bool dot_all = false;      // (?m): in this dialect, '.' matches newlines
  bool extended = false;     // (?x): white space and comments in the pattern do not count
};

CodeSet one_character(u32 code) { return {{code, code}}; }

class Parser {
 public:
  Parser(std::string_view pattern, const std::string& where) : where_(where), pattern_(pattern) {
    if (pattern.size() > kPatternBytesMax) unsupported("more than 64 KiB");
    const char* p = pattern.data();
    const char* const end = p + pattern.size();
    while (p < end) {
      u32 code;
      p += decode_utf8(p, end, code);
      if (code == kInvalidCode) invalid("text that is not valid UTF-8");
      codes_.push_back(code);
    }
  }

  ParsedPattern parse() {
    alternatives({}, 0);
    if (!done()) invalid("a ')' without '('");
    return std::move(out_);
  }

 private:
  // Reading.
  bool done() const { return at_ >= codes_.size(); }
  u32 peek(std::size_t ahead = 0) const { return at_ + ahead < codes_.size() ? codes_[at_ + ahead] : 0; }
  bool take(u32 code) {
    if (done() || codes_[at_] != code) return false;
    ++at_;
    return true;
  }
  u32 next(const char* in) {
    if (done()) invalid(fmt::format("{} that does not end", in));
    return codes_[at_++];
  }
  [[noreturn]] void fail(std::string what) const {
    throw Error({.where = where_,
                 .what = fmt::format("pre_tokenizer: {}", what),
                 .got = std::string(pattern_.substr(0, 2000))});
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(fmt::format("the pattern uses {}, which is not supported", what));
  }
  [[noreturn]] void invalid(const std::string& what) const { fail(fmt::format("the pattern has {}", what)); }

  // Writing. An atom is what a quantifier may follow.
  void begin_atom() {
    atom_ = static_cast<i64>(out_.parts.size());
    quantified_ = false;
  }
  void end_sequence() {
    atom_ = -1;
    run_.clear();
  }
  void add_set(const CodeSet& set) {
    begin_atom();
    run_.clear();
    out_.add_set(set);
  }
  void add_character(u32 code, const Flags& flags);
  void add_assertion(std::initializer_list<PatternPart> parts);

  void alternatives(Flags flags, int depth);
  void item(u32 code, const Flags& flags, int depth);
  void group(Flags flags, int depth);
  void named_group(u32 close, const Flags& flags, int depth);
  void wrapped(const char* open, const Flags& flags, int depth, bool is_assertion);
  bool options(Flags& flags);
  void options_group(Flags flags, int depth);
  void quantifier(u32 code);
  bool interval();
  void apply(const std::string& quantifier);
  void escape(const Flags& flags);
  void word_boundary(bool negated);
  u32 escaped_character(u32 code);
  u32 digits(u32 base, int count_max, const char* name);
  u32 braced_character(u32 base, const char* name);
  CodeSet property(bool negated, bool in_bracket);
  bool class_of_escape(u32 code, bool in_bracket, CodeSet& set);
  CodeSet bracket(const Flags& flags, int depth);
  bool posix_bracket(CodeSet& set);
  struct ClassState;
  void bracket_item(ClassState& state, int depth);
  void bracket_hyphen(ClassState& state);

  std::string where_;
  std::string_view pattern_;
  std::vector<u32> codes_;
  std::size_t at_ = 0;
  ParsedPattern out_;
  i64 atom_ = -1;  // first part of the last atom; -1: none
  bool quantified_ = false;
  std::vector<u32> run_;  // folded characters that follow each other where case is ignored
};

void Parser::add_character(u32 code, const Flags& flags) {
  begin_atom();
  CodeSet set = one_character(code);
  if (flags.ignore_case) {
    // A sequence such as "ss" would also match one character, and that one the sequence.
    run_.push_back(case_fold(code));
    for (const CaseSequence& sequence : case_sequences()) {
      const std::size_t length = sequence.folded.size();
      if (case_fold(sequence.code) == run_.back() ||
          (run_.size() >= length &&
           std::equal(sequence.folded.begin(), sequence.folded.end(), run_.end() - static_cast<i64>(length)))) {
        unsupported(fmt::format("(?i) for U+{:04X}, which equals a sequence of characters when case is ignored",
                                sequence.code));
      }
    }
    close_case(set);
  } else {
    run_.clear();
  }
  out_.add_set(set);
}

void Parser::add_assertion(std::initializer_list<PatternPart> parts) {
  end_sequence();
  out_.parts.insert(out_.parts.end(), parts);
}

void Parser::alternatives(Flags flags, int depth) {
  if (depth > kDepthMax) unsupported(fmt::format("more than {} groups in each other", kDepthMax));
  end_sequence();
  while (!done() && peek() != ')') {
    const u32 code = codes_[at_++];
    if (flags.extended && (code == ' ' || (code >= '\t' && code <= '\r'))) continue;
    if (flags.extended && code == '#') {
      while (!done() && codes_[at_++] != '\n') {}
      continue;
    }
    item(code, flags, depth);
  }
  end_sequence();
}

void Parser::item(u32 code, const Flags& flags, int depth) {
  switch (code) {
    case '|':
      end_sequence();
      out_.add_text("|");
      return;
    case '(': group(flags, depth); return;
    case '[': {
      CodeSet set = bracket(flags, depth);
      add_set(set);
      return;
    }
    case '.': add_set(flags.dot_all ? CodeSet{{0, kCodeMax}} : one_character('\n').complement()); return;
    case '\\': escape(flags); return;
    case '^': {
      // After every newline that is not the last character.
      out_.add_text("(?:\\A|(?<=");
      out_.add_set(one_character('\n'));
      add_assertion({{.text = ")(?!\\z))"}});
      return;
    }
    case '$':
      out_.add_text("(?:\\z|(?=");
      out_.add_set(one_character('\n'));
      add_assertion({{.text = "))"}});
      return;
    case '*':
    case '+':
    case '?': quantifier(code); return;
    case '{':
      if (!interval()) add_character(code, flags);
      return;
    default: add_character(code, flags);
  }
}

void Parser::wrapped(const char* open, const Flags& flags, int depth, bool is_assertion) {
  const i64 begin = static_cast<i64>(out_.parts.size());
  out_.add_text(open);
  alternatives(flags, depth + 1);
  if (!take(')')) invalid("a '(' without ')'");
  out_.add_text(")");
  atom_ = is_assertion ? -1 : begin;
  quantified_ = false;
}

void Parser::named_group(u32 close, const Flags& flags, int depth) {
  while (next("a group's name") != close) {}
  wrapped("(?:", flags, depth, false);
}

void Parser::group(Flags flags, int depth) {
  if (peek() == '*') unsupported("a callout (*...)");
  if (!take('?')) return wrapped("(?:", flags, depth, false);
  const u32 code = next("a group");
  switch (code) {
    case ':': return wrapped("(?:", flags, depth, false);
    case '=': return wrapped("(?=", flags, depth, true);
    case '!': return wrapped("(?!", flags, depth, true);
    case '>': return wrapped("(?>", flags, depth, false);
    case '\'': return named_group('\'', flags, depth);
    case '~': unsupported("the absence operator (?~...)");
    case '(': unsupported("a conditional group (?(...)...)");
    case '{': unsupported("a callout (?{...})");
    case '#':
      for (u32 c = next("a comment"); c != ')'; c = next("a comment")) {
        if (c == '\\') next("a comment");
      }
      return;
    case '<':
      if (take('=')) return wrapped("(?<=", flags, depth, true);
      if (take('!')) return wrapped("(?<!", flags, depth, true);
      return named_group('>', flags, depth);
    default: --at_;
  }
  options_group(flags, depth);
}

// Reads the letters of (?imx-imx; true when ':' follows, false when ')' does.
bool Parser::options(Flags& flags) {
  for (bool on = true;;) {
    const u32 code = next("a group");
    if (code == ':') return true;
    if (code == ')') return false;
    switch (code) {
      case '-': on = false; break;
      case 'i': flags.ignore_case = on; break;
      case 'm': flags.dot_all = on; break;
      case 'x': flags.extended = on; break;
      default: {
        std::string name;
        append_utf8(name, code);
        unsupported(fmt::format("the group (?{}...)", name));
      }
    }
  }
}

void Parser::options_group(Flags flags, int depth) {
  if (options(flags)) return wrapped("(?:", flags, depth, false);
  // To the end of the enclosing group, alternatives included: a(?i)b|c is a(?i:b|c).
  out_.add_text("(?:");
  alternatives(flags, depth + 1);
  out_.add_text(")");
  end_sequence();
}

void Parser::apply(const std::string& quantifier) {
  if (atom_ < 0) unsupported(fmt::format("'{}' with nothing before it that can be repeated", quantifier));
  if (quantified_) {
    out_.parts.insert(out_.parts.begin() + atom_, PatternPart{.text = "(?:"});
    out_.add_text(")");
  }
  out_.add_text(quantifier);
  quantified_ = true;
  run_.clear();
}

void Parser::quantifier(u32 code) {
  std::string text(1, static_cast<char>(code));
  if (take('?')) {
    text += '?';
  } else if (take('+')) {
    text += '+';
  }
  apply(text);
}

// Reads what follows a '{'; false, and nothing read, when it is not an interval: then '{' is a character.
bool Parser::interval() {
  std::size_t at = at_;
  const auto number = [&](i64& value) {
    const std::size_t begin = at;
    for (value = 0; at < codes_.size() && codes_[at] >= '0' && codes_[at] <= '9'; ++at) {
      value = std::min<i64>(value * 10 + static_cast<i64>(codes_[at] - '0'), kRepeatMax + 1);
    }
    return at > begin;
  };
  i64 low, high;
  const bool has_low = number(low);
  bool has_high = has_low, fixed = true;
  high = low;
  if (at < codes_.size() && codes_[at] == ',') {
    ++at;
    fixed = false;
    has_high = number(high);
  }
  if ((!has_low && !has_high) || at >= codes_.size() || codes_[at] != '}') return false;
  if (!has_low && fixed) return false;
  at_ = at + 1;
  if (low > kRepeatMax || (has_high && high > kRepeatMax)) unsupported(fmt::format("more than {} repeats", kRepeatMax));
  const bool swapped = has_high && low > high;  // {5,2} is {2,5}, possessive
  if (swapped) std::swap(low, high);
  std::string text = fixed      ? fmt::format("{{{}}}", low)
                     : has_high ? fmt::format("{{{},{}}}", low, high)
                                : fmt::format("{{{},}}", low);
  // {n}? and {n,m}+ are two quantifiers in this dialect; only {n,m}? is one.
  if (swapped) {
    text += '+';
  } else if (!fixed && take('?')) {
    text += '?';
  }
  apply(text);
  return true;
}

u32 Parser::digits(u32 base, int count_max, const char* name) {
  u32 value = 0;
  int count = 0;
  for (; count < count_max && !done(); ++count) {
    const u32 c = peek();
    const u32 digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
    if (digit >= base) break;
    if (value > kCodeMax) invalid(fmt::format("a character beyond U+10FFFF ({})", name));
    value = value * base + digit;
    ++at_;
  }
  if (count == 0 || value > kCodeMax) invalid(fmt::format("{} without a valid character number", name));
  return value;
}

u32 Parser::braced_character(u32 base, const char* name) {
  const u32 value = digits(base, 11, name);
  if (peek() == ' ' || peek() == '\n') unsupported(fmt::format("several characters in one {}", name));
  if (!take('}')) invalid(fmt::format("{} that does not end", name));
  return value;
}

// The character that an escape stands for; the backslash and `code` are read.
u32 Parser::escaped_character(u32 code) {
  switch (code) {
    case 't': return '\t';
    case 'n': return '\n';
    case 'r': return '\r';
    case 'f': return '\f';
    case 'v': return '\v';
    case 'a': return '\a';
    case 'e': return 0x1B;
    case 'u': {
      const std::size_t begin = at_;
      const u32 value = digits(16, 4, "\\u");
      if (at_ - begin != 4) invalid("\\u without four hexadecimal digits");
      return value;
    }
    case 'x': {
      if (take('{')) return braced_character(16, "\\x{...}");
      const u32 value = digits(16, 2, "\\x");
      if (value >= 0x80) unsupported(fmt::format("the byte \\x{:02X}", value));
      return value;
    }
    case 'o':
      if (take('{')) return braced_character(8, "\\o{...}");
      return code;
    case '0': --at_; return digits(8, 3, "an octal escape");
    case 'c': return next("\\c") & 0x1F;
    case 'C':
    case 'M': unsupported(fmt::format("\\{}-", static_cast<char>(code)));
    default:
      if (code >= '1' && code <= '9') unsupported(fmt::format("a back-reference (\\{})", static_cast<char>(code)));
      return code;
  }
}

// Reads {name} or {^name}.
CodeSet Parser::property(bool negated, bool in_bracket) {
  if (take('^')) negated = !negated;
  std::string name;
  for (u32 c = next("\\p{...}"); c != '}'; c = next("\\p{...}")) append_utf8(name, c);
  std::optional<CodeSet> set = property_set(name);
  if (!set) unsupported(fmt::format("the property \\p{{{}}}", name));
  if (in_bracket && *set == word_set()) set = posix_set("word");
  return negated ? set->complement() : *set;
}

// The escapes that stand for a set of characters, inside of brackets and outside.
bool Parser::class_of_escape(u32 code, bool in_bracket, CodeSet& set) {
  const CodeSet hex = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  switch (code) {
    case 'w':
    case 'W':
      // Inside brackets the library does not count the superscripts and fractions of Latin-1.
      set = in_bracket ? *posix_set("word") : word_set();
      if (code == 'W') set = set.complement();
      return true;
    case 's': set = space_set(); return true;
    case 'S': set = space_set().complement(); return true;
    case 'd': set = category_set("Nd"); return true;
    case 'D': set = category_set("Nd").complement(); return true;
    case 'h': set = hex; return true;
    case 'H': set = hex.complement(); return true;
    case 'p':
    case 'P':
      if (!take('{')) return false;
      set = property(code == 'P', in_bracket);
      return true;
    default: return false;
  }
}

void Parser::word_boundary(bool negated) {
  const auto side = [&](const char* open) {
    out_.add_text(open);
    out_.add_set(word_set());
  };
  side("(?:(?<=");
  side(negated ? ")(?=" : ")(?!");
  side(")|(?<!");
  side(negated ? ")(?!" : ")(?=");
  add_assertion({{.text = "))"}});
}

void Parser::escape(const Flags& flags) {
  const u32 code = next("an escape");
  CodeSet set;
  if (class_of_escape(code, false, set)) return add_set(set);
  switch (code) {
    case 'b': return word_boundary(false);
    case 'B': return word_boundary(true);
    case 'A': return add_assertion({{.text = "\\A"}});
    case 'z': return add_assertion({{.text = "\\z"}});
    case 'Z':
      out_.add_text("(?=");
      out_.add_set(one_character('\n'));
      return add_assertion({{.text = "?\\z)"}});
    case 'N': return add_set(one_character('\n').complement());
    case 'O': return add_set({{0, kCodeMax}});
    case 'R': {
      const i64 begin = static_cast<i64>(out_.parts.size());
      out_.add_text("(?>");
      out_.add_set(one_character('\r'));
      out_.add_set(one_character('\n'));
      out_.add_text("|");
      out_.add_set({{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}});
      out_.add_text(")");
      end_sequence();
      atom_ = begin;
      quantified_ = false;
      return;
    }
    case 'G': unsupported("\\G");
    case 'K': unsupported("\\K");
    case 'X': unsupported("\\X");
    case 'y':
    case 'Y': unsupported(fmt::format("\\{}", static_cast<char>(code)));
    case 'k': unsupported("a back-reference (\\k)");
    case 'g': unsupported("a call of a group (\\g)");
    default: add_character(escaped_character(code), flags);
  }
}

// What has been read of a bracket: the parts between && one by one.
struct Parser::ClassState {
  CodeSet set;                 // since the last &&
  std::optional<CodeSet> all;  // the intersection of the parts before it
  enum class Last { start, value, range, complete } last = Last::start;
  bool value_is_class = false;
  u32 value = 0;  // with Last::value, not yet added; with Last::range, where the range begins

  void flush() {
    if (last == Last::value && !value_is_class) set.add(value, value);
  }
};

bool Parser::posix_bracket(CodeSet& set) {
  // After "[:"; false, and nothing read, when no ":]" follows a name.
  std::size_t at = at_;
  const bool negated = at < codes_.size() && codes_[at] == '^';
  if (negated) ++at;
  std::string name;
  while (at < codes_.size() && codes_[at] >= 'a' && codes_[at] <= 'z') name += static_cast<char>(codes_[at++]);
  if (at + 1 >= codes_.size() || codes_[at] != ':' || codes_[at + 1] != ']') return false;
  const std::optional<CodeSet> found = posix_set(name);
  if (!found) unsupported(fmt::format("the class [:{}:]", name));
  set = negated ? found->complement() : *found;
  at_ = at + 2;
  return true;
}

// A '-' that was read: a range, or a character of its own.
void Parser::bracket_hyphen(ClassState& s) {
  using Last = ClassState::Last;
  const bool before_end = peek() == ']' || (peek() == '&' && peek(1) == '&');
  if (s.last == Last::range) {
    if (s.value > '-') invalid("a range from a higher to a lower character");
    s.set.add(s.value, '-');
    s.last = Last::complete;
  } else if (s.last == Last::value && !s.value_is_class && !before_end) {
    s.last = Last::range;
  } else if (s.last == Last::value && s.value_is_class && !before_end) {
    unsupported("a range that begins with a class");
  } else {
    s.flush();
    s.value = '-';
    s.value_is_class = false;
    s.last = Last::value;
  }
}

void Parser::bracket_item(ClassState& s, int depth) {
  using Last = ClassState::Last;
  u32 code = next("a class [...]");
  if (code == '-') return bracket_hyphen(s);
  if (code == '&' && peek() == '&') {
    ++at_;
    if (s.last == Last::range) invalid("a range without an end");
    s.flush();
    s.all = s.all ? s.all->intersection(s.set) : s.set;
    s.set = {};
    s.last = Last::start;
    return;
  }
  CodeSet inner;
  bool is_class = false;
  if (code == '[') {
    if (peek() == ':') {
      ++at_;
      is_class = posix_bracket(inner);
      if (!is_class) --at_;
    }
    // Case is ignored for the outermost class, when it is whole.
    if (!is_class) inner = bracket({}, depth + 1);
    is_class = true;
  } else if (code == '\\') {
    code = next("an escape");
    is_class = class_of_escape(code, true, inner);
    if (!is_class && code == 'b') {
      code = '\b';
    } else if (!is_class && code < 128 &&
               std::string_view("ABGKNORXYZgkyz").find(static_cast<char>(code)) != std::string_view::npos) {
      unsupported(fmt::format("\\{} in a class", static_cast<char>(code)));
    } else if (!is_class) {
      code = escaped_character(code);
    }
  }
  if (s.last == Last::range) {
    if (is_class) unsupported("a range that ends in a class");
    if (code < s.value) invalid("a range from a higher to a lower character");
    s.set.add(s.value, code);
    s.last = Last::complete;
    return;
  }
  s.flush();
  if (is_class) s.set.add(inner);
  s.value = code;
  s.value_is_class = is_class;
  s.last = Last::value;
}

// Reads a class; its '[' is read.
CodeSet Parser::bracket(const Flags& flags, int depth) {
  if (depth > kDepthMax) unsupported(fmt::format("more than {} classes in each other", kDepthMax));
  const bool negated = take('^');
  ClassState state;
  if (peek() == ']') {
    // A first ']' is a character if another one follows.
    if (std::find(codes_.begin() + static_cast<i64>(at_) + 1, codes_.end(), u32{']'}) == codes_.end())
      invalid("an empty class");
    ++at_;
    state.value = ']';
    state.last = ClassState::Last::value;
  }
  while (!take(']')) bracket_item(state, depth);
  if (state.last == ClassState::Last::range) {
    state.set.add(state.value, state.value);
    state.set.add('-', '-');
  }
  state.flush();
  CodeSet set = state.all ? state.all->intersection(state.set) : state.set;
  if (flags.ignore_case) {
    close_case(set);
    for (const CaseSequence& sequence : case_sequences()) {
      if (!negated && set.contains(sequence.code)) {
        unsupported(
            fmt::format("(?i) for a class with U+{:04X}, which equals a sequence of characters when case is ignored",
                        sequence.code));
      }
    }
  }
  return negated ? set.complement() : set;
}

}  // namespace

void ParsedPattern::add_set(const CodeSet& set) {
  auto at = std::find(sets.begin(), sets.end(), set);
  if (at == sets.end()) at = sets.insert(at, set);
  parts.push_back({.set = static_cast<i32>(at - sets.begin())});
}

ParsedPattern parse_pattern(std::string_view pattern, const std::string& where) {
  return Parser(pattern, where).parse();
}

ParsedPattern literal_pattern(std::string_view text) {
  ParsedPattern out;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    u32 code;
    p += decode_utf8(p, end, code);
    out.add_set(one_character(code));
  }
  return out;
}

}  // namespace moebius::data
