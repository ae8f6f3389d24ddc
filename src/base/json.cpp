// Parsing by nlohmann-json's event interface straight into Json; printing is ours (one rule for numbers).
#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/utf8.h"

namespace moebius {

Json::Json() noexcept : value_(nullptr) {}
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;
Json::Json(const char* v) : value_(std::string(v)) {}
Json::Json(std::string v) : value_(std::move(v)) {}
Json::Json(std::string_view v) : value_(std::string(v)) {}
Json::Json(Array v) : value_(std::move(v)) {}

Json Json::object(std::initializer_list<std::pair<std::string, Json>> items) {
  Json j;
  j.value_ = Object(items.begin(), items.end());
  return j;
}

bool Json::operator==(const Json& other) const { return value_ == other.value_; }

namespace {

constexpr int kDepthMax = 200;
constexpr const char* kCorrect = "correct the file at this place";

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

// Builds Json values from parser events; refuses duplicate keys and absurd depth, and words every fault itself.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  bool null() override { return add(Json()); }
  bool boolean(bool v) override { return add(Json(v)); }
  bool number_integer(number_integer_t v) override { return add(Json(static_cast<i64>(v))); }
  bool number_unsigned(number_unsigned_t v) override { return add(Json(static_cast<u64>(v))); }
  bool number_float(number_float_t v, const string_t&) override { return add(Json(v)); }
  bool string(string_t& v) override { return add(Json(std::move(v))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(string_t& v) override {
    keys_.back() = v;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    constexpr int kNumberTooLarge = 406;
    const std::size_t at = std::min(position == 0 ? 0 : position - 1, text_.size());
    ErrorParts parts = e.id == kNumberTooLarge ? ErrorParts{.what = "a number is too large for 64 bits"} : explain(at);
    const std::size_t feed = text_.substr(0, at).rfind('\n');
    const std::string path = key_path();
    parts.where = place(at);
    parts.what += fmt::format(" (column {}{})", feed == std::string_view::npos ? at + 1 : at - feed,
                              path.empty() ? "" : fmt::format(", key '{}'", path));
    throw Error(std::move(parts));
  }

  Json take() { return std::move(root_); }

 private:
  bool open(Json container) {
    if (static_cast<int>(stack_.size()) >= kDepthMax) {
      throw Error({.where = where_, .what = fmt::format("JSON nested deeper than {} levels", kDepthMax)});
    }
    stack_.push_back(std::move(container));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    Json done = std::move(stack_.back());
    stack_.pop_back();
    keys_.pop_back();
    if (done.is_object()) refuse_duplicates(done.as_object());
    return add(std::move(done));
  }
  bool add(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      complete_ = true;
    } else if (stack_.back().is_array()) {
      stack_.back().push_back(std::move(value));
    } else {
      stack_.back().as_object().emplace_back(keys_.back(), std::move(value));
    }
    return true;
  }

  void refuse_duplicates(const Json::Object& members) const {
    constexpr std::size_t kFew = 12;  // up to here comparing all pairs is faster than a set
    std::unordered_set<std::string_view> seen(members.size() > kFew ? 2 * members.size() : 0);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const std::string_view key = members[i].first;
      bool twice = false;
      if (members.size() > kFew) {
        twice = !seen.insert(key).second;
      } else {
        for (std::size_t j = 0; j < i && !twice; ++j) twice = members[j].first == key;
      }
      if (!twice) continue;
      const std::string outer = key_path();
      throw Error({.where = where_,
                   .what = fmt::format("key '{}' appears twice{}", key,
                                       outer.empty() ? " in one object" : fmt::format(" in the object '{}'", outer)),
                   .fix = "keep one of the two"});
    }
  }

  // "model.vocab", "rows[3].text": where the parser is.
  std::string key_path() const {
    std::string path;
    for (std::size_t i = 0; i < stack_.size(); ++i) {
      if (stack_[i].is_array()) {
        path += fmt::format("[{}]", stack_[i].count());
      } else if (!keys_[i].empty()) {
        path += (path.empty() ? "" : ".") + keys_[i];
      }
    }
    return path;
  }

  // A text of one line is a row whose line `where_` names already, or a file of one line.
  std::string place(std::size_t at) const {
    const std::size_t first = text_.find('\n');
    if (first == std::string_view::npos || first + 1 >= text_.size()) return where_;
    const std::string_view before = text_.substr(0, at);
    return fmt::format("{}, line {}", where_, 1 + std::ranges::count(before, '\n'));
  }

  // The word, as Python and JavaScript write values, that includes the byte at `at`.
  std::string_view word_at(std::size_t at) const {
    const auto in_word = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '+' || c == '-' || c == '.';
    };
    std::size_t begin = std::min(at, text_.size()), end = begin;
    while (begin > 0 && in_word(text_[begin - 1])) --begin;
    while (end < text_.size() && end - begin < 40 && in_word(text_[end])) ++end;
    return text_.substr(begin, end - begin);
  }

  ErrorParts explain(std::size_t at) const {
    if (text_.find_first_not_of(" \t\r\n") == std::string_view::npos) {
      return {.what = "not valid JSON: the text is empty", .fix = "copy or write the file again"};
    }
    const std::string_view rest = text_.substr(at);
    if (rest.find_first_not_of(" \t\r\n") == std::string_view::npos && !complete_) {
      return {.what = "not valid JSON: the text ends before the value is complete",
              .fix =
                  "the file is cut off, or a value extends over several lines where one value per line is required "
                  "(jq -c . FILE writes that form)"};
    }
    const std::string_view word = word_at(at);
    if (is_one_of(word, {"NaN", "Infinity", "-Infinity", "nan", "inf", "-inf", "+Infinity"})) {
      return {.what = fmt::format("not valid JSON: {} is not a JSON number", word),
              .fix = "write null in its place, or leave the key out"};
    }
    if (is_one_of(word, {"None", "True", "False", "undefined"})) {
      return {.what = fmt::format("not valid JSON: {} is not a JSON value", word),
              .wanted = "null, true or false",
              .fix = "write the file with a JSON library, for example Python's json.dumps"};
    }
    if (complete_) {
      return {.what = "not valid JSON: there is more text after the end of the value",
              .wanted = "one value",
              .fix = "remove the text that follows; several values need a line each (JSON lines)"};
    }
    // The parser stops up to three bytes behind the one that makes a character invalid.
    if (const i64 invalid = find_invalid_utf8(text_); invalid >= 0 && std::abs(invalid - static_cast<i64>(at)) <= 3) {
      return {.what = fmt::format("not valid UTF-8: byte 0x{:02x}",
                                  static_cast<u8>(text_[static_cast<std::size_t>(invalid)])),
              .wanted = "text in UTF-8"};
    }
    const char c = text_[at < text_.size() ? at : text_.size() - 1];
    const auto byte = static_cast<u8>(c);
    if (byte < 0x20) {
      return {.what = fmt::format("not valid JSON: the control character 0x{:02x} inside a string or value", byte),
              .fix = "write it as an escape such as \\n or \\u0001"};
    }
    if (byte >= 0x80) return {.what = "not valid JSON: unexpected character outside of ASCII", .fix = kCorrect};
    return {.what = fmt::format("not valid JSON: unexpected '{}'", c),
            .fix = c == '\'' ? "use double quotes for JSON strings" : kCorrect};
  }

  std::string_view text_;
  std::string where_;
  Json root_;
  bool complete_ = false;
  std::vector<Json> stack_;
  std::vector<std::string> keys_;
};

// The code unit of the escape \uXXXX at `at`, or -1.
int escaped_unit(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = 0;
  const auto [end, error] = std::from_chars(text.data() + at + 2, text.data() + at + 6, unit, 16);
  return error == std::errc() && end == text.data() + at + 6 ? unit : -1;
}

// Replaces escapes of surrogates without their other half by \ufffd. Empty: there is none.
std::string replace_lone_surrogates(std::string_view text) {
  std::string out;
  for (std::size_t at = text.find('\\'); at != std::string_view::npos; at = text.find('\\', at)) {
    const int unit = escaped_unit(text, at);
    const bool high = unit >= 0xd800 && unit < 0xdc00, low = unit >= 0xdc00 && unit < 0xe000;
    if (high) {
      if (const int next = escaped_unit(text, at + 6); next >= 0xdc00 && next < 0xe000) {
        at += 12;
        continue;
      }
    }
    if (high || low) {
      if (out.empty()) out = text;
      out.replace(at, 6, "\\ufffd");
    }
    at += 2;
  }
  return out;
}

void dump_character(char c, std::string& out) {
  switch (c) {
    case '"': out += "\\\""; break;
    case '\\': out += "\\\\"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default:
      if (static_cast<unsigned char>(c) < 0x20) {
        out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      } else {
        out += c;
      }
  }
}

void dump_string(std::string_view text, std::string& out) {
  out += '"';
  for (;;) {
    const i64 invalid = find_invalid_utf8(text);
    for (const char c : text.substr(0, invalid < 0 ? text.size() : static_cast<std::size_t>(invalid))) {
      dump_character(c, out);
    }
    if (invalid < 0) break;
    out += "\\ufffd";
    text.remove_prefix(static_cast<std::size_t>(invalid) + 1);
  }
  out += '"';
}

void newline(std::string& out, int indent, int depth) {
  if (indent < 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent) * static_cast<std::size_t>(depth), ' ');
}

template <typename Items, typename Write>
void dump_items(const Items& items, const char* brackets, std::string& out, int indent, int depth, const Write& write) {
  out += brackets[0];
  for (const auto& item : items) {
    if (&item != &items.front()) out += ',';
    newline(out, indent, depth + 1);
    write(item);
  }
  if (!items.empty()) newline(out, indent, depth);
  out += brackets[1];
}

void dump_value(const Json& value, std::string& out, int indent, int depth) {
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int()) {
    out += fmt::format("{}", value.as_int());
  } else if (value.is_number()) {
    const double v = value.as_double();
    if (!std::isfinite(v)) {
      out += "null";
    } else {
      std::string text = fmt::format("{}", v);
      if (text.find_first_of(".eEn") == std::string::npos) text += ".0";
      out += text;
    }
  } else if (value.is_string()) {
    dump_string(value.as_string(), out);
  } else if (value.is_array()) {
    dump_items(value.as_array(), "[]", out, indent, depth,
               [&](const Json& item) { dump_value(item, out, indent, depth + 1); });
  } else {
    dump_items(value.as_object(), "{}", out, indent, depth, [&](const auto& member) {
      dump_string(member.first, out);
      out += indent < 0 ? ":" : ": ";
      dump_value(member.second, out, indent, depth + 1);
    });
  }
}

// The value that find() gave last in this thread, and its key: wrong_type() names the key when it is about that value.
thread_local const Json* last_found = nullptr;
thread_local std::string last_key;

[[noreturn]] void wrong_type(const char* wanted, const Json& got) {
  std::string text = got.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  const bool known = &got == last_found;
  throw Error({.what = known ? fmt::format("key '{}' has the wrong type", last_key) : "a value has the wrong type",
               .wanted = wanted,
               .got = text});
}

// The alternative T of `variant`, which is the value of `json`.
template <typename T, typename Variant>
auto& typed(Variant& variant, const char* wanted, const Json& json) {
  if (auto* value = std::get_if<T>(&variant)) return *value;
  wrong_type(wanted, json);
}

}  // namespace

bool Json::as_bool() const { return typed<bool>(value_, "true or false", *this); }

i64 Json::as_int() const {
  if (is_int()) return std::get<i64>(value_);
  if (const double* v = std::get_if<double>(&value_); v != nullptr && std::floor(*v) == *v && std::fabs(*v) < 9e15) {
    return static_cast<i64>(*v);
  }
  wrong_type("a whole number", *this);
}

double Json::as_double() const {
  if (is_int()) return static_cast<double>(std::get<i64>(value_));
  if (const double* v = std::get_if<double>(&value_)) return *v;
  wrong_type("a number", *this);
}

const std::string& Json::as_string() const { return typed<std::string>(value_, "a string", *this); }
const Json::Array& Json::as_array() const { return typed<Array>(value_, "an array", *this); }
Json::Array& Json::as_array() { return typed<Array>(value_, "an array", *this); }
const Json::Object& Json::as_object() const { return typed<Object>(value_, "an object", *this); }
Json::Object& Json::as_object() { return typed<Object>(value_, "an object", *this); }

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : std::get<Object>(value_)) {
    if (name != key) continue;
    last_found = &value;
    last_key = key;
    return &value;
  }
  return nullptr;
}

Json* Json::find(std::string_view key) { return const_cast<Json*>(static_cast<const Json*>(this)->find(key)); }

const Json& Json::at(std::string_view key) const {
  const Json* value = find(key);
  if (value == nullptr) throw Error({.what = fmt::format("key '{}' is missing", key)});
  return *value;
}

void Json::set(std::string key, Json value) {
  if (!is_object()) value_ = Object{};
  if (Json* existing = find(key)) {
    *existing = std::move(value);
  } else {
    std::get<Object>(value_).emplace_back(std::move(key), std::move(value));
  }
}

i64 Json::get_int(std::string_view key, i64 otherwise) const {
  const Json* value = find(key);
  return value == nullptr || value->is_null() ? otherwise : value->as_int();
}

double Json::get_double(std::string_view key, double otherwise) const {
  const Json* value = find(key);
  return value == nullptr || value->is_null() ? otherwise : value->as_double();
}

bool Json::get_bool(std::string_view key, bool otherwise) const {
  const Json* value = find(key);
  return value == nullptr || value->is_null() ? otherwise : value->as_bool();
}

std::string Json::get_string(std::string_view key, std::string otherwise) const {
  const Json* value = find(key);
  if (value == nullptr || value->is_null()) return otherwise;
  return value->as_string();
}

const Json::Array& Json::get_array(std::string_view key) const {
  static const Array none;
  const Json* value = find(key);
  return value == nullptr || value->is_null() ? none : value->as_array();
}

void Json::push_back(Json value) {
  if (!is_array()) value_ = Array{};
  std::get<Array>(value_).push_back(std::move(value));
}

i64 Json::count() const {
  if (is_array()) return static_cast<i64>(std::get<Array>(value_).size());
  if (is_object()) return static_cast<i64>(std::get<Object>(value_).size());
  return 0;
}

std::string Json::dump(int indent) const {
  std::string out;
  dump_value(*this, out, indent, 0);
  return out;
}

Json Json::parse(std::string_view text, const std::string& where) {
  if (text.size() >= 2 && (text.substr(0, 2) == "\xff\xfe" || text.substr(0, 2) == "\xfe\xff")) {
    refuse_file_kind(where, text, "JSON in UTF-8");
  }
  const std::string repaired = replace_lone_surrogates(text);
  if (!repaired.empty()) text = repaired;
  Builder builder(text, where);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    throw Error({.where = where, .what = "not valid JSON"});
  }
  return builder.take();
}

Json Json::parse_file(const std::string& path) {
  const std::string text = file_read(path);
  refuse_file_kind(path, text, "JSON");
  return parse(text, path);
}

}  // namespace moebius
