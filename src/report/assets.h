// Files embedded into the program: chart.js (MIT licence, from the distribution), page.css, page.js.
// Their contents are put into a generated source file when the program is built (cmake/embed.cmake).
#pragma once

#include <string_view>

namespace moebius::report {

std::string_view asset_chart_js();
std::string_view asset_page_js();
std::string_view asset_page_css();

}  // namespace moebius::report
