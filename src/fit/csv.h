// A strict reader of CSV tables (RFC 4180): one header line, fields perhaps in double quotes, LF, CRLF or CR. The
// separator is a comma, semicolon or tab, whichever is most frequent in the header. In: text; out: header and rows of
// texts with their line numbers. Every fault is an Error with file and line: a field too many or few, a duplicate name,
// a quote left open, a NUL byte. Meaning of columns: runs.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace moebius::fit {

struct CsvTable {
  std::string where;  // file name for messages
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;  // each as long as the header
  std::vector<i64> lines;                      // the line of the file where a row begins
};

CsvTable csv_parse(std::string_view text, const std::string& where);

// A number in plain or scientific notation, all of `text` but blanks around it. NaN for an empty field; throws Error
// with `where` for anything else. "inf" and "nan" are accepted here; the caller decides about them.
double csv_number(std::string_view text, const std::string& where);

}  // namespace moebius::fit
