// A table over the first two bytes passes over nearly all places; the few others try each candidate.
#include "data/added_tokens.h"

#include <algorithm>

#include "data/unicode.h"

namespace moebius::data {

namespace {

bool is_tail(std::string_view text, i64 at) {
  return (static_cast<u8>(text[static_cast<std::size_t>(at)]) & 0xC0) == 0x80;
}

// Start of the run of white space that ends at the end of `text`.
i64 space_start(std::string_view text) {
  i64 at = static_cast<i64>(text.size());
  while (at > 0) {
    i64 begin = at - 1;
    while (begin > 0 && at - begin < 4 && is_tail(text, begin)) --begin;
    u32 code;
    const int length = decode_utf8(text.data() + begin, text.data() + at, code);
    if (code == kInvalidCode || begin + length != at || char_class(code) != CharClass::space) break;
    at = begin;
  }
  return at;
}

// Length of the run of white space at the start of `text`.
i64 space_length(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    u32 code;
    const int length = decode_utf8(p, end, code);
    if (code == kInvalidCode || char_class(code) != CharClass::space) break;
    p += length;
  }
  return p - text.data();
}

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  i64 begin = static_cast<i64>(text.size()) - 1;
  for (int i = 0; i < 3 && begin > 0 && is_tail(text, begin); ++i) --begin;
  u32 code;
  decode_utf8(text.data() + begin, text.data() + text.size(), code);
  return code != kInvalidCode && is_word_char(code);
}

bool starts_with_word(std::string_view text) {
  if (text.empty()) return false;
  u32 code;
  decode_utf8(text.data(), text.data() + text.size(), code);
  return code != kInvalidCode && is_word_char(code);
}

}  // namespace

void AddedTokenMatcher::set(const std::vector<AddedToken>& tokens, bool normalized, bool nfc) {
  entries_.clear();
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized || token.content.empty()) continue;
    Entry entry = {token.content, token};
    if (normalized && nfc) {
      entry.content.clear();
      append_nfc(token.content, entry.content);
    }
    entries_.push_back(std::move(entry));
  }
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    if (a.content[0] != b.content[0]) return static_cast<u8>(a.content[0]) < static_cast<u8>(b.content[0]);
    return a.content.size() > b.content.size();
  });
  pairs_.assign(65536, false);
  std::fill(std::begin(first_), std::end(first_), 0);
  for (const Entry& entry : entries_) {
    const std::size_t lead = static_cast<u8>(entry.content[0]);
    ++first_[lead + 1];
    for (std::size_t second = 0; second < 256; ++second) {
      if (entry.content.size() == 1 || static_cast<u8>(entry.content[1]) == second) pairs_[lead * 256 + second] = true;
    }
  }
  for (int b = 0; b < 256; ++b) first_[b + 1] += first_[b];
}

const AddedTokenMatcher::Entry* AddedTokenMatcher::match(std::string_view text, i64 at) const {
  const std::string_view rest = text.substr(static_cast<std::size_t>(at));
  const std::size_t lead = static_cast<u8>(rest[0]);
  if (first_[lead] == first_[lead + 1]) return nullptr;
  if (rest.size() > 1 && !pairs_[lead * 256 + static_cast<u8>(rest[1])]) return nullptr;
  for (i32 i = first_[lead]; i < first_[lead + 1]; ++i) {
    const Entry& entry = entries_[static_cast<std::size_t>(i)];
    if (rest.substr(0, entry.content.size()) == entry.content) return &entry;
  }
  return nullptr;
}

void AddedTokenMatcher::split(std::string_view text, SpecialTokens special, std::vector<Stretch>& out) const {
  const i64 size = static_cast<i64>(text.size());
  i64 done = 0;
  for (i64 at = 0; at < size && !entries_.empty();) {
    const Entry* entry = match(text, at);
    if (entry == nullptr) {
      ++at;
      continue;
    }
    i64 begin = at, end = at + static_cast<i64>(entry->content.size());
    at = end;
    const AddedToken& token = entry->token;
    if (token.special && special == SpecialTokens::plain) continue;
    const auto before = text.substr(0, static_cast<std::size_t>(begin));
    const auto after = text.substr(static_cast<std::size_t>(end));
    if (token.single_word && (ends_with_word(before) || starts_with_word(after))) continue;
    if (token.lstrip) begin = space_start(before);
    if (token.rstrip) end += space_length(after);
    begin = std::max(begin, done);
    at = end;
    if (begin > done) out.push_back({-1, done, begin});
    out.push_back({token.id, begin, end});
    done = end;
  }
  if (done < size) out.push_back({-1, done, size});
}

}  // namespace moebius::data
