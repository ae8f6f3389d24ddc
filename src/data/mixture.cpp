// The stream of batches: which piece comes next, how pieces are packed, and the saved position.
#include "data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "base/units.h"
#include "data/tokenizer.h"

namespace moebius::data {

namespace {

constexpr double kTextEpochsMax = 4;

}  // namespace

// Part of one document, at most `length` tokens.
struct Piece {
  i64 document = 0;
  i64 begin = 0;
  i64 count = 0;
};

struct Mixture::Source {
  std::string name;
  TokenShard shard;
  double weight = 0;      // as given
  double share = 0;       // of tokens, 0..1
  double epochs_max = 0;  // 0: no limit
  std::vector<Piece> pieces;
  std::vector<i64> order;  // of the pieces in this pass
  i64 epoch = 0;
  i64 cursor = 0;        // place in `order`
  i64 tokens_drawn = 0;  // into the pool; the deficit counts these
  SourceCounters counters;

  void shuffle(u64 seed) {
    Rng rng(seed, RngStream::data_order, hash_text(name) + static_cast<u64>(epoch));
    rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
  }
};

// A piece that was drawn and waits for a place.
struct Mixture::Pending {
  i32 source = 0;
  i64 epoch = 0;
  Piece piece;
};

class Mixture::Impl {
 public:
  Impl(std::vector<MixtureSource> sources, MixtureOptions options);
  void next(Batch& batch);
  Json state() const;
  void restore(const Json& state);
  void check_tokens(i64 tokens) const;
  std::vector<double> epochs_needed(i64 tokens) const;
  i64 mapped_bytes() const {
    i64 bytes = 0;
    for (const Source& source : sources_) bytes += source.shard.mapped_bytes();
    return bytes;
  }
  std::vector<SourceCounters> counters() const;
  Json identity() const;
  void check_tokenizer(const Tokenizer& given);
  void require_vocab(i64 size);

  MixtureOptions options;
  i64 vocab = 0;
  i64 end_of_text = -1;
  i64 padding = 0;
  std::string tokenizer;

 private:
  void open_sources(const std::vector<MixtureSource>& given);
  void agree(const MixtureSource& given, const ShardMeta& meta);
  void cut_pieces(Source& source) const;
  void draw();
  void fill_pool();
  i64 choose(i64 room, bool first) const;
  void fill_sequence(Batch& batch, i64 row);
  void place(Batch& batch, i64 row, i64 count, const Pending& pending);
  void place_padding(Batch& batch, i64 row, i64 count);
  bool cuttable(const Pending& pending) const;
  [[noreturn]] void too_small(const Source& source, double epochs) const;
  u64 digest() const;
  void restore_source(Source& source, const Json& json);

  std::vector<Source> sources_;
  std::vector<Pending> pool_;  // oldest first
  i64 tokens_drawn_ = 0;
  i64 sequences_done_ = 0;
  std::vector<i32> row_tokens_;
};

Mixture::Impl::Impl(std::vector<MixtureSource> sources, MixtureOptions given) : options(given) {
  if (sources.empty()) {
    throw Error({.where = "data mixture", .what = "it has no source", .fix = "name at least one: name=path:weight"});
  }
  CHECK(options.length > 0 && options.sequences > 0 && options.lookahead > 0, "a batch holds at least one row");
  open_sources(sources);
  pool_.reserve(static_cast<std::size_t>(options.lookahead) + 1);
  row_tokens_.resize(static_cast<std::size_t>(options.length) + 1);
}

void Mixture::Impl::open_sources(const std::vector<MixtureSource>& given) {
  double weights = 0;
  for (const MixtureSource& source : given) {
    if (!(source.weight > 0) || source.weight > 1e12) {
      throw Error({.where = "source " + source.name,
                   .what = "its weight is not a positive number",
                   .got = fmt::format("{}", source.weight),
                   .fix = "leave the source out, or give it a weight above 0"});
    }
    weights += source.weight;
  }
  sources_.reserve(given.size());
  for (const MixtureSource& source : given) {
    for (const Source& other : sources_) {
      if (other.name == source.name) {
        throw Error({.where = "data mixture",
                     .what = fmt::format("two sources are named '{}'", source.name),
                     .fix = "give each source its own name"});
      }
    }
    sources_.push_back({source.name,
                        TokenShard::open(source.path, options.shards),
                        source.weight,
                        source.weight / weights,
                        source.epochs_max,
                        {},
                        {},
                        0,
                        0,
                        0,
                        {}});
    Source& made = sources_.back();
    agree(source, made.shard.meta());
    if (made.epochs_max < 0) made.epochs_max = made.shard.meta().generated ? 0 : kTextEpochsMax;
    cut_pieces(made);
    made.shuffle(static_cast<u64>(options.seed_data));
    made.counters.name = source.name;
    made.counters.tokens_total = made.shard.tokens();
  }
  require_vocab(vocab);
}

void Mixture::Impl::require_vocab(i64 size) {
  for (Source& source : sources_) source.shard.require_vocab(size);
  vocab = std::max(vocab, size);
}

void Mixture::Impl::check_tokenizer(const Tokenizer& given) {
  for (const Source& source : sources_) source.shard.check_tokenizer(given.fingerprint(), given.vocab_size());
  if (vocab == 0) require_vocab(given.vocab_size());
}

void Mixture::Impl::agree(const MixtureSource& given, const ShardMeta& meta) {
  const auto differ = [&](const std::string& what, const std::string& wanted, const std::string& got) {
    throw Error({.where = given.path,
                 .what = "the source has another " + what + " than the sources before it",
                 .wanted = wanted,
                 .got = got,
                 .fix = "pack all sources of a mixture with one tokenizer"});
  };
  if (meta.vocab > 0) {
    if (vocab > 0 && vocab != meta.vocab) differ("vocabulary", fmt::format("{}", vocab), fmt::format("{}", meta.vocab));
    vocab = meta.vocab;
  }
  if (meta.end_of_text >= 0) {
    if (end_of_text >= 0 && end_of_text != meta.end_of_text) {
      differ("end-of-text token", fmt::format("{}", end_of_text), fmt::format("{}", meta.end_of_text));
    }
    end_of_text = meta.end_of_text;
  }
  if (!meta.tokenizer.empty()) {
    if (!tokenizer.empty() && tokenizer != meta.tokenizer) differ("tokenizer", tokenizer, meta.tokenizer);
    tokenizer = meta.tokenizer;
  }
}

void Mixture::Impl::cut_pieces(Source& source) const {
  for (i64 d = 0; d < source.shard.documents(); ++d) {
    const i64 tokens = source.shard.document_tokens(d);
    for (i64 begin = 0; begin < tokens; begin += options.length) {
      source.pieces.push_back({d, begin, std::min(options.length, tokens - begin)});
    }
  }
  source.order.resize(source.pieces.size());
}

// The next piece of the source that is furthest behind its share.
void Mixture::Impl::draw() {
  std::size_t best = 0;
  double deficit_best = -1e300;
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    const double due = sources_[s].share * (static_cast<double>(tokens_drawn_) + 1);
    const double deficit = due - static_cast<double>(sources_[s].tokens_drawn);
    if (deficit > deficit_best) {
      deficit_best = deficit;
      best = s;
    }
  }
  Source& source = sources_[best];
  if (source.cursor == static_cast<i64>(source.order.size())) {
    ++source.epoch;
    source.cursor = 0;
    source.shuffle(static_cast<u64>(options.seed_data));
  }
  const i64 index = source.order[static_cast<std::size_t>(source.cursor)];
  const Piece& piece = source.pieces[static_cast<std::size_t>(index)];
  ++source.cursor;
  source.tokens_drawn += piece.count;
  tokens_drawn_ += piece.count;
  pool_.push_back({static_cast<i32>(best), source.epoch, piece});
}

void Mixture::Impl::fill_pool() {
  const i64 wanted = options.whole_documents ? options.lookahead : 1;
  while (static_cast<i64>(pool_.size()) < wanted) draw();
}

// Documents longer than a sequence are cut anyway; without whole_documents all are.
bool Mixture::Impl::cuttable(const Pending& pending) const {
  if (!options.whole_documents) return true;
  const Source& source = sources_[static_cast<std::size_t>(pending.source)];
  return source.shard.document_tokens(pending.piece.document) > options.length;
}

// Which pending piece goes into `room` rows; -1: none. A sequence begins with the oldest, so that no piece waits
// forever; then comes the largest that fits; then the oldest that may be cut.
i64 Mixture::Impl::choose(i64 room, bool first) const {
  if (first || !options.whole_documents) return 0;
  i64 best = -1;
  i64 best_count = 0;
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    const i64 count = pool_[i].piece.count;
    if (count <= room && count > best_count) {
      best = static_cast<i64>(i);
      best_count = count;
    }
  }
  if (best >= 0) return best;
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    if (cuttable(pool_[i])) return static_cast<i64>(i);
  }
  return -1;
}

void Mixture::Impl::fill_sequence(Batch& batch, i64 row) {
  const i64 end = row + options.length;
  const i64 first_row = row;
  i32 only_source = -2;
  while (row < end) {
    fill_pool();
    const i64 room = end - row;
    const i64 chosen = choose(room, row == first_row);
    if (chosen < 0) {
      place_padding(batch, row, room);
      break;
    }
    Pending& pending = pool_[static_cast<std::size_t>(chosen)];
    const i64 count = std::min(room, pending.piece.count);
    only_source = only_source == -2 || only_source == pending.source ? pending.source : -1;
    place(batch, row, count, pending);
    row += count;
    if (count == pending.piece.count) {
      pool_.erase(pool_.begin() + chosen);
    } else {
      pending.piece.begin += count;
      pending.piece.count -= count;
    }
  }
  if (options.attend_across_documents) batch.spans.push_back({first_row, options.length, only_source, 0});
  ++sequences_done_;
}

void Mixture::Impl::place(Batch& batch, i64 row, i64 count, const Pending& pending) {
  Source& source = sources_[static_cast<std::size_t>(pending.source)];
  const Piece& piece = pending.piece;
  const i64 left = source.shard.document_tokens(piece.document) - piece.begin;
  const bool ends = left == count;  // the document's last token has no target
  source.shard.copy(piece.document, piece.begin, ends ? count : count + 1, row_tokens_.data());
  const auto at = static_cast<std::size_t>(row);
  std::copy_n(row_tokens_.begin(), count, batch.tokens.begin() + row);
  std::copy_n(row_tokens_.begin() + 1, ends ? count - 1 : count, batch.targets.begin() + row);
  if (ends) batch.targets[at + static_cast<std::size_t>(count) - 1] = -1;
  const bool inside = row % options.length != 0;
  if (options.attend_across_documents) {
    if (inside && batch.targets[at - 1] < 0) batch.targets[at - 1] = row_tokens_[0];
  } else {
    batch.spans.push_back({row, count, pending.source, options.positions_restart ? 0 : row % options.length});
  }
  source.counters.tokens_seen += count;
  ++source.counters.documents_seen;
  (pending.epoch == 0 ? source.counters.tokens_unique : source.counters.tokens_repeated) += count;
  // The margin is for pieces that come earlier than their share implies.
  const double seen = static_cast<double>(source.counters.tokens_seen);
  const double total = static_cast<double>(source.counters.tokens_total);
  const double margin = static_cast<double>(options.lookahead * options.length) + 0.02 * seen;
  if (source.epochs_max > 0 && seen > source.epochs_max * total + margin) too_small(source, seen / total);
}

void Mixture::Impl::place_padding(Batch& batch, i64 row, i64 count) {
  std::fill_n(batch.tokens.begin() + row, count, static_cast<i32>(std::max<i64>(end_of_text, 0)));
  std::fill_n(batch.targets.begin() + row, count, -1);
  if (!options.attend_across_documents) {
    batch.spans.push_back({row, count, -1, options.positions_restart ? 0 : row % options.length});
  }
  padding += count;
}

void Mixture::Impl::next(Batch& batch) {
  batch_shape(batch, options.sequences, options.length);
  batch.spans.clear();
  for (i64 s = 0; s < options.sequences; ++s) fill_sequence(batch, s * options.length);
  batch_fill_positions(batch);
}

void Mixture::Impl::too_small(const Source& source, double epochs) const {
  throw Error({.where = "source " + source.name,
               .what = "the corpus is too small for the token count",
               .wanted = fmt::format("at most {:.3g} passes over its {} tokens", source.epochs_max,
                                     format_exact(source.counters.tokens_total)),
               .got = fmt::format("{:.2f} passes at a share of {:.1f} % of the mixture", epochs, 100 * source.share),
               .fix = "train on fewer tokens, lower the source's weight, pack more text, or raise its limit of passes "
                      "(name=path:weight:EPOCHS, or epochs_max; 0 is no limit)"});
}

std::vector<double> Mixture::Impl::epochs_needed(i64 tokens) const {
  std::vector<double> epochs;
  for (const Source& source : sources_) {
    epochs.push_back(source.share * static_cast<double>(tokens) / static_cast<double>(source.counters.tokens_total));
  }
  return epochs;
}

void Mixture::Impl::check_tokens(i64 tokens) const {
  const std::vector<double> epochs = epochs_needed(tokens);
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    if (sources_[s].epochs_max > 0 && epochs[s] > sources_[s].epochs_max) too_small(sources_[s], epochs[s]);
  }
}

std::vector<SourceCounters> Mixture::Impl::counters() const {
  std::vector<SourceCounters> all;
  for (const Source& source : sources_) {
    all.push_back(source.counters);
    all.back().epochs = static_cast<double>(all.back().tokens_seen) / static_cast<double>(all.back().tokens_total);
  }
  return all;
}

Json Mixture::Impl::identity() const {
  Json list = Json::array();
  for (const Source& source : sources_) {
    list.push_back(Json::object({{"name", source.name}, {"weight", source.weight}, {"digest", source.shard.digest()}}));
  }
  return list;
}

// Everything that determines the stream; the batch size does not.
u64 Mixture::Impl::digest() const {
  std::string text =
      fmt::format("{} {} {} {} {} {} {}", options.length, options.seed_data, options.attend_across_documents,
                  options.positions_restart, options.whole_documents, options.lookahead, tokenizer);
  for (const Source& source : sources_) {
    text += fmt::format(" {} {} {} {}", source.name, source.share, source.shard.tokens(), source.shard.documents());
  }
  return hash_text(text);
}

Json Mixture::Impl::state() const {
  Json sources = Json::array();
  for (const Source& source : sources_) {
    sources.push_back(Json::object({{"name", source.name},
                                    {"epoch", source.epoch},
                                    {"cursor", source.cursor},
                                    {"tokens_drawn", source.tokens_drawn},
                                    {"tokens_seen", source.counters.tokens_seen},
                                    {"tokens_unique", source.counters.tokens_unique},
                                    {"documents_seen", source.counters.documents_seen}}));
  }
  Json pool = Json::array();
  for (const Pending& p : pool_) {
    pool.push_back(Json(std::vector<i64>{p.source, p.epoch, p.piece.document, p.piece.begin, p.piece.count}));
  }
  return Json::object({{"kind", "mixture"},
                       {"digest", fmt::format("{:016x}", digest())},
                       {"sequences", sequences_done_},
                       {"tokens_padding", padding},
                       {"sources", sources},
                       {"pending", pool}});
}

void Mixture::Impl::restore_source(Source& source, const Json& json) {
  const i64 epoch = json.at("epoch").as_int();
  const i64 cursor = json.at("cursor").as_int();
  if (json.at("name").as_string() != source.name || epoch < 0 || cursor < 0 ||
      cursor > static_cast<i64>(source.order.size())) {
    throw Error({.where = "saved data position",
                 .what = "source " + source.name + " has an invalid position",
                 .fix = "resume from another checkpoint"});
  }
  source.epoch = epoch;
  source.cursor = cursor;
  source.tokens_drawn = json.at("tokens_drawn").as_int();
  source.counters.tokens_seen = json.at("tokens_seen").as_int();
  source.counters.tokens_unique = json.at("tokens_unique").as_int();
  source.counters.tokens_repeated = source.counters.tokens_seen - source.counters.tokens_unique;
  source.counters.documents_seen = json.at("documents_seen").as_int();
  source.shuffle(static_cast<u64>(options.seed_data));
}

void Mixture::Impl::restore(const Json& state) {
  const std::string wanted = fmt::format("{:016x}", digest());
  const Json& sources = state.at("sources");
  if (state.get_string("kind", "") != "mixture" || state.get_string("digest", "") != wanted ||
      sources.count() != static_cast<i64>(sources_.size())) {
    throw Error({.where = "saved data position",
                 .what = "it was made with another mixture (sources, weights, sequence length, seed or packing)",
                 .wanted = wanted,
                 .got = state.get_string("digest", "none"),
                 .fix = "resume with the options and data of the run, or start a new run"});
  }
  const Json::Array& pending = state.at("pending").as_array();
  pool_.clear();
  for (i64 i = 0; i < static_cast<i64>(pending.size()); ++i) {
    const Json& p = pending[static_cast<std::size_t>(i)];
    const i64 s = p.count() == 5 ? p[0].as_int() : -1;
    bool valid = s >= 0 && s < static_cast<i64>(sources_.size()) && i <= options.lookahead;
    if (valid) {
      const Piece piece{p[2].as_int(), p[3].as_int(), p[4].as_int()};
      const TokenShard& shard = sources_[static_cast<std::size_t>(s)].shard;
      valid = piece.document >= 0 && piece.document < shard.documents() && piece.begin >= 0 && piece.count > 0 &&
              piece.count <= options.length && piece.begin <= shard.document_tokens(piece.document) - piece.count;
      pool_.push_back({static_cast<i32>(s), p[1].as_int(), piece});
    }
    if (!valid) {
      throw Error({.where = "saved data position",
                   .what = fmt::format("pending piece {} is invalid", i),
                   .fix = "resume from another checkpoint"});
    }
  }
  tokens_drawn_ = 0;
  for (std::size_t s = 0; s < sources_.size(); ++s) {
    restore_source(sources_[s], sources[static_cast<i64>(s)]);
    tokens_drawn_ += sources_[s].tokens_drawn;
  }
  sequences_done_ = state.at("sequences").as_int();
  padding = state.at("tokens_padding").as_int();
}

Mixture::Mixture(std::vector<MixtureSource> sources, MixtureOptions options)
    : impl_(std::make_unique<Impl>(std::move(sources), options)) {}
Mixture::~Mixture() = default;
void Mixture::next(Batch& batch) { impl_->next(batch); }
Json Mixture::state() const { return impl_->state(); }
void Mixture::restore(const Json& state) { impl_->restore(state); }
std::vector<SourceCounters> Mixture::counters() const { return impl_->counters(); }
i64 Mixture::tokens_padding() const { return impl_->padding; }
i64 Mixture::sequences() const { return impl_->options.sequences; }
i64 Mixture::length() const { return impl_->options.length; }
i64 Mixture::mapped_bytes() const { return impl_->mapped_bytes(); }
i64 Mixture::vocab() const { return impl_->vocab; }
i64 Mixture::end_of_text() const { return impl_->end_of_text; }
void Mixture::check_tokenizer(const Tokenizer& given) { impl_->check_tokenizer(given); }
void Mixture::require_vocab(i64 size) {
  if (impl_->vocab == 0) impl_->require_vocab(size);
}
Json Mixture::identity() const { return impl_->identity(); }
std::vector<double> Mixture::epochs_needed(i64 tokens) const { return impl_->epochs_needed(tokens); }
void Mixture::check_tokens(i64 tokens) const { impl_->check_tokens(tokens); }

}  // namespace moebius::data
