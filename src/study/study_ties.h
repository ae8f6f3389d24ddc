// Ties in a study file: a number of a model written as an expression of its other keys, such as
// expert-width = "1024 / top-k". In: the text, the values of the keys; out: an integer. Not for the study file's tables:
// study_file.h.
#pragma once

#include <functional>
#include <string>

#include "base/json.h"
#include "base/types.h"

namespace moebius::study {

// The value of `text`: whole numbers and keys with + - * / and parentheses, computed exactly; a hyphen between letters
// belongs to the key. `value_of` returns the value of a key, or throws. Throws Error for anything else, for a result that
// is no integer, for a division by zero and for numbers beyond 64 bits.
i64 tie_evaluate(const std::string& text, const std::function<i64(const std::string&)>& value_of,
                 const std::string& where);

// Whether the value of a model's key is an expression: text, for a key that holds a whole number, that is no number.
bool is_tie(const std::string& key, const Json& value);

// Replaces every expression in `overrides` by its value; `shared` has the other keys of the model. `where` names the
// model. Throws Error as above, for unknown keys, and for expressions that depend on themselves.
void resolve_ties(const Json& shared, Json& overrides, const std::string& where);

// Moves the expressions of the table `shared` to `ties`.
void move_ties(Json& shared, Json& ties);

}  // namespace moebius::study
