// JSON values: parse, build, print. Objects keep their order of insertion. Numbers are i64 or double; doubles print in
// the shortest form that reads back equal.
// Rules for all JSON that is read: UTF-8 with or without a byte order mark; a key that appears twice in one object is
// an Error; NaN and Infinity are an Error; half of a surrogate pair (\ud83d alone) becomes U+FFFD, as in jq.
// Rules for all JSON that is written: a number that is not finite prints as null (not known), and bytes that are not
// valid UTF-8 print as U+FFFD, so that every reader accepts the result.
// The parser is nlohmann-json's, in json.cpp alone, so that no other file pays for its header.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/types.h"

namespace moebius {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;

  // Copies, moves and the destructor are in json.cpp: inline, their recursion would be compiled into every user.
  Json() noexcept;
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();
  Json(std::nullptr_t) : value_(nullptr) {}
  Json(bool v) : value_(v) {}
  Json(int v) : value_(static_cast<i64>(v)) {}
  Json(i64 v) : value_(v) {}
  // Above 2^63 - 1 the nearest double: nothing wraps to a negative number.
  Json(u64 v) { v <= static_cast<u64>(INT64_MAX) ? value_ = static_cast<i64>(v) : value_ = static_cast<double>(v); }
  Json(u32 v) : value_(static_cast<i64>(v)) {}
  Json(long long v) : value_(static_cast<i64>(v)) {}
  Json(double v) : value_(v) {}
  Json(float v) : value_(static_cast<double>(v)) {}
  Json(const char* v);
  Json(std::string v);
  Json(std::string_view v);
  Json(Array v);
  template <typename T>
  Json(const std::vector<T>& items) : value_(Array(items.begin(), items.end())) {}

  static Json object(std::initializer_list<std::pair<std::string, Json>> items = {});
  static Json array() { return Json(Array{}); }

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  bool is_bool() const { return std::holds_alternative<bool>(value_); }
  bool is_int() const { return std::holds_alternative<i64>(value_); }
  bool is_number() const { return is_int() || std::holds_alternative<double>(value_); }
  bool is_string() const { return std::holds_alternative<std::string>(value_); }
  bool is_array() const { return std::holds_alternative<Array>(value_); }
  bool is_object() const { return std::holds_alternative<Object>(value_); }

  // Typed reads; a wrong type is an Error that says which type was wanted ("a number"), and which key holds it when the
  // value came from find() or at().
  bool as_bool() const;
  i64 as_int() const;        // a double with an integral value counts
  double as_double() const;  // an integer counts
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();

  // Object access. `find` gives nullptr when absent; `at` throws an Error that names the key.
  const Json* find(std::string_view key) const;
  Json* find(std::string_view key);
  const Json& at(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }
  // Adds or replaces.
  void set(std::string key, Json value);
  // Reads with a default when the key is absent or null.
  i64 get_int(std::string_view key, i64 otherwise) const;
  double get_double(std::string_view key, double otherwise) const;
  bool get_bool(std::string_view key, bool otherwise) const;
  std::string get_string(std::string_view key, std::string otherwise) const;
  const Array& get_array(std::string_view key) const;  // empty when the key is absent or null

  void push_back(Json value);
  // Elements of an array or members of an object; 0 for anything else.
  i64 count() const;
  const Json& operator[](i64 i) const { return as_array()[static_cast<std::size_t>(i)]; }

  // indent < 0: one line.
  std::string dump(int indent = -1) const;

  // `where`: a file name, perhaps with a line. Throws Error with `where`, line (when the text has several), column,
  // key.
  static Json parse(std::string_view text, const std::string& where);
  // Known files of other kinds (archives, Git LFS pointers, UTF-16) are named.
  static Json parse_file(const std::string& path);

  bool operator==(const Json& other) const;

 private:
  std::variant<std::nullptr_t, bool, i64, double, std::string, Array, Object> value_;
};

// JSON has no NaN and no infinity: such a value becomes null.
inline Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

// A TOML file as the same kind of value (tables become objects). Throws Error with file, line and column.
Json toml_parse_file(const std::string& path);
Json toml_parse(std::string_view text, const std::string& where);

}  // namespace moebius
