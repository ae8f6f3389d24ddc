// One list per part defines its options: key, field, unit, range, choices, help. The TOML reader, the command-line
// flags, the help text, the record of the resolved values and docs/options.md are made from that list.
// Flags override the TOML file, which overrides the defaults. Unknown, repeated or out-of-range options are Errors that
// suggest the closest key. Environment variables are not read.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius {

// What an option may have in addition to its key and field.
struct OptionNotes {
  std::string unit = {};
  double min = -1e300;
  double max = 1e300;
  std::vector<std::string> choices = {};
};

// A field of an enumeration with the values 0, 1, 2, ...; OptionNotes::choices are their names in this order.
struct EnumField {
  template <typename E>
  requires std::is_enum_v<E> EnumField(E* field)  // NOLINT: a target like the pointers next to it
      : field(field),
        get([](const void* f) { return static_cast<std::size_t>(*static_cast<const E*>(f)); }),
        set([](void* f, std::size_t value) { *static_cast<E*>(f) = static_cast<E>(value); }) {}
  void* field;
  std::size_t (*get)(const void* field);
  void (*set)(void* field, std::size_t value);
};

struct Option {
  using Target = std::variant<bool*, i64*, double*, std::string*, std::vector<std::string>*, std::vector<i64>*,
                              std::vector<double>*, EnumField>;
  std::string key;  // words joined by hyphens; the same in TOML (hyphens or underscores) and as --key
  Target target;
  std::string help;
  OptionNotes notes;
};

class OptionList {
 public:
  OptionList() = default;
  OptionList(const OptionList&) = delete;
  OptionList& operator=(const OptionList&) = delete;

  void add(std::string key, Option::Target target, std::string help, OptionNotes notes = {});
  const std::vector<Option>& options() const { return options_; }

  // Sets the fields named in `object`; `where` names the file or table for error texts.
  void set_from_json(const Json& object, const std::string& where);
  // Sets one field from the text of a flag. Lists are separated by commas.
  void set_from_text(std::string_view key, const std::string& text, const std::string& where);
  // The resolved values, keys with underscores.
  Json to_json() const;

 private:
  Option& find_or_throw(std::string_view key, const std::string& where);
  std::vector<Option> options_;
};

// The advice for a word that is none of `candidates`: "did you mean '...'?" with the closest by edit distance, or
// `otherwise` if none is close.
std::string nearest_advice(std::string_view word, const std::vector<std::string>& candidates,
                           const std::string& otherwise = "");
// The place of `word` among `known`, the names of a `what`. Throws Error for any other word.
std::size_t index_of_word(std::string_view word, const std::vector<std::string>& known, std::string_view what,
                          const std::string& where);

}  // namespace moebius
