// Two steps: counting distinct words (parallel: each thread has a table, the sums do not depend on which thread counted
// what), then merging with pair counts kept up to date, and a heap whose entries carry the words they may change. The
// book-keeping follows `tokenizers` in its corner cases too (two ways to make the same token), so that the merges are
// equal.
#include "data/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "data/bpe.h"
#include "data/pretokenizer.h"
#include "data/tokenizer_impl.h"

namespace moebius::data {

namespace {

constexpr i64 kGroupBytes = i64{256} << 10;

// Distinct words with their counts; open addressing, words' bytes in one arena.
class WordCounts {
 public:
  WordCounts() : slots_(1024) {}

  void add(std::string_view word, u64 hash, i64 count) {
    u64 at = hash & (slots_.size() - 1);
    while (slots_[at].count != 0) {
      Slot& slot = slots_[at];
      if (slot.hash == hash && slot.bytes == word.size() &&
          std::char_traits<char>::compare(text_.data() + slot.begin, word.data(), word.size()) == 0) {
        slot.count += count;
        return;
      }
      at = (at + 1) & (slots_.size() - 1);
    }
    slots_[at] = {hash, count, text_.size(), word.size()};
    text_.insert(text_.end(), word.begin(), word.end());
    if (++used_ * 2 > static_cast<i64>(slots_.size())) grow();
  }
  void add(const WordCounts& other) {
    for (const Slot& slot : other.slots_) {
      if (slot.count != 0) add({other.text_.data() + slot.begin, slot.bytes}, slot.hash, slot.count);
    }
  }
  i64 count() const { return used_; }

  // Sorted by bytes, so that nothing depends on the order of insertion.
  std::vector<std::pair<std::string_view, i64>> sorted() const {
    std::vector<std::pair<std::string_view, i64>> words;
    words.reserve(static_cast<std::size_t>(used_));
    for (const Slot& slot : slots_) {
      if (slot.count != 0) words.emplace_back(std::string_view(text_.data() + slot.begin, slot.bytes), slot.count);
    }
    std::sort(words.begin(), words.end());
    return words;
  }

 private:
  struct Slot {
    u64 hash = 0;
    i64 count = 0;  // 0: free
    u64 begin = 0, bytes = 0;
  };
  void grow() {
    std::vector<Slot> old(slots_.size() * 2);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.count == 0) continue;
      u64 at = slot.hash & (slots_.size() - 1);
      while (slots_[at].count != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }

  std::vector<Slot> slots_;
  std::vector<char> text_;
  i64 used_ = 0;
};

struct Pair {
  i32 left, right;
  bool operator==(const Pair& other) const { return left == other.left && right == other.right; }
};

struct PairHash {
  std::size_t operator()(const Pair& p) const {
    u64 x = (static_cast<u64>(static_cast<u32>(p.left)) << 32 | static_cast<u32>(p.right)) * 0x9E3779B97F4A7C15ull;
    return static_cast<std::size_t>(x ^ x >> 31);
  }
};

// A pair that may be merged next, with the words in which it came up.
struct Candidate {
  i64 count;
  Pair pair;
  i64 words;  // index into Merger::places_
};

// The largest count first; of equals the lowest pair.
struct CandidateLess {
  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.count != b.count) return a.count < b.count;
    if (a.pair.left != b.pair.left) return a.pair.left > b.pair.left;
    return a.pair.right > b.pair.right;
  }
};

// Learns merges on words of symbols.
class Merger {
 public:
  Merger(const std::vector<std::pair<std::string_view, i64>>& words, i32 first_byte_id,
         std::vector<std::string>& tokens)
      : tokens_(tokens) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) id_of_.emplace(tokens_[i], static_cast<i32>(i));
    i32 id_of_byte[256];
    for (int i = 0; i < 256; ++i) {
      const std::string& token = tokens_[static_cast<std::size_t>(first_byte_id) + static_cast<std::size_t>(i)];
      id_of_byte[static_cast<u8>(token[0])] = first_byte_id + i;
    }
    for (const auto& [word, count] : words) {
      begin_.push_back(static_cast<i64>(symbols_.size()));
      length_.push_back(static_cast<u32>(word.size()));
      weight_.push_back(count);
      for (const char c : word) symbols_.push_back(id_of_byte[static_cast<u8>(c)]);
    }
    count_first_pairs(first_byte_id);
  }

  // Learns merges until `tokens` has vocab_size entries or no pair is frequent enough.
  std::vector<std::pair<i32, i32>> run(i64 vocab_size, i64 min_frequency) {
    std::vector<std::pair<i32, i32>> merges;
    while (static_cast<i64>(tokens_.size()) < vocab_size && !heap_.empty()) {
      Candidate top = heap_.top();
      heap_.pop();
      const i64 count = counts_[top.pair];
      if (count != top.count) {
        top.count = count;
        heap_.push(top);
        continue;
      }
      if (top.count < 1 || top.count < min_frequency) break;
      const i32 product = product_of(top.pair);
      merges.emplace_back(top.pair.left, top.pair.right);
      merge(top, product);
    }
    return merges;
  }

 private:
  // Changes of the counts of (x, left) and (x, product), or of (right, x) and (product, x), for a neighbour x.
  struct Change {
    i64 old_pair = 0, new_pair = 0;
    i64 places = -1;  // words where the new pair came up
    bool touched = false;
  };

  void count_first_pairs(i32 first) {
    // Only bytes so far: a square table does.
    std::vector<i64> counts(65536, 0);
    std::vector<i64> places(65536, -1);
    for (std::size_t w = 0; w < begin_.size(); ++w) {
      const i32* s = symbols_.data() + begin_[w];
      for (u32 i = 0; i + 1 < length_[w]; ++i) {
        const int bytes = (s[i] - first) * 256 + (s[i + 1] - first);
        const auto key = static_cast<std::size_t>(bytes);
        counts[key] += weight_[w];
        if (places[key] < 0) places[key] = new_places();
        add_place(places[key], static_cast<u32>(w));
      }
    }
    for (std::size_t key = 0; key < counts.size(); ++key) {
      if (counts[key] == 0) continue;
      const Pair pair = {first + static_cast<i32>(key / 256), first + static_cast<i32>(key % 256)};
      counts_[pair] = counts[key];
      heap_.push({counts[key], pair, places[key]});
    }
  }

  i64 new_places() {
    if (!free_places_.empty()) {
      const i64 index = free_places_.back();
      free_places_.pop_back();
      return index;
    }
    places_.emplace_back();
    return static_cast<i64>(places_.size()) - 1;
  }
  void add_place(i64 index, u32 word) {
    auto& list = places_[static_cast<std::size_t>(index)];
    if (list.empty() || list.back() != word) list.push_back(word);
  }

  // The id of the joined bytes: a new one, unless another merge already made the same.
  i32 product_of(const Pair& pair) {
    std::string bytes = tokens_[static_cast<std::size_t>(pair.left)] + tokens_[static_cast<std::size_t>(pair.right)];
    const auto [found, fresh] = id_of_.emplace(bytes, static_cast<i32>(tokens_.size()));
    if (fresh) tokens_.push_back(std::move(bytes));
    return found->second;
  }

  Change& change(std::vector<Change>& side, std::vector<i32>& touched, i32 neighbour) {
    Change& c = side[static_cast<std::size_t>(neighbour)];
    if (!c.touched) {
      c.touched = true;
      touched.push_back(neighbour);
    }
    return c;
  }
  void gain(Change& c, i64 weight, u32 word) {
    c.new_pair += weight;
    if (c.places < 0) c.places = new_places();
    add_place(c.places, word);
  }

  void merge(const Candidate& top, i32 product) {
    before_.resize(tokens_.size());
    after_.resize(tokens_.size());
    // Moved out of places_ meanwhile, because gain() may reallocate places_.
    std::vector<u32> words = std::move(places_[static_cast<std::size_t>(top.words)]);
    for (const u32 word : words) merge_word(word, top.pair, product);
    words.clear();
    places_[static_cast<std::size_t>(top.words)] = std::move(words);
    free_places_.push_back(top.words);
    apply(top.pair, product);
  }

  void merge_word(u32 word, const Pair& pair, i32 product) {
    i32* const s = symbols_.data() + begin_[word];
    const u32 length = length_[word];
    const i64 weight = weight_[word];
    u32 kept = 0;
    for (u32 i = 0; i < length; ++i) {
      if (s[i] != pair.left || i + 1 >= length || s[i + 1] != pair.right) {
        s[kept++] = s[i];
        continue;
      }
      if (kept > 0) {
        Change& c = change(before_, touched_before_, s[kept - 1]);
        c.old_pair -= weight;
        gain(c, weight, word);
      }
      ++i;
      s[kept++] = product;
      if (i + 1 < length) {
        const i32 next = s[i + 1];
        change(after_, touched_after_, next).old_pair -= weight;
        // (product, product) is one pair whichever side it is seen from.
        Change& c = next == product ? change(before_, touched_before_, next) : change(after_, touched_after_, next);
        gain(c, weight, word);
      }
    }
    length_[word] = kept;
  }

  void apply(const Pair& pair, i32 product) {
    // All counts first: one pair may be reached from both sides.
    std::vector<std::pair<Pair, i64>> grown;
    const auto settle = [&](Change& c, Pair old_pair, Pair new_pair) {
      if (c.old_pair != 0) counts_[old_pair] += c.old_pair;
      if (c.places >= 0) {
        counts_[new_pair] += c.new_pair;
        grown.emplace_back(new_pair, c.places);
      }
      c = Change{};
    };
    for (const i32 x : touched_before_) settle(before_[static_cast<std::size_t>(x)], {x, pair.left}, {x, product});
    for (const i32 x : touched_after_) settle(after_[static_cast<std::size_t>(x)], {pair.right, x}, {product, x});
    touched_before_.clear();
    touched_after_.clear();
    for (const auto& [fresh, places] : grown) {
      const i64 count = counts_[fresh];
      if (count > 0) {
        heap_.push({count, fresh, places});
      } else {
        places_[static_cast<std::size_t>(places)].clear();
        free_places_.push_back(places);
      }
    }
  }

  std::vector<std::string>& tokens_;
  std::unordered_map<std::string, i32> id_of_;
  std::vector<i32> symbols_;
  std::vector<i64> begin_;
  std::vector<u32> length_;
  std::vector<i64> weight_;
  std::unordered_map<Pair, i64, PairHash> counts_;
  std::vector<std::vector<u32>> places_;
  std::vector<i64> free_places_;
  std::priority_queue<Candidate, std::vector<Candidate>, CandidateLess> heap_;
  std::vector<Change> before_, after_;
  std::vector<i32> touched_before_, touched_after_;
};

}  // namespace

struct BpeTrainer::Impl {
  BpeTrainerOptions options;
  std::vector<WordCounts> by_thread;
  bool finished = false;

  WordCounts& joined() {
    for (std::size_t i = 1; i < by_thread.size(); ++i) {
      by_thread[0].add(by_thread[i]);
      by_thread[i] = WordCounts();
    }
    return by_thread[0];
  }
};

BpeTrainer::BpeTrainer(BpeTrainerOptions options) : impl_(std::make_unique<Impl>()) {
  const i64 least = 256 + static_cast<i64>(options.special_tokens.size());
  if (options.vocab_size < least || options.vocab_size > (i64{1} << 24)) {
    throw Error({.where = "tokenizer training",
                 .what = "the vocabulary size does not fit",
                 .wanted = fmt::format("at least {} (256 bytes and {} special tokens), at most 2^24", least,
                                       options.special_tokens.size()),
                 .got = fmt::format("{}", options.vocab_size)});
  }
  for (const std::string& token : options.special_tokens) {
    if (token.size() < 2) {
      throw Error({.where = "tokenizer training", .what = "a special token needs two bytes or more", .got = token});
    }
  }
  impl_->options = std::move(options);
  impl_->by_thread.resize(1);
}

BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::add(const std::vector<std::string_view>& texts) {
  CHECK(!impl_->finished, "a trainer is used once");
  std::vector<std::size_t> group_begin = {0};
  i64 bytes = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].size() > (std::size_t{1} << 31)) {
      throw Error({.where = "tokenizer training", .what = "a document is longer than 2 GiB", .fix = "split it"});
    }
    bytes += static_cast<i64>(texts[i].size());
    if (bytes >= kGroupBytes || i + 1 == texts.size()) {
      group_begin.push_back(i + 1);
      bytes = 0;
    }
  }
  if (static_cast<int>(impl_->by_thread.size()) < parallel_threads()) {
    impl_->by_thread.resize(static_cast<std::size_t>(parallel_threads()));
  }
  parallel_for(static_cast<i64>(group_begin.size()) - 1, [&](i64 group, int thread) {
    WordCounts& counts = impl_->by_thread[static_cast<std::size_t>(thread)];
    const std::size_t g = static_cast<std::size_t>(group);
    for (std::size_t i = group_begin[g]; i < group_begin[g + 1]; ++i) {
      const char* p = texts[i].data();
      const char* const end = p + texts[i].size();
      while (p < end) {
        const char* const word = p;
        p = gpt2_word_end(p, end);
        const i64 length = p - word;
        counts.add({word, static_cast<std::size_t>(length)}, hash_bytes(word, length), 1);
      }
    }
  });
}

Tokenizer BpeTrainer::finish() {
  CHECK(!impl_->finished, "a trainer is used once");
  impl_->finished = true;
  const auto words = impl_->joined().sorted();
  if (words.empty()) {
    throw Error(
        {.where = "tokenizer training", .what = "there is no text to learn from", .fix = "give a corpus with text"});
  }
  const BpeTrainerOptions& options = impl_->options;
  std::vector<std::string> tokens;
  std::vector<AddedToken> added;
  for (const std::string& content : options.special_tokens) {
    added.push_back({.id = static_cast<i32>(tokens.size()), .content = content});
    tokens.push_back(content);
  }
  const i32 first_byte_id = static_cast<i32>(tokens.size());
  // Bytes in the order of their stand-in characters, as the library numbers them.
  std::vector<int> bytes(256);
  for (int b = 0; b < 256; ++b) bytes[static_cast<std::size_t>(b)] = b;
  std::sort(bytes.begin(), bytes.end(),
            [](int a, int b) { return byte_to_code(static_cast<u8>(a)) < byte_to_code(static_cast<u8>(b)); });
  for (const int b : bytes) tokens.emplace_back(1, static_cast<char>(b));
  Merger merger(words, first_byte_id, tokens);
  auto merges = merger.run(options.vocab_size, options.min_frequency);
  return Tokenizer::from_parts(std::move(tokens), std::move(merges), std::move(added));
}

}  // namespace moebius::data
