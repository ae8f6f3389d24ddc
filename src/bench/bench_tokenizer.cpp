// Reading, counting words, merging and encoding, each with its own clock.
#include "bench/bench_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "base/units.h"
#include "data/bpe_trainer.h"
#include "data/reader.h"

namespace moebius::bench {

namespace {

double seconds_since(i64 start) { return static_cast<double>(clock_ns() - start) * 1e-9; }

}  // namespace

void BenchTokenizerOptions::describe(OptionList& list) {
  list.add("input", &input, "text files (plain, JSONL; .gz, .zst)", {.unit = "FILES"});
  list.add("field", &field, "JSON field", {.unit = "NAME"});
  list.add("tokenizer-vocab", &vocab, "size of the vocabulary to train", {.unit = "V", .min = 300, .max = 1e6});
}

Json bench_tokenizer(const BenchTokenizerOptions& options, std::string* text) {
  if (options.input.empty()) {
    throw Error({.where = "moebius bench tokenizer", .what = "no input is given", .fix = "add --input FILE[,FILE...]"});
  }
  i64 start = clock_ns();
  std::vector<std::string> documents;
  double bytes = 0;
  for (const std::string& file : options.input) {
    data::ReaderOptions reader;
    reader.fields = {options.field};
    data::DocumentReader documents_in(file, reader);
    for (data::Document document; documents_in.next(document);) {
      bytes += static_cast<double>(document.text.size());
      documents.push_back(std::move(document.text));
    }
  }
  const double read_seconds = seconds_since(start);
  const std::vector<std::string_view> views(documents.begin(), documents.end());

  start = clock_ns();
  data::BpeTrainer trainer({.vocab_size = options.vocab});
  trainer.add(views);
  const data::Tokenizer tokenizer = trainer.finish();
  const double train_seconds = seconds_since(start);

  std::vector<double> encode_seconds;
  double tokens = 0;
  for (i64 i = 0; i < options.repeats; ++i) {
    start = clock_ns();
    const auto ids = tokenizer.encode_parallel(views, data::SpecialTokens::plain);
    encode_seconds.push_back(seconds_since(start));
    tokens = 0;
    for (const auto& list : ids) tokens += static_cast<double>(list.size());
  }
  std::sort(encode_seconds.begin(), encode_seconds.end());
  const double encode = encode_seconds[encode_seconds.size() / 2];
  *text = fmt::format(
      "{} of text in {} documents, {} threads\n  read and unpack  {:>8.2f} s\n  train {:>6} tokens {:>6.2f} s\n"
      "  encode           {:>8.2f} s  {:.1f} MB/s, {:.2f} bytes per token\n",
      format_bytes(bytes), documents.size(), parallel_threads(), read_seconds, tokenizer.vocab_size(), train_seconds,
      encode, bytes / encode * 1e-6, bytes / tokens);
  return Json::object({{"bytes", bytes},
                       {"documents", static_cast<i64>(documents.size())},
                       {"threads", parallel_threads()},
                       {"read_seconds", read_seconds},
                       {"train_seconds", train_seconds},
                       {"vocab", tokenizer.vocab_size()},
                       {"encode_seconds", encode},
                       {"encode_bytes_per_s", bytes / encode},
                       {"tokens", tokens}});
}

}  // namespace moebius::bench
