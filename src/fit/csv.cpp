// The CSV reader: one pass over the bytes, a state for "inside quotes", errors by line.
#include "fit/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <set>

#include "base/error.h"

namespace moebius::fit {

namespace {

// The most frequent separator of the first line, outside of quotes; a comma if it has none.
char separator_of(std::string_view text) {
  constexpr std::string_view kSeparators = ",;\t";
  std::array<i64, 3> counts = {0, 0, 0};
  bool in_quotes = false;
  for (const char c : text.substr(0, text.find('\n'))) {
    if (c == '"') in_quotes = !in_quotes;
    const std::size_t at = kSeparators.find(c);
    if (!in_quotes && at != std::string_view::npos) ++counts[at];
  }
  return kSeparators[static_cast<std::size_t>(std::max_element(counts.begin(), counts.end()) - counts.begin())];
}

class CsvScanner {
 public:
  CsvScanner(std::string_view text, const std::string& where) : text_(text), where_(where) {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;  // a byte order mark, as spreadsheets write it
    while (!at_end() && (text_[at_] == '\n' || text_.substr(at_, 2) == "\r\n")) line_ += text_[at_++] == '\n' ? 1 : 0;
    separator_ = separator_of(text_.substr(at_));
  }

  const char* separator_name() const {
    return separator_ == ',' ? "commas" : separator_ == ';' ? "semicolons" : "tabs";
  }

  bool at_end() const { return at_ >= text_.size(); }
  i64 line() const { return line_; }

  // The fields of the next line that is not empty; nothing at the end.
  std::vector<std::string> next_row(i64* row_line) {
    std::vector<std::string> fields;
    while (!at_end()) {
      *row_line = line_;
      fields.push_back(next_field());
      if (!row_ended_) continue;
      if (fields.size() > 1 || !fields.front().empty()) return fields;
      fields.clear();
    }
    // The last line ended in a separator without a line break: one more, empty field.
    if (!fields.empty()) fields.emplace_back();
    return fields;
  }

 private:
  [[noreturn]] void fail(i64 line, const std::string& what, const std::string& fix) const {
    throw Error({.where = fmt::format("{}, line {}", where_, line), .what = what, .fix = fix});
  }

  char checked(char c) const {
    if (c == '\0') fail(line_, "a NUL byte", "give a text file in UTF-8");
    return c;
  }

  std::string next_field() {
    row_ended_ = false;
    std::string field = text_[at_] == '"' ? quoted() : plain();
    if (at_end()) {
      row_ended_ = true;
      return field;
    }
    if (text_[at_] == separator_) {
      ++at_;
      return field;
    }
    if (text_[at_] == '\r' && at_ + 1 < text_.size() && text_[at_ + 1] == '\n') ++at_;
    if (text_[at_] != '\n') fail(line_, "text behind a closing quote", "double the quotes inside a quoted field");
    ++at_;
    ++line_;
    row_ended_ = true;
    return field;
  }

  std::string plain() {
    const std::size_t begin = at_;
    while (!at_end() && text_[at_] != separator_ && text_[at_] != '\n') {
      checked(text_[at_]);
      if (text_[at_] == '\r' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n')) break;
      ++at_;
    }
    std::string field(text_.substr(begin, at_ - begin));
    if (!at_end() && text_[at_] == '\r' && at_ + 1 == text_.size()) ++at_;
    return field;
  }

  std::string quoted() {
    const i64 opened = line_;
    std::string field;
    for (++at_; !at_end(); ++at_) {
      const char c = checked(text_[at_]);
      if (c == '\n') ++line_;
      if (c != '"') {
        field += c;
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
        field += c;
        ++at_;
      } else {
        ++at_;
        return field;
      }
    }
    fail(opened, "a quote is opened and never closed", "close it, or remove it");
  }

  std::string_view text_;
  const std::string& where_;
  char separator_ = ',';
  std::size_t at_ = 0;
  i64 line_ = 1;
  bool row_ended_ = false;
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

CsvTable csv_parse(std::string_view text, const std::string& where) {
  CsvTable table;
  table.where = where;
  CsvScanner scanner(text, where);
  i64 line = 1;
  for (const std::string& name : scanner.next_row(&line)) table.header.emplace_back(trimmed(name));
  if (table.header.empty()) {
    throw Error(
        {.where = where, .what = "the file is empty", .wanted = "a header line with the columns' names, then runs"});
  }
  std::set<std::string> names;
  for (const std::string& name : table.header) {
    if (!name.empty() && !names.insert(name).second) {
      throw Error({.where = fmt::format("{}, line {}", where, line),
                   .what = fmt::format("column '{}' appears twice", name),
                   .fix = "remove one of the two, or rename it"});
    }
  }
  while (!scanner.at_end()) {
    std::vector<std::string> row = scanner.next_row(&line);
    if (row.empty()) break;
    if (row.size() != table.header.size()) {
      throw Error({.where = fmt::format("{}, line {}", where, line),
                   .what = "wrong number of fields",
                   .wanted = fmt::format("{}, as the header has (separated by {})", table.header.size(),
                                         scanner.separator_name()),
                   .got = fmt::format("{}", row.size())});
    }
    table.rows.push_back(std::move(row));
    table.lines.push_back(line);
  }
  return table;
}

double csv_number(std::string_view text, const std::string& where) {
  std::string_view digits = trimmed(text);
  if (digits.empty()) return std::numeric_limits<double>::quiet_NaN();
  if (digits.front() == '+') digits.remove_prefix(1);
  double value = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (fault == std::errc::result_out_of_range) {
    throw Error({.where = where, .what = "the number is out of range", .got = std::string(text.substr(0, 60))});
  }
  if (fault != std::errc() || end != digits.data() + digits.size()) {
    throw Error({.where = where,
                 .what = "not a number",
                 .wanted = "digits with a decimal point, such as 1300000, 1.3e6",
                 .got = std::string(text.substr(0, 60))});
  }
  return value;
}

}  // namespace moebius::fit
