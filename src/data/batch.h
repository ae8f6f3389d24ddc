// Batch: what one step trains on, as flat rows, and BatchSource, the interface of what makes batches. in: token shards
// (data/mixture.h) or token lists in memory (tests) -> out: tokens, targets, spans of documents. Not for evaluation
// items: those are texts (docs/formats.md, "Evaluation items").
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius::data {

// A run of rows that attend to each other causally and to nothing else. It lies inside one sequence.
struct DocumentSpan {
  i64 begin = 0;    // first row, in [0, sequences * length)
  i64 count = 0;    // rows, >= 1
  i32 source = -1;  // index of the source; -1: padding, or several sources (attend_across_documents)
  i64 position =
      0;  // position of the first row: 0 when positions restart at documents, else its offset in the sequence
};

// Row b * length + t is place t of sequence b. The spans cover every row once, in order.
struct Batch {
  i64 sequences = 0;
  i64 length = 0;
  std::vector<i32> tokens;     // [sequences * length]
  std::vector<i32> targets;    // [sequences * length], the next token; -1: no target
  std::vector<i32> positions;  // [sequences * length], for rotary embeddings
  std::vector<DocumentSpan> spans;

  i64 rows() const { return sequences * length; }
};

// Sizes the arrays and reserves spans for the worst case, so that filling allocates nothing. Does nothing when the
// shape is right already.
void batch_shape(Batch& batch, i64 sequences, i64 length);
// Derives `positions` from the spans.
void batch_fill_positions(Batch& batch);
// Number of rows with a target.
i64 batch_targets(const Batch& batch);

// What a source has given so far. tokens_seen = tokens_unique + tokens_repeated, in rows.
struct SourceCounters {
  std::string name;
  i64 tokens_seen = 0;
  i64 tokens_unique = 0;    // rows of the source's first pass
  i64 tokens_repeated = 0;  // rows of later passes
  i64 tokens_total = 0;     // size of the source
  i64 documents_seen = 0;   // pieces of documents, that is spans
  double epochs = 0;        // tokens_seen / tokens_total
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Fills the next batch. The same buffers are reused: no allocation in steady state.
  virtual void next(Batch& batch) = 0;
  // The position as saved in a checkpoint: after restore() the following batches are identical.
  virtual Json state() const = 0;
  // Throws Error when the state was made with another mixture, seed or sequence length.
  virtual void restore(const Json& state) = 0;
  virtual std::vector<SourceCounters> counters() const = 0;
  // Rows filled with end-of-text without a target because nothing fitted.
  virtual i64 tokens_padding() const = 0;
  virtual i64 sequences() const = 0;              // of each batch
  virtual i64 length() const = 0;                 // rows of a sequence
  virtual i64 mapped_bytes() const { return 0; }  // of files that it reads through the memory map
};

// Token lists in memory, one document each, packed one after the other and cut at sequence borders; starts again after
// the last one. For tests and small experiments.
class MemorySource : public BatchSource {
 public:
  MemorySource(std::vector<std::vector<i32>> documents, i64 sequences, i64 length);
  void next(Batch& batch) override;
  Json state() const override;
  void restore(const Json& state) override;
  std::vector<SourceCounters> counters() const override;
  i64 tokens_padding() const override { return 0; }
  i64 sequences() const override { return sequences_; }
  i64 length() const override { return length_; }

 private:
  std::vector<std::vector<i32>> documents_;
  i64 sequences_, length_;
  i64 document_ = 0, offset_ = 0, rows_seen_ = 0, spans_seen_ = 0, tokens_total_ = 0;
};

}  // namespace moebius::data
