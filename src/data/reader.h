// Documents from files: plain text, JSON lines with named fields, and JSON arrays of objects, each also as .gz or .zst.
// File in, one document after another out, in bounded memory (a JSON array file is the exception: it is read whole).
// Every fault (invalid UTF-8, a broken line, a missing field, a truncated archive, an empty file) is an Error that
// names file and line. Not for tokens (tokenizer.h) nor for the choice between sources (the mixture).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/types.h"

namespace moebius::data {

// automatic: by the file's name without .gz/.zst: .jsonl and .ndjson are JSON lines, .json an array, the rest is text.
enum class DocumentFormat { automatic, text, jsonl, json };

struct ReaderOptions {
  DocumentFormat format = DocumentFormat::automatic;
  // JSON: the fields that make up the text, in order, separated by commas: "text" or "question,answer". A dot enters an
  // inner object: "meta.title". Each must be a string.
  std::string fields = "text";
  // Stands between two fields' texts.
  std::string field_joiner = "\n";
  // Plain text: "" makes the whole file one document; "blank-line" splits at runs of empty lines; anything else splits
  // at each line that equals it.
  std::string separator = "";
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
  // Opens the file. Throws Error when it cannot be read or holds no bytes.
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

// All documents of a file. For small files and tests.
std::vector<Document> read_documents(const std::string& path, const ReaderOptions& options = {});

}  // namespace moebius::data
