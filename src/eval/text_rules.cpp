// Regular expressions by PCRE2 in UTF mode with Unicode classes, which is Python's default for texts.
#include "eval/text_rules.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "base/error.h"
#include "base/utf8.h"

namespace moebius::eval {

i64 characters(std::string_view text) {
  i64 count = 0;
  for (const char c : text) count += (static_cast<u8>(c) & 0xC0) != 0x80;
  return count;
}

namespace {

bool is_space(u32 c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

// The code point that ends at text[end - 1], and its bytes.
u32 code_point_before(std::string_view text, std::size_t end, std::size_t* bytes) {
  std::size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<u8>(text[begin]) & 0xC0) == 0x80) --begin;
  *bytes = end - begin;
  u32 code = 0;
  decode_utf8(text.data() + begin, text.data() + end, code);
  return code;
}

}  // namespace

i64 trailing_space_bytes(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t bytes = 0;
    if (!is_space(code_point_before(text, end, &bytes))) break;
    end -= bytes;
  }
  return static_cast<i64>(text.size() - end);
}

std::string stripped(std::string_view text) {
  text.remove_suffix(static_cast<std::size_t>(trailing_space_bytes(text)));
  while (!text.empty()) {
    u32 code = 0;
    const int bytes = decode_utf8(text.data(), text.data() + text.size(), code);
    if (!is_space(code)) break;
    text.remove_prefix(static_cast<std::size_t>(bytes));
  }
  return std::string(text);
}

struct Pattern::Impl {
  pcre2_code* code = nullptr;
  ~Impl() { pcre2_code_free(code); }
};

Pattern::Pattern(const std::string& regex, const std::string& where) : impl_(std::make_unique<Impl>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  impl_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_UCP, &error,
                              &offset, nullptr);
  if (impl_->code != nullptr) return;
  char message[200] = {};
  pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
  throw Error({.where = where,
               .what = fmt::format("the regular expression is invalid at character {}: {}", offset, message),
               .got = regex});
}

Pattern::~Pattern() = default;
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;

namespace {

std::string substitute(const pcre2_code* code, const std::string& text, const char* replacement, u32 options) {
  PCRE2_SIZE size = text.size() * 2 + 64;
  std::string out;
  int count = PCRE2_ERROR_NOMEMORY;
  for (int attempt = 0; attempt < 2 && count == PCRE2_ERROR_NOMEMORY; ++attempt) {  // the second time with enough room
    out.assign(size, '\0');
    count = pcre2_substitute(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                             PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | options, nullptr, nullptr,
                             reinterpret_cast<PCRE2_SPTR>(replacement), PCRE2_ZERO_TERMINATED,
                             reinterpret_cast<PCRE2_UCHAR*>(out.data()), &size);
  }
  if (count < 0) {
    char message[200] = {};
    pcre2_get_error_message(count, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    throw Error(
        {.what = fmt::format("a regular expression failed on a text: {}", message), .got = text.substr(0, 200)});
  }
  out.resize(size);
  return out;
}

}  // namespace

i64 words(std::string_view text) {
  i64 count = 1;
  bool in_space = false;
  for (std::size_t i = 0; i < text.size();) {
    u32 code = 0;
    i += static_cast<std::size_t>(decode_utf8(text.data() + i, text.data() + text.size(), code));
    const bool space = is_space(code);
    count += space && !in_space;
    in_space = space;
  }
  return count;
}

std::string lower_case(const std::string& text) {
  // PCRE2's own case tables: \L in an extended replacement.
  static pcre2_code* const code = [] {
    int error = 0;
    PCRE2_SIZE offset = 0;
    return pcre2_compile(reinterpret_cast<PCRE2_SPTR>("(?s).+"), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                         &offset, nullptr);
  }();
  return substitute(code, text, "\\L$0", PCRE2_SUBSTITUTE_EXTENDED);
}

std::string Pattern::removed_from(const std::string& text) const { return substitute(impl_->code, text, "", 0); }

std::string Pattern::replaced_in(const std::string& text, const std::string& replacement) const {
  return substitute(impl_->code, text, replacement.c_str(), 0);
}

std::vector<std::vector<std::string>> Pattern::find_all(const std::string& text) const {
  std::vector<std::vector<std::string>> found;
  pcre2_match_data* match = pcre2_match_data_create_from_pattern(impl_->code, nullptr);
  PCRE2_SIZE at = 0;
  u32 options = 0;
  while (at <= text.size()) {
    const int groups =
        pcre2_match(impl_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at, options, match, nullptr);
    if (groups < 0) {
      if (options == 0 || at >= text.size()) break;
      // Only an empty match here: continue one character later.
      options = 0;
      ++at;
      while (at < text.size() && (static_cast<u8>(text[at]) & 0xC0) == 0x80) ++at;
      continue;
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
    const u32 all = pcre2_get_ovector_count(match);
    std::vector<std::string> row;
    for (u32 g = all > 1 ? 1 : 0; g < all; ++g) {
      const bool set = g < static_cast<u32>(groups) && span[2 * g] != PCRE2_UNSET;
      row.push_back(set ? text.substr(span[2 * g], span[2 * g + 1] - span[2 * g]) : std::string());
    }
    found.push_back(std::move(row));
    at = span[1];
    options = span[0] == span[1] ? PCRE2_NOTEMPTY_ATSTART | PCRE2_ANCHORED : 0;
  }
  pcre2_match_data_free(match);
  return found;
}

namespace {

// The first group that is not empty; a match without groups counts as its only one.
std::optional<std::string> first_group(const std::vector<std::string>& groups) {
  for (const std::string& group : groups) {
    if (!group.empty() || groups.size() == 1) return group;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> extract_or_none(const Extraction& rule, const std::string& text) {
  std::string out = text;
  if (!rule.after.empty()) {
    const std::size_t at = text.rfind(rule.after);
    if (at == std::string::npos) return std::nullopt;
    out = stripped(std::string_view(text).substr(at + rule.after.size()));
    out = stripped(std::string_view(out).substr(0, out.find_first_of(".\n")));
  }
  if (rule.regex) {
    const auto found = rule.regex->find_all(text);
    if (found.empty()) return std::nullopt;
    const std::optional<std::string> group = first_group(rule.last ? found.back() : found.front());
    if (!group) return std::nullopt;
    out = stripped(*group);
  }
  return rule.strip ? stripped(out) : out;
}

std::string extract(const Extraction& rule, const std::string& text) {
  return extract_or_none(rule, text).value_or("[invalid]");
}

std::vector<std::string> matches_of(const Pattern& pattern, const std::string& text) {
  std::vector<std::string> out;
  for (const auto& groups : pattern.find_all(text)) {
    if (std::optional<std::string> group = first_group(groups)) out.push_back(std::move(*group));
  }
  return out;
}

std::string normalised(const Normalisation& rule, const std::string& text) {
  std::string out = text;
  for (const auto& pattern : rule.remove) out = pattern->removed_from(out);
  if (rule.ignore_case) out = lower_case(out);
  if (rule.ignore_punctuation) {
    std::erase_if(out, [](char c) {
      return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
    });
  }
  return out;
}

}  // namespace moebius::eval
