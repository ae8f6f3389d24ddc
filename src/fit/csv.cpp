// The CSV reader: one pass over the bytes, a state for each field, errors by line.
#include "fit/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "base/error.h"

namespace moebius::fit {

namespace {

// The most frequent separator of the first line, outside of quotes; a comma if it has none.
char separator_of(std::string_view text) {
  constexpr std::string_view kSeparators = ",;\t";
  std::array<i64, 3> counts = {0, 0, 0};
  bool in_quotes = false;
  for (const char c : text.substr(0, text.find_first_of("\r\n"))) {
    if (c == '"') in_quotes = !in_quotes;
    const std::size_t at = kSeparators.find(c);
    if (!in_quotes && at != std::string_view::npos) ++counts[at];
  }
  return kSeparators[static_cast<std::size_t>(std::ranges::max_element(counts) - counts.begin())];
}

struct Scanned {
  std::vector<std::vector<std::string>> rows;
  std::vector<i64> lines;  // where each begins
};

// All rows but those without any text.
Scanned scan(std::string_view text, char separator, const std::string& where) {
  enum class In { nothing, plain, quotes, closed } in = In::nothing;
  Scanned out;
  std::vector<std::string> row;
  std::string field;
  i64 line = 1, row_line = 1, opened = 0;
  const auto fail = [&](i64 at, const char* what, const char* fix) {
    throw Error({.where = fmt::format("{}, line {}", where, at), .what = what, .fix = fix});
  };
  const auto field_end = [&] {
    row.push_back(std::exchange(field, ""));
    in = In::nothing;
  };
  const auto row_end = [&] {
    field_end();
    if (row.size() > 1 || !row.front().empty()) {
      out.rows.push_back(row);
      out.lines.push_back(row_line);
    }
    row.clear();
    row_line = line;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at], next = at + 1 < text.size() ? text[at + 1] : '\n';
    if (c == '\0') fail(line, "a NUL byte", "give a text file in UTF-8");
    const bool line_end = c == '\n' || (c == '\r' && next != '\n');
    if (line_end) ++line;
    if (in == In::quotes && c == '"' && next != '"') {
      in = In::closed;
    } else if (in == In::quotes) {
      field += c;
      at += c == '"' ? 1 : 0;
    } else if (c == '"' && in == In::nothing) {
      in = In::quotes;
      opened = line;
    } else if (c == separator) {
      field_end();
    } else if (line_end) {
      row_end();
    } else if (c != '\r') {
      if (in == In::closed) fail(line, "text behind a closing quote", "double the quotes inside a quoted field");
      in = In::plain;
      field += c;
    }
  }
  if (in == In::quotes) fail(opened, "a quote is opened and never closed", "close it, or remove it");
  if (in != In::nothing || !row.empty()) row_end();
  return out;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

}  // namespace

CsvTable csv_parse(std::string_view text, const std::string& where) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark, as spreadsheets write it
  const char separator = separator_of(text.substr(std::min(text.size(), text.find_first_not_of("\r\n"))));
  Scanned scanned = scan(text, separator, where);
  if (scanned.rows.empty()) {
    throw Error(
        {.where = where, .what = "the file is empty", .wanted = "a header line with the columns' names, then runs"});
  }
  CsvTable table;
  table.where = where;
  std::set<std::string> names;
  for (const std::string& name : scanned.rows.front()) {
    table.header.emplace_back(trimmed(name));
    if (table.header.back().empty() || names.insert(table.header.back()).second) continue;
    throw Error({.where = fmt::format("{}, line {}", where, scanned.lines.front()),
                 .what = fmt::format("column '{}' appears twice", table.header.back()),
                 .fix = "remove one of the two, or rename it"});
  }
  for (std::size_t i = 1; i < scanned.rows.size(); ++i) {
    if (scanned.rows[i].size() == table.header.size()) continue;
    const char* name = separator == ',' ? "commas" : separator == ';' ? "semicolons" : "tabs";
    throw Error({.where = fmt::format("{}, line {}", where, scanned.lines[i]),
                 .what = "wrong number of fields",
                 .wanted = fmt::format("{}, as the header has (separated by {})", table.header.size(), name),
                 .got = fmt::format("{}", scanned.rows[i].size())});
  }
  table.rows.assign(scanned.rows.begin() + 1, scanned.rows.end());
  table.lines.assign(scanned.lines.begin() + 1, scanned.lines.end());
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
