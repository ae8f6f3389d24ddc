// `moebius bench tokenizer`: training of a vocabulary and encoding, timed apart, on text files.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/options.h"

namespace moebius::bench {

struct BenchTokenizerOptions {
  std::vector<std::string> input;  // files that data/reader.h reads
  std::string field = "text";
  i64 vocab = 8192;
  i64 repeats = 5;  // of encoding; the median is printed; given by the --repeats that all of bench shares
  void describe(OptionList& list);
};

// The keys of --json; `text` receives the table. Throws Error for files that cannot be read.
Json bench_tokenizer(const BenchTokenizerOptions& options, std::string* text);

}  // namespace moebius::bench
