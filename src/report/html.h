// The page: one HTML file that opens without a network, with the figures' data, the scripts and the styles inside.
// In: the results of the other files of this folder; out: text. Decides about appearance, not about content.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/figures.h"
#include "report/summary.h"
#include "report/tables.h"

namespace moebius::report {

// & < > " and ' as entities: safe between tags and in a quoted attribute.
std::string html_escape(std::string_view text);
// JSON that may be inside <script>: no '<', '>' or '&', so no "</script>" and no "<!--".
std::string json_for_script(const Json& value);
// A CSV as a link's target.
std::string data_uri_csv(std::string_view csv);

std::string html_table(const Table& table);
std::string html_page(const StudyRecords& study, const Summary& summary, const std::vector<Figure>& figures);

}  // namespace moebius::report
