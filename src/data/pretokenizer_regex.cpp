// PCRE2 behind RegexSplitter: compiled with Unicode properties and the JIT, white space spelt out so that it is exactly
// Unicode's (PCRE2's \s also takes U+180E).
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "base/error.h"
#include "data/pretokenizer.h"
#include "data/utf8.h"

namespace moebius::data {

namespace {

constexpr const char* kSpaceSet =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

// Spells \s and \S out. Inside a class \S stays PCRE2's own.
std::string spell_out_spaces(const std::string& pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? std::string(kSpaceSet) : fmt::format("[{}]", kSpaceSet);
      } else if (next == 'S' && !in_class) {
        out += fmt::format("[^{}]", kSpaceSet);
      } else if (next == 'Q') {
        // Quoted text goes through as it is.
        const std::size_t stop = std::min(pattern.find("\\E", i), pattern.size());
        out.append(pattern, i - 1, stop - (i - 1));
        i = stop - 1;
      } else {
        out += c;
        out += next;
      }
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      // A ] that comes first is a member.
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
      continue;
    }
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

std::string message_of(int code) {
  PCRE2_UCHAR buffer[256] = {};
  pcre2_get_error_message(code, buffer, sizeof(buffer));
  return reinterpret_cast<const char*>(buffer);
}

// What one thread needs for matching; JIT stacks are not shared.
struct MatchState {
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  MatchState() {
    data = pcre2_match_data_create(16, nullptr);
    context = pcre2_match_context_create(nullptr);
    stack = pcre2_jit_stack_create(64 << 10, 16 << 20, nullptr);
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~MatchState() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;
};

MatchState& match_state() {
  static thread_local MatchState state;
  return state;
}

}  // namespace

struct RegexSplitter::Code {
  pcre2_code* code = nullptr;
  std::string pattern;
  ~Code() { pcre2_code_free(code); }
};

RegexSplitter::RegexSplitter(const std::string& pattern, const std::string& where) : code_(std::make_unique<Code>()) {
  code_->pattern = pattern;
  const std::string spelt = spell_out_spaces(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelt.data()), spelt.size(), PCRE2_UTF | PCRE2_UCP, &error,
                              &offset, nullptr);
  if (code_->code == nullptr) {
    throw Error({.where = where,
                 .what = fmt::format("the pre_tokenizer's pattern does not compile: {}", message_of(error)),
                 .got = pattern});
  }
  // Without the JIT (an architecture that has none) matching is slower, not different.
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
}

RegexSplitter::~RegexSplitter() = default;
RegexSplitter::RegexSplitter(RegexSplitter&&) noexcept = default;
RegexSplitter& RegexSplitter::operator=(RegexSplitter&&) noexcept = default;

void RegexSplitter::find(std::string_view text, std::vector<std::pair<i64, i64>>& matches) const {
  MatchState& state = match_state();
  PCRE2_SIZE base = 0;
  while (base < text.size()) {
    // The next stretch of valid UTF-8; the byte after it is passed over.
    const std::string_view rest = text.substr(base);
    const i64 invalid = find_invalid_utf8(rest);
    const std::string_view valid = invalid < 0 ? rest : rest.substr(0, static_cast<std::size_t>(invalid));
    PCRE2_SIZE at = 0;
    while (at < valid.size()) {
      const int code = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(valid.data()), valid.size(), at,
                                   PCRE2_NO_UTF_CHECK, state.data, state.context);
      if (code == PCRE2_ERROR_NOMATCH) break;
      if (code < 0) {
        throw Error({.what = fmt::format("the pre-tokenizer's pattern failed on a text: {}", message_of(code)),
                     .got = code_->pattern});
      }
      const PCRE2_SIZE* place = pcre2_get_ovector_pointer(state.data);
      if (place[1] > place[0]) {
        matches.emplace_back(static_cast<i64>(base + place[0]), static_cast<i64>(base + place[1]));
        at = place[1];
      } else {
        // An empty match says nothing: step over one character.
        at = place[1];
        if (at >= valid.size()) break;
        u32 unused;
        at += static_cast<PCRE2_SIZE>(decode_utf8(valid.data() + at, valid.data() + valid.size(), unused));
      }
    }
    base += valid.size() + 1;
  }
}

}  // namespace moebius::data
