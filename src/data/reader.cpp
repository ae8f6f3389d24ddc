// One source for each form of file over ByteStream; all check UTF-8 and name the line of a fault.
#include "data/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "data/byte_stream.h"
#include "base/utf8.h"

namespace moebius::data {

namespace {

constexpr i64 kDocumentBytesMax = i64{256} << 20;
constexpr i64 kArrayFileBytesMax = i64{1} << 30;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr i64 kSniffBytes = i64{64} << 10;
constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

std::string line_of(const std::string& path, i64 line) { return fmt::format("{}, line {}", path, line); }

// Lines of a stream, without their line feed.
class Lines {
 public:
  explicit Lines(ByteStream stream) : path_(stream.path()), stream_(std::move(stream)), buffer_(kBufferBytes) {
    refill();
    if (std::string_view(buffer_.data(), end_).starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  }

  // The next line into `line` (appended when `append`); false at the end of the file.
  bool next(std::string& line, bool append = false) {
    if (!append) line.clear();
    if (at_ == end_ && !refill()) return false;
    const std::size_t size_before = line.size();
    for (;;) {
      const char* const from = buffer_.data() + at_;
      const char* const found = static_cast<const char*>(std::memchr(from, '\n', end_ - at_));
      const std::size_t length = found != nullptr ? static_cast<std::size_t>(found - from) : end_ - at_;
      line.append(from, length);
      if (static_cast<i64>(line.size()) > kDocumentBytesMax) {
        throw Error({.where = line_of(path_, line_number_ + 1),
                     .what = "the document is longer than 256 MiB",
                     .fix = "split it (--separator for plain text, one object per line for JSON)"});
      }
      at_ += length + (found != nullptr ? 1 : 0);
      ended_with_feed_ = found != nullptr;
      if (found != nullptr || !refill()) break;
    }
    ++line_number_;
    const i64 invalid = find_invalid_utf8(std::string_view(line).substr(size_before));
    if (invalid >= 0) {
      const u8 byte = static_cast<u8>(line[size_before + static_cast<std::size_t>(invalid)]);
      throw Error({.where = line_of(path_, line_number_),
                   .what = fmt::format("not valid UTF-8: byte 0x{:02x} at byte {} of the line", byte, invalid + 1),
                   .wanted = "text in UTF-8",
                   .fix = "convert the file, for example with iconv -f latin1 -t utf-8"});
    }
    return true;
  }
  // Number of the line that next() gave last, from 1.
  i64 line_number() const { return line_number_; }
  // Whether that line had a line feed (only the last of a file may have none).
  bool ended_with_feed() const { return ended_with_feed_; }

 private:
  bool refill() {
    at_ = 0;
    end_ = static_cast<std::size_t>(stream_.read(buffer_.data(), static_cast<i64>(buffer_.size())));
    return end_ > 0;
  }

  std::string path_;
  ByteStream stream_;
  std::vector<char> buffer_;
  std::size_t at_ = 0, end_ = 0;
  i64 line_number_ = 0;
  bool ended_with_feed_ = false;
};

std::vector<std::string> split_fields(const std::string& fields) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= fields.size();) {
    const std::size_t stop = std::min(fields.find(',', at), fields.size());
    names.push_back(fields.substr(at, stop - at));
    if (names.back().empty()) {
      throw Error(
          {.where = "fields", .what = "a field name is empty", .wanted = "names separated by commas", .got = fields});
    }
    at = stop + 1;
  }
  return names;
}

const char* type_name(const Json& value) {
  if (value.is_null()) return "null";
  if (value.is_bool()) return "true or false";
  if (value.is_number()) return "a number";
  if (value.is_array()) return "an array";
  return value.is_object() ? "an object" : "a string";
}

// A field, through inner objects where the name has dots and is no key itself.
const Json* find_field(const Json& object, std::string_view name) {
  if (const Json* value = object.find(name)) return value;
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return nullptr;
  const Json* inner = object.find(name.substr(0, dot));
  return inner == nullptr ? nullptr : find_field(*inner, name.substr(dot + 1));
}

// "text, id, ..."
std::string field_names(const Json& object) {
  std::string names;
  for (const auto& [key, unused] : object.as_object()) {
    if (names.size() > 200) return names + ", ...";
    names += (names.empty() ? "" : ", ") + key;
  }
  return names;
}

// The text of one JSON object.
void join_fields(const Json& object, const std::vector<std::string>& names, const ReaderOptions& options,
                 const std::string& where, std::string& text) {
  text.clear();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Json* value = find_field(object, names[i]);
    if (value == nullptr) {
      throw Error({.where = where,
                   .what = fmt::format("field '{}' is missing", names[i]),
                   .got = object.count() == 0 ? "no fields" : fmt::format("the fields {}", field_names(object)),
                   .fix = fmt::format("give the field that contains the text: {}", options.field_option)});
    }
    if (!value->is_string()) {
      throw Error({.where = where,
                   .what = fmt::format("field '{}' has the wrong type", names[i]),
                   .wanted = "a string",
                   .got = type_name(*value)});
    }
    if (i > 0) text += options.field_joiner;
    text += value->as_string();
  }
}

// The ending of a file's name in small letters, without .gz, .zst, .zstd and the number of a part (.jsonl.1).
std::string name_ending(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  for (;;) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string::npos) return "";
    const std::string ending = name.substr(dot + 1);
    const bool number = !ending.empty() && ending.find_first_not_of("0123456789") == std::string::npos;
    if (!number && ending != "gz" && ending != "zst" && ending != "zstd") return ending;
    name.resize(dot);
  }
}

std::string_view skip_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos ? std::string_view() : text.substr(first);
}

// Whether the text begins as a JSON object does: {} or {"key":
bool begins_object(std::string_view text) {
  if (!text.starts_with('{')) return false;
  text = skip_blanks(text.substr(1));
  if (text.starts_with('}')) return true;
  if (!text.starts_with('"')) return false;
  std::size_t at = 1;
  while (at < text.size() && text[at] != '"' && text[at] != '\n') at += text[at] == '\\' ? 2 : 1;
  return at < text.size() && text[at] == '"' && skip_blanks(text.substr(at + 1)).starts_with(':');
}

// Whether the text begins as an array of objects or strings; not as [1] or [[link]], which text has too.
bool begins_array(std::string_view text) {
  if (!text.starts_with('[')) return false;
  text = skip_blanks(text.substr(1));
  if (text.starts_with(']') && skip_blanks(text.substr(1)).empty()) return true;
  return begins_object(text) || text.starts_with('"');
}

std::string_view without_mark(std::string_view text) {
  return text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text;
}

// What helps with zero bytes: in UTF-16 they are every second byte of most text.
std::string fix_for_zeros(std::string_view head, const std::string& ending) {
  if (ending == "bin" || ending == "idx") {
    return "a token shard needs no packing: give it to `moebius train --data` as it is";
  }
  std::size_t zeros[2] = {0, 0};
  for (std::size_t i = 0; i < head.size(); ++i) zeros[i % 2] += head[i] == '\0';
  const std::size_t half = head.size() / 4;
  for (const int odd : {0, 1}) {
    if (zeros[odd] > half && zeros[1 - odd] < half / 4 + 1) {
      return fmt::format("if it is text in UTF-16, convert it: iconv -f utf-16{} -t utf-8 FILE > NEW",
                         odd == 1 ? "le" : "be");
    }
  }
  return "give the text itself; in a text with stray zero bytes, remove them: tr -d '\\0' < FILE > NEW";
}

DocumentFormat detect_format(ByteStream& stream) {
  const std::string& path = stream.path();
  const std::string_view head = without_mark(stream.peek(kSniffBytes));
  if (head.empty()) throw Error({.where = path, .what = "the file is empty", .fix = "give a file with text"});
  if (const std::size_t zero = head.find('\0'); zero != std::string_view::npos) {
    throw Error({.where = path,
                 .what = fmt::format("this is binary data, not text: byte {} is zero", zero + 1),
                 .wanted = "text in UTF-8",
                 .fix = fix_for_zeros(head, name_ending(path))});
  }
  const std::string ending = name_ending(path);
  const std::string_view content = skip_blanks(head);
  if (begins_object(content)) return DocumentFormat::jsonl;
  if (begins_array(content)) return DocumentFormat::json;
  for (const char* name : {"jsonl", "jsonlines", "ndjson", "jl"}) {
    if (ending == name) return DocumentFormat::jsonl;
  }
  if (ending == "json") return DocumentFormat::json;
  if (ending == "csv" || ending == "tsv") {
    throw Error({.where = path,
                 .what = "tables (CSV, TSV) are not read as documents",
                 .wanted = "plain text, JSON lines or a JSON array",
                 .fix = "convert it to JSON lines, for example with Python: "
                        "pandas.read_csv(FILE).to_json(NEW, orient=\"records\", lines=True)"});
  }
  return DocumentFormat::text;
}

}  // namespace

class DocumentReader::Source {
 public:
  Source(std::string path, ReaderOptions options) : path_(std::move(path)), options_(std::move(options)) {}
  virtual ~Source() = default;

  bool next(Document& document) {
    document.index = index_;
    if (!read(document)) {
      if (index_ == 0) {
        throw Error({.where = path_, .what = "the file contains no documents", .fix = "give a file with text"});
      }
      return false;
    }
    document.path = path_;
    ++index_;
    return true;
  }

 protected:
  virtual bool read(Document& document) = 0;
  std::string path_;
  ReaderOptions options_;

 private:
  i64 index_ = 0;
};

namespace {

class TextSource final : public DocumentReader::Source {
 public:
  TextSource(ByteStream stream, const ReaderOptions& options)
      : Source(stream.path(), options), lines_(std::move(stream)) {}

 protected:
  bool read(Document& document) override {
    return options_.separator.empty() ? read_whole(document) : read_part(document);
  }

 private:
  bool read_whole(Document& document) {
    if (done_) return false;
    done_ = true;
    document.line = 1;
    document.text.clear();
    while (lines_.next(document.text, true)) {
      if (lines_.ended_with_feed()) document.text += '\n';
    }
    return true;
  }

  bool is_separator(std::string_view line) const {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (options_.separator == "blank-line") return line.find_first_not_of(" \t") == std::string_view::npos;
    return line == options_.separator;
  }

  // Lines up to the next separator; parts without text are passed over.
  bool read_part(Document& document) {
    document.text.clear();
    bool any = false;
    while (lines_.next(line_)) {
      if (is_separator(line_)) {
        if (any) return true;
        continue;
      }
      if (!any) document.line = lines_.line_number();
      if (any) document.text += '\n';
      any = true;
      document.text += line_;
      if (static_cast<i64>(document.text.size()) > kDocumentBytesMax) {
        throw Error({.where = line_of(path_, document.line),
                     .what = "the document is longer than 256 MiB",
                     .fix = "use a separator that occurs in the file"});
      }
    }
    return any;
  }

  Lines lines_;
  std::string line_;
  bool done_ = false;
};

// The objects of JSON lines, or of a JSON array.
class Rows {
 public:
  // `guessed`: the format is from the content, which prose can resemble.
  Rows(ByteStream stream, DocumentFormat format, bool guessed = false) : path_(stream.path()), guessed_(guessed) {
    if (format == DocumentFormat::json) {
      read_array(std::move(stream));
    } else {
      lines_ = std::make_unique<Lines>(std::move(stream));
    }
  }

  // The next object, valid until the next call; nullptr at the end.
  const Json* next() {
    if (lines_ == nullptr) {
      if (number_ >= array_.count()) return nullptr;
      return object(array_[number_++]);
    }
    while (lines_->next(line_)) {
      if (skip_blanks(line_).empty()) continue;
      number_ = lines_->line_number();
      row_ = parse(line_, where());
      return object(row_);
    }
    return nullptr;
  }
  // Of the object that next() gave last: its line or the number of the element, from 1.
  i64 number() const { return number_; }
  std::string where() const {
    return lines_ == nullptr ? fmt::format("{}, element {}", path_, number_) : line_of(path_, number_);
  }

 private:
  Json parse(const std::string& text, const std::string& where) const {
    try {
      return Json::parse(text, where);
    } catch (const Error& e) {
      if (!guessed_ || number_ > 1) throw;
      ErrorParts parts = e.parts();
      parts.fix += std::string(parts.fix.empty() ? "" : "; ") + "if the file is plain text: --format text";
      throw Error(std::move(parts));
    }
  }

  const Json* object(const Json& row) const {
    if (row.is_object()) return &row;
    throw Error({.where = where(), .what = "not a JSON object", .wanted = "{...}", .got = type_name(row)});
  }

  void read_array(ByteStream stream) {
    const std::string content = read_all(stream, kArrayFileBytesMax);
    if (const i64 at = find_invalid_utf8(content); at >= 0) {
      throw Error({.where = path_,
                   .what = fmt::format("not valid UTF-8: byte {} of the file", at + 1),
                   .wanted = "text in UTF-8",
                   .fix = "convert the file, for example with iconv -f latin1 -t utf-8"});
    }
    array_ = parse(content, path_);
    if (!array_.is_array()) {
      throw Error({.where = path_,
                   .what = "the file is not a JSON array",
                   .wanted = "[{...}, {...}], or JSON lines (one object per line)",
                   .got = type_name(array_)});
    }
  }

  std::string path_;
  bool guessed_;
  std::unique_ptr<Lines> lines_;
  std::string line_;
  Json row_, array_;
  i64 number_ = 0;
};

class JsonSource final : public DocumentReader::Source {
 public:
  JsonSource(ByteStream stream, const ReaderOptions& options, bool guessed)
      : Source(stream.path(), options),
        names_(split_fields(options.fields)),
        rows_(std::move(stream), options.format, guessed) {}

 protected:
  bool read(Document& document) override {
    const Json* row = rows_.next();
    if (row == nullptr) return false;
    document.line = rows_.number();
    join_fields(*row, names_, options_, rows_.where(), document.text);
    return true;
  }

 private:
  std::vector<std::string> names_;
  Rows rows_;
};

}  // namespace

std::string Document::where() const { return line_of(path, line); }

DocumentFormat document_format_parse(const std::string& text) {
  if (text == "auto") return DocumentFormat::automatic;
  if (text == "text") return DocumentFormat::text;
  if (text == "jsonl") return DocumentFormat::jsonl;
  if (text == "json") return DocumentFormat::json;
  throw Error(
      {.where = "format", .what = "unknown format of text", .wanted = "auto, text, jsonl or json", .got = text});
}

DocumentReader::DocumentReader(const std::string& path, ReaderOptions options) {
  ByteStream stream(path);
  const bool guessed = options.format == DocumentFormat::automatic;
  if (guessed) options.format = detect_format(stream);
  const bool has_option = options.field_option == ReaderOptions{}.field_option;  // moebius data also has --format
  if (stream.peek(1).empty()) throw Error({.where = path, .what = "the file is empty", .fix = "give a file with text"});
  if (options.format == DocumentFormat::text) {
    source_ = std::make_unique<TextSource>(std::move(stream), options);
  } else {
    source_ = std::make_unique<JsonSource>(std::move(stream), options, guessed && has_option);
  }
}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;

bool DocumentReader::next(Document& document) { return source_->next(document); }

std::vector<Json> read_rows(const std::string& path) {
  ByteStream stream(path);
  const bool array = detect_format(stream) == DocumentFormat::json;
  if (const std::string_view content = skip_blanks(without_mark(stream.peek(kSniffBytes)));
      !content.empty() && content[0] != '{' && content[0] != '[') {
    throw Error({.where = path,
                 .what = "the rows are not JSON",
                 .wanted = "one JSON object per line, or a JSON array",
                 .got = fmt::format("a file that begins with '{}'",
                                    content.substr(0, std::min<std::size_t>(30, content.find('\n')))),
                 .fix = "convert it to JSON lines, for example with Python: "
                        "pandas.read_csv(FILE).to_json(NEW, orient=\"records\", lines=True)"});
  }
  Rows rows(std::move(stream), array ? DocumentFormat::json : DocumentFormat::jsonl);
  std::vector<Json> all;
  while (const Json* row = rows.next()) all.push_back(*row);
  if (all.empty())
    throw Error({.where = path, .what = "the file contains no rows", .wanted = "one JSON object per line"});
  return all;
}

}  // namespace moebius::data
