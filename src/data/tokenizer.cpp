// Encoding and decoding: added tokens, normalisation, words, merges, in this order.
#include "data/tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/parallel.h"
#include "data/tokenizer_impl.h"
#include "data/unicode.h"

namespace moebius::data {

namespace {

constexpr i64 kTextBytesMax = (i64{1} << 31) - 1024;
// Texts are handed to threads in groups of about this size.
constexpr i64 kEncodeGroupBytes = i64{64} << 10;

}  // namespace

std::unique_ptr<EncodeScratch> Tokenizer::Impl::take_scratch() const {
  {
    std::lock_guard<std::mutex> lock(scratch_mutex);
    if (!scratch_free.empty()) {
      auto scratch = std::move(scratch_free.back());
      scratch_free.pop_back();
      return scratch;
    }
  }
  return std::make_unique<EncodeScratch>();
}

void Tokenizer::Impl::give_scratch(std::unique_ptr<EncodeScratch> scratch) const {
  std::lock_guard<std::mutex> lock(scratch_mutex);
  scratch_free.push_back(std::move(scratch));
}

void Tokenizer::Impl::encode_plain(std::string_view text, EncodeScratch& scratch, std::vector<i32>& ids) const {
  if (words.is_gpt2_only() && !words.adds_prefix_space()) {
    const char* p = text.data();
    const char* const end = p + text.size();
    while (p < end) {
      const char* const word = p;
      p = gpt2_word_end(p, end);
      bpe.encode_word({word, static_cast<std::size_t>(p - word)}, scratch.bpe, ids);
    }
    return;
  }
  scratch.pieces.clear();
  words.split(text, scratch.pieces, scratch.prefixed);
  for (const std::string_view piece : scratch.pieces) bpe.encode_word(piece, scratch.bpe, ids);
}

void Tokenizer::Impl::encode(std::string_view text, SpecialTokens special, EncodeScratch& scratch,
                             std::vector<i32>& ids) const {
  if (static_cast<i64>(text.size()) > kTextBytesMax) {
    throw Error({.what = fmt::format("a text of {} bytes is too long to encode at once", text.size()),
                 .wanted = fmt::format("at most {} bytes", kTextBytesMax),
                 .fix = "split it into documents"});
  }
  scratch.outer.clear();
  raw_matcher.split(text, special, scratch.outer);
  for (const Stretch& outer : scratch.outer) {
    if (outer.id >= 0) {
      ids.push_back(outer.id);
      continue;
    }
    std::string_view plain =
        text.substr(static_cast<std::size_t>(outer.begin), static_cast<std::size_t>(outer.end - outer.begin));
    if (nfc && !is_nfc_quick(plain)) {
      scratch.normalized.clear();
      append_nfc(plain, scratch.normalized);
      plain = scratch.normalized;
    }
    if (normalized_matcher.empty()) {
      encode_plain(plain, scratch, ids);
      continue;
    }
    scratch.inner.clear();
    normalized_matcher.split(plain, special, scratch.inner);
    for (const Stretch& inner : scratch.inner) {
      if (inner.id >= 0) {
        ids.push_back(inner.id);
      } else {
        encode_plain(
            plain.substr(static_cast<std::size_t>(inner.begin), static_cast<std::size_t>(inner.end - inner.begin)),
            scratch, ids);
      }
    }
  }
}

void Tokenizer::encode(std::string_view text, std::vector<i32>& ids, SpecialTokens special) const {
  auto scratch = impl_->take_scratch();
  impl_->encode(text, special, *scratch, ids);
  impl_->give_scratch(std::move(scratch));
}

std::vector<i32> Tokenizer::encode(std::string_view text, SpecialTokens special) const {
  std::vector<i32> ids;
  encode(text, ids, special);
  return ids;
}

std::vector<std::vector<i32>> Tokenizer::encode_parallel(const std::vector<std::string_view>& texts,
                                                         SpecialTokens special) const {
  std::vector<i64> group_begin = {0};
  i64 bytes = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    bytes += static_cast<i64>(texts[i].size());
    if (bytes >= kEncodeGroupBytes || i + 1 == texts.size()) {
      group_begin.push_back(static_cast<i64>(i + 1));
      bytes = 0;
    }
  }
  std::vector<std::vector<i32>> ids(texts.size());
  parallel_for(static_cast<i64>(group_begin.size()) - 1, [&](i64 group, int) {
    auto scratch = impl_->take_scratch();
    const std::size_t begin = static_cast<std::size_t>(group_begin[static_cast<std::size_t>(group)]);
    const std::size_t end = static_cast<std::size_t>(group_begin[static_cast<std::size_t>(group + 1)]);
    for (std::size_t i = begin; i < end; ++i) {
      ids[i].reserve(texts[i].size() / 4 + 8);
      impl_->encode(texts[i], special, *scratch, ids[i]);
    }
    impl_->give_scratch(std::move(scratch));
  });
  return ids;
}

std::string Tokenizer::decode(const std::vector<i32>& ids, bool skip_special) const {
  std::string text;
  for (const i32 id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (!(skip_special && is_special(id))) text += bytes;
  }
  return text;
}

std::string_view Tokenizer::token_bytes(i32 id) const {
  if (id < 0 || static_cast<i64>(id) >= vocab_size()) {
    throw Error({.what = "a token id lies outside of the vocabulary",
                 .wanted = fmt::format("0 to {}", vocab_size() - 1),
                 .got = fmt::format("{}", id)});
  }
  return impl_->bytes[static_cast<std::size_t>(id)];
}

i64 Tokenizer::vocab_size() const { return static_cast<i64>(impl_->bytes.size()); }
i64 Tokenizer::num_merges() const { return static_cast<i64>(impl_->merges.size()); }
i32 Tokenizer::eos_id() const { return impl_->eos; }
i32 Tokenizer::bos_id() const { return impl_->bos; }
bool Tokenizer::is_special(i32 id) const {
  return id >= 0 && static_cast<i64>(id) < vocab_size() && impl_->special[static_cast<std::size_t>(id)] != 0;
}
const std::vector<AddedToken>& Tokenizer::added_tokens() const { return impl_->added; }
u64 Tokenizer::fingerprint() const { return impl_->fingerprint; }

}  // namespace moebius::data
