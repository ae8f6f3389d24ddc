// Templates over a row of a task's file: {field}, {outer.inner}, {list.0}, {list.-1}, and filters after '|':
// {list | join ", "}, {text | before "_"}, {text | after "_"}, {text | strip}. In: a template and a row. Out: a text, or
// the value itself for a template that is one field. Not for regular expressions: text_rules.h.
#pragma once

#include <string>

#include "base/error.h"
#include "base/json.h"

namespace moebius::eval {

// A row has no value where the task needs one (null, a missing field, an empty list): its item is skipped, not the task.
struct MissingValue : Error {
  using Error::Error;
};

// Replaces {...} by the row's values; {{ and }} are braces. A template that is one field alone gives the value itself (a
// list stays a list), otherwise the result is a string, and a list or an object in it is an error that shows the forms
// above. Throws MissingValue for a field or an element that is null or missing, naming the nearest. `where` names the row.
Json render(const std::string& pattern, const Json& row, const std::string& where);
std::string render_text(const std::string& pattern, const Json& row, const std::string& where);
// How a value is written in a text: 51.0 as "51".
std::string value_text(const Json& value);
// The value of a field as templates name it ("outer.inner", "list.0"); null when it is missing or null.
const Json* find_field(const Json& row, const std::string& path);

}  // namespace moebius::eval
