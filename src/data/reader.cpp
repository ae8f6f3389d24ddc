// One source for each form of file over ByteStream; all check UTF-8 and say where a fault stands.
#include "data/reader.h"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "data/byte_stream.h"
#include "data/utf8.h"

namespace moebius::data {

namespace {

constexpr i64 kDocumentBytesMax = i64{256} << 20;
constexpr i64 kArrayFileBytesMax = i64{1} << 30;
constexpr std::size_t kBufferBytes = std::size_t{1} << 18;

bool ends_with(std::string_view text, std::string_view ending) {
  return text.size() >= ending.size() && text.substr(text.size() - ending.size()) == ending;
}

std::string line_of(const std::string& path, i64 line) { return fmt::format("{}, line {}", path, line); }

// Lines of a stream, without their line feed.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), stream_(path), buffer_(kBufferBytes) {
    refill();
    if (end_ == 0) throw Error({.where = path, .what = "the file is empty", .fix = "give a file with text"});
    if (end_ >= 3 && std::memcmp(buffer_.data(), "\xEF\xBB\xBF", 3) == 0) at_ = 3;  // a byte order mark
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
                     .fix = "split it (a separator for plain text, one object a line for JSON)"});
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
          {.where = "fields", .what = "a field name is empty", .wanted = "names with commas between", .got = fields});
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

// The text of one JSON object.
void join_fields(const Json& object, const std::vector<std::string>& names, const std::string& joiner,
                 const std::string& where, std::string& text) {
  text.clear();
  if (!object.is_object()) {
    throw Error({.where = where, .what = "this is not a JSON object", .wanted = "{...}", .got = type_name(object)});
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const Json* value = find_field(object, names[i]);
    if (value == nullptr) {
      std::string keys;
      for (const auto& [key, unused] : object.as_object()) {
        if (keys.size() > 200) {
          keys += ", ...";
          break;
        }
        keys += (keys.empty() ? "" : ", ") + key;
      }
      throw Error({.where = where,
                   .what = fmt::format("field '{}' is missing", names[i]),
                   .got = fmt::format("the fields {}", keys),
                   .fix = "name the field that holds the text"});
    }
    if (!value->is_string()) {
      throw Error({.where = where,
                   .what = fmt::format("field '{}' has the wrong type", names[i]),
                   .wanted = "a string",
                   .got = type_name(*value)});
    }
    if (i > 0) text += joiner;
    text += value->as_string();
  }
}

DocumentFormat format_of(const std::string& path) {
  std::string_view name = path;
  if (ends_with(name, ".gz")) name.remove_suffix(3);
  if (ends_with(name, ".zst")) name.remove_suffix(4);
  if (ends_with(name, ".jsonl") || ends_with(name, ".ndjson")) return DocumentFormat::jsonl;
  return ends_with(name, ".json") ? DocumentFormat::json : DocumentFormat::text;
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
        throw Error({.where = path_, .what = "the file holds no documents", .fix = "give a file with text"});
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
  TextSource(const std::string& path, const ReaderOptions& options) : Source(path, options), lines_(path) {}

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
                     .fix = "choose a separator that stands in the file"});
      }
    }
    return any;
  }

  Lines lines_;
  std::string line_;
  bool done_ = false;
};

class JsonLinesSource final : public DocumentReader::Source {
 public:
  JsonLinesSource(const std::string& path, const ReaderOptions& options)
      : Source(path, options), lines_(path), names_(split_fields(options.fields)) {}

 protected:
  bool read(Document& document) override {
    while (lines_.next(line_)) {
      if (line_.find_first_not_of(" \t\r") == std::string::npos) continue;
      document.line = lines_.line_number();
      const std::string where = line_of(path_, document.line);
      join_fields(Json::parse(line_, where), names_, options_.field_joiner, where, document.text);
      return true;
    }
    return false;
  }

 private:
  Lines lines_;
  std::vector<std::string> names_;
  std::string line_;
};

class JsonArraySource final : public DocumentReader::Source {
 public:
  JsonArraySource(const std::string& path, const ReaderOptions& options)
      : Source(path, options), names_(split_fields(options.fields)) {
    const std::string content = read_unpacked(path, kArrayFileBytesMax);
    if (content.empty()) throw Error({.where = path, .what = "the file is empty", .fix = "give a file with text"});
    if (const i64 at = find_invalid_utf8(content); at >= 0) {
      throw Error({.where = path,
                   .what = fmt::format("not valid UTF-8: byte {} of the file", at + 1),
                   .wanted = "text in UTF-8"});
    }
    root_ = Json::parse(content, path);
    if (!root_.is_array()) {
      throw Error({.where = path,
                   .what = "the file is not a JSON array",
                   .wanted = "[{...}, {...}]",
                   .got = type_name(root_),
                   .fix = "name a file of one object a line .jsonl"});
    }
  }

 protected:
  bool read(Document& document) override {
    if (document.index >= root_.count()) return false;
    document.line = document.index + 1;
    const std::string where = fmt::format("{}, element {}", path_, document.line);
    join_fields(root_[document.index], names_, options_.field_joiner, where, document.text);
    return true;
  }

 private:
  std::vector<std::string> names_;
  Json root_;
};

}  // namespace

std::string Document::where() const { return line_of(path, line); }

DocumentReader::DocumentReader(const std::string& path, ReaderOptions options) {
  if (options.format == DocumentFormat::automatic) options.format = format_of(path);
  switch (options.format) {
    case DocumentFormat::jsonl: source_ = std::make_unique<JsonLinesSource>(path, options); break;
    case DocumentFormat::json: source_ = std::make_unique<JsonArraySource>(path, options); break;
    default: source_ = std::make_unique<TextSource>(path, options); break;
  }
}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;
DocumentReader& DocumentReader::operator=(DocumentReader&&) noexcept = default;

bool DocumentReader::next(Document& document) { return source_->next(document); }

std::vector<Document> read_documents(const std::string& path, const ReaderOptions& options) {
  std::vector<Document> documents;
  DocumentReader reader(path, options);
  Document document;
  while (reader.next(document)) documents.push_back(document);
  return documents;
}

}  // namespace moebius::data
