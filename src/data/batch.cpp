// Batches: shape, positions, the rules that every batch keeps, and the source in memory.
#include "data/batch.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"

namespace moebius::data {

void batch_shape(Batch& batch, i64 sequences, i64 length) {
  CHECK(sequences > 0 && length > 0, "a batch has at least one row");
  if (batch.sequences == sequences && batch.length == length) return;
  const auto rows = static_cast<std::size_t>(sequences * length);
  batch.sequences = sequences;
  batch.length = length;
  batch.tokens.assign(rows, 0);
  batch.targets.assign(rows, -1);
  batch.positions.assign(rows, 0);
  batch.spans.clear();
  batch.spans.reserve(rows);
}

void batch_fill_positions(Batch& batch) {
  for (const DocumentSpan& span : batch.spans) {
    i32* at = batch.positions.data() + span.begin;
    for (i64 i = 0; i < span.count; ++i) at[i] = static_cast<i32>(span.position + i);
  }
}

i64 batch_targets(const Batch& batch) {
  return std::count_if(batch.targets.begin(), batch.targets.end(), [](i32 target) { return target >= 0; });
}

MemorySource::MemorySource(std::vector<std::vector<i32>> documents, i64 sequences, i64 length)
    : documents_(std::move(documents)), sequences_(sequences), length_(length) {
  for (const auto& document : documents_) {
    CHECK(!document.empty(), "a document holds at least one token");
    tokens_total_ += static_cast<i64>(document.size());
  }
  CHECK(tokens_total_ > 0, "a source holds at least one document");
}

void MemorySource::next(Batch& batch) {
  batch_shape(batch, sequences_, length_);
  batch.spans.clear();
  for (i64 row = 0; row < batch.rows();) {
    const std::vector<i32>& document = documents_[static_cast<std::size_t>(document_)];
    const i64 size = static_cast<i64>(document.size());
    const i64 count = std::min(length_ - row % length_, size - offset_);
    for (i64 i = 0; i < count; ++i) {
      const auto place = static_cast<std::size_t>(offset_ + i);
      batch.tokens[static_cast<std::size_t>(row + i)] = document[place];
      batch.targets[static_cast<std::size_t>(row + i)] = offset_ + i + 1 < size ? document[place + 1] : -1;
    }
    batch.spans.push_back({row, count, 0, 0});
    ++spans_seen_;
    row += count;
    offset_ += count;
    if (offset_ == size) {
      offset_ = 0;
      document_ = (document_ + 1) % static_cast<i64>(documents_.size());
    }
  }
  rows_seen_ += batch.rows();
  batch_fill_positions(batch);
}

Json MemorySource::state() const {
  return Json::object({{"kind", "memory"},
                       {"length", length_},
                       {"tokens_total", tokens_total_},
                       {"document", document_},
                       {"offset", offset_},
                       {"rows_seen", rows_seen_},
                       {"spans_seen", spans_seen_}});
}

void MemorySource::restore(const Json& state) {
  const i64 document = state.at("document").as_int();
  const i64 offset = state.at("offset").as_int();
  const bool same = state.get_string("kind", "") == "memory" && state.at("length").as_int() == length_ &&
                    state.at("tokens_total").as_int() == tokens_total_ && document >= 0 &&
                    document < static_cast<i64>(documents_.size());
  if (!same || offset < 0 || offset >= static_cast<i64>(documents_[static_cast<std::size_t>(document)].size())) {
    throw Error({.where = "saved data position",
                 .what = "it was made with other data or another sequence length",
                 .fix = "resume with the same data and options, or start a new run with another --out"});
  }
  document_ = document;
  offset_ = offset;
  rows_seen_ = state.at("rows_seen").as_int();
  spans_seen_ = state.at("spans_seen").as_int();
}

std::vector<SourceCounters> MemorySource::counters() const {
  const i64 unique = std::min(rows_seen_, tokens_total_);
  return {{"memory", rows_seen_, unique, rows_seen_ - unique, tokens_total_, spans_seen_,
           static_cast<double>(rows_seen_) / static_cast<double>(tokens_total_)}};
}

}  // namespace moebius::data
