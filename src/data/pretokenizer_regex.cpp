// PCRE2 behind RegexSplitter. The pattern's sets cut the code points into at most 255 kinds, and PCRE2 matches the kinds
// of a text's characters, one byte each: so it needs no Unicode data of its own, and a class is a bitmap.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/utf8.h"
#include "data/pretokenizer.h"
#include "data/pretokenizer_pattern.h"

namespace moebius::data {

namespace {

constexpr std::size_t kKindsMax = 255;

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
  std::vector<u8> kinds;

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

// Which kinds of characters each set holds.
struct Kinds {
  std::vector<u8> kind_of_code;
  std::vector<std::vector<bool>> in_set;  // [set][kind]
  std::size_t count = 0;
};

// Code points that are in the same sets are one kind. False when there are too many.
bool find_kinds(const std::vector<CodeSet>& sets, Kinds& kinds) {
  std::map<u32, std::vector<std::size_t>> changes;  // code point -> sets that begin or end there
  for (std::size_t i = 0; i < sets.size(); ++i) {
    for (const CodeRange& range : sets[i].ranges()) {
      changes[range.first].push_back(i);
      changes[range.last + 1].push_back(i);
    }
  }
  std::map<std::vector<bool>, u8> known;
  std::vector<bool> now(sets.size(), false);
  kinds.kind_of_code.assign(kCodeMax + 1, 0);
  u32 at = 0;
  const auto fill_to = [&](u32 end) {
    if (end == at) return true;
    const auto [found, is_new] = known.emplace(now, static_cast<u8>(known.size()));
    if (is_new && known.size() > kKindsMax) return false;
    std::fill(kinds.kind_of_code.begin() + at, kinds.kind_of_code.begin() + end, found->second);
    at = end;
    return true;
  };
  for (const auto& [code, which] : changes) {
    if (!fill_to(code)) return false;
    for (const std::size_t set : which) now[set] = !now[set];
  }
  if (!fill_to(kCodeMax + 1)) return false;
  kinds.count = known.size();
  kinds.in_set.assign(sets.size(), std::vector<bool>(kinds.count, false));
  for (const auto& [members, kind] : known) {
    for (std::size_t set = 0; set < sets.size(); ++set) kinds.in_set[set][kind] = members[set];
  }
  return true;
}

// A set as a PCRE2 class of kinds.
std::string class_text(const std::vector<bool>& members) {
  std::string out;
  for (std::size_t kind = 0; kind < members.size(); ++kind) {
    if (!members[kind]) continue;
    std::size_t last = kind;
    while (last + 1 < members.size() && members[last + 1]) ++last;
    out += last > kind ? fmt::format("\\x{:02x}-\\x{:02x}", kind, last) : fmt::format("\\x{:02x}", kind);
    kind = last;
  }
  return out.empty() ? "[^\\x00-\\xff]" : "[" + out + "]";
}

}  // namespace

struct RegexSplitter::Code {
  pcre2_code* code = nullptr;
  std::string pattern;
  CodeTable kinds;
  u8 ascii[128] = {};
  ~Code() { pcre2_code_free(code); }

  // Writes the kinds of the characters from `p` up to the first invalid byte or `end`, and that place to `stop`; returns
  // the number of characters.
  i64 map(const char* p, const char* end, std::vector<u8>& out, const char*& stop) const {
    if (out.size() < static_cast<std::size_t>(end - p)) out.resize(static_cast<std::size_t>(end - p));
    u8* to = out.data();
    while (p < end) {
      if (static_cast<u8>(*p) < 128) {
        *to++ = ascii[static_cast<u8>(*p++)];
        continue;
      }
      u32 character;
      const int length = decode_utf8(p, end, character);
      if (character == kInvalidCode) break;
      *to++ = kinds.get(character);
      p += length;
    }
    stop = p;
    return to - out.data();
  }
};

RegexSplitter::RegexSplitter(const ParsedPattern& parsed, const std::string& pattern, const std::string& where)
    : code_(std::make_unique<Code>()) {
  const auto fail = [&](const std::string& what) {
    throw Error({.where = where, .what = fmt::format("pre_tokenizer: {}", what), .got = pattern});
  };
  code_->pattern = pattern;
  Kinds kinds;
  if (!find_kinds(parsed.sets, kinds)) {
    fail(fmt::format("the pattern distinguishes more than {} kinds of characters, which is not supported", kKindsMax));
  }
  code_->kinds.set(kinds.kind_of_code);
  std::copy_n(kinds.kind_of_code.begin(), 128, code_->ascii);
  std::string text;
  for (const PatternPart& part : parsed.parts) {
    text += part.set < 0 ? part.text : class_text(kinds.in_set[static_cast<std::size_t>(part.set)]);
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, &error, &offset, nullptr);
  if (error == PCRE2_ERROR_LOOKBEHIND_NOT_FIXED_LENGTH || error == PCRE2_ERROR_LOOKBEHIND_TOO_COMPLICATED) {
    fail("the pattern uses a look-behind of variable length, which is not supported");
  }
  if (code_->code == nullptr) fail(fmt::format("the pattern cannot be compiled: {}", message_of(error)));
  // Without the JIT (an architecture that has none) matching is slower, not different.
  pcre2_jit_compile(code_->code, PCRE2_JIT_COMPLETE);
}

RegexSplitter::~RegexSplitter() = default;
RegexSplitter::RegexSplitter(RegexSplitter&&) noexcept = default;
RegexSplitter& RegexSplitter::operator=(RegexSplitter&&) noexcept = default;

void RegexSplitter::find(std::string_view text, std::vector<std::pair<i64, i64>>& matches) const {
  MatchState& state = match_state();
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* p = begin;
  while (p < end) {
    // The next stretch of valid UTF-8; the byte after it is skipped.
    const char* stop;
    const i64 size = code_->map(p, end, state.kinds, stop);
    i64 here = 0;  // the character that starts at p
    const auto place = [&](i64 character) {
      for (; here < character; ++here) {
        const u8 lead = static_cast<u8>(*p);
        p += lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      }
      return p - begin;
    };
    // As the library iterates: an empty match counts, unless it is where the match before it ended.
    i64 at = 0, last = -1;
    while (at <= size) {
      const int code = pcre2_match(code_->code, state.kinds.data(), static_cast<PCRE2_SIZE>(size),
                                   static_cast<PCRE2_SIZE>(at), 0, state.data, state.context);
      if (code == PCRE2_ERROR_NOMATCH) break;
      if (code < 0) {
        throw Error({.what = fmt::format("the pre_tokenizer's pattern failed on a text: {}", message_of(code)),
                     .got = code_->pattern});
      }
      const PCRE2_SIZE* found = pcre2_get_ovector_pointer(state.data);
      const i64 from = static_cast<i64>(found[0]), to = static_cast<i64>(found[1]);
      if (from == to && to == last) {
        ++at;
        continue;
      }
      const i64 from_byte = place(from);
      matches.emplace_back(from_byte, place(to));
      at = last = to;
    }
    p = stop + (stop < end ? 1 : 0);
  }
}

}  // namespace moebius::data
