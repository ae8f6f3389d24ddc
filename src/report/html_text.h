// Text of a page or an SVG. In: any text, also from an unchecked file; out: the same with the
// characters that mean something to a browser replaced. Not for scripts and links: report/html.h has their ways.
#pragma once

#include <string>
#include <string_view>

namespace moebius::report {

// & < > " and ' as entities: safe between tags and in a quoted attribute.
std::string html_escape(std::string_view text);

}  // namespace moebius::report
