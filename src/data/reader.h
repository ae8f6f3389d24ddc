// Documents and rows from files: plain text, JSON lines and JSON arrays of objects, each also as a gzip or zstd archive or
// from a pipe. File in, one document after another out, in bounded memory (a JSON array is the exception: it is read
// whole). The form is decided by the content. Every fault (invalid UTF-8, a broken line, a missing field, a truncated
// archive, an empty file) is an Error that names file and line.
// Not for tokens (tokenizer.h), token shards (shard.h) or the choice between sources (mixture.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius::data {

// automatic: by content. A file that begins with {"key": has JSON lines, one that begins with [{ or [" has a JSON array;
// anything else is text, unless it is binary, named as JSON (then it must be JSON) or named as CSV (refused).
enum class DocumentFormat { automatic, text, jsonl, json };
// "auto", "text", "jsonl", "json". Throws Error.
DocumentFormat document_format_parse(const std::string& text);

struct ReaderOptions {
  DocumentFormat format = DocumentFormat::automatic;
  // JSON: the fields that make up the text, in order, separated by commas: "text" or "question,answer". A dot enters an
  // inner object: "meta.title". Each must be a string.
  std::string fields = "text";
  // Between the texts of two fields.
  std::string field_joiner = "\n";
  // Plain text: "" makes the whole file one document; "blank-line" splits at runs of empty lines; anything else splits
  // at each line that equals it.
  std::string separator = "";
  // How the user names the fields, for the error about a missing one.
  std::string field_option = "--field NAME";
};

struct Document {
  std::string text;
  std::string path;
  i64 line = 0;               // 1-based: where the document starts (JSON array: the element's number)
  i64 index = 0;              // 0-based: number of the document in its file
  std::string where() const;  // "corpus.jsonl, line 12"
};

class DocumentReader {
 public:
  // Opens the file. Throws Error when it cannot be read or is empty.
  explicit DocumentReader(const std::string& path, ReaderOptions options = {});
  ~DocumentReader();
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;

  // The next document (its strings are reused), or false at the end of the file. Blank JSON lines are passed over;
  // empty texts are documents. Throws Error.
  bool next(Document& document);

  class Source;  // one for each form of file (reader.cpp)

 private:
  std::unique_ptr<Source> source_;
};

// The objects of a file of JSON lines or of a JSON array: the one reader of rows. Throws Error, also when there is none.
std::vector<Json> read_rows(const std::string& path);

}  // namespace moebius::data
