// One list of a record's fields for its writer and its reader, so that the two cannot drift apart.
//   struct Point { std::string run; double loss = kUnknown; void visit(Fields& f) { f("run", run)("loss", loss); } };
// In: a struct with such a `visit`; out: JSON, or the struct filled from JSON. Numbers that are not finite are written
// as null; a key that is missing or null keeps its default; a value of the wrong type is an Error that names file and
// key, like "laws[2].residuals[7].measured".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/options.h"
#include "base/statistics.h"

namespace moebius::records {

// The names of an enumeration with the values 0, 1, 2, ...; specialised beside it.
template <typename E>
inline constexpr std::array<const char*, 0> kEnumNames = {};

template <typename E>
const char* enum_name(E value) {
  return kEnumNames<E>[static_cast<std::size_t>(value)];
}

// The value with this name. For any other name an Error with the nearest; `what`: what the names are of.
template <typename E>
E enum_parse(const std::string& name, std::string_view what, const std::string& where) {
  return static_cast<E>(index_of_word(name, {kEnumNames<E>.begin(), kEnumNames<E>.end()}, what, where));
}

// What a null in an array stands for.
template <typename T>
T empty_value() {
  if constexpr (std::is_same_v<T, double>) return kUnknown;
  return T();
}

class Fields {
 public:
  // Reads `json`, the content of `file`.
  Fields(const Json& json, std::string file) : Fields(&json, std::move(file), "") {}
  // Writes to `out`; with `brief` without what is as long as the runs or the samples.
  explicit Fields(Json* out, bool brief = false) : out_(out), brief_(brief) {}

  bool reading() const { return out_ == nullptr; }
  bool brief() const { return brief_; }
  bool has(const char* key) const;  // reading: the key is there and not null

  template <typename T>
  Fields& operator()(const char* key, T& value) {
    return member(key, [&](Fields& at) { at.value(value); });
  }
  // The members of the array `key`, visited by `visit_one(Fields&, T&)`.
  template <typename T, typename Visit>
  Fields& each(const char* key, std::vector<T>& values, const Visit& visit_one) {
    return member(key, [&](Fields& at) {
      at.elements(values, [&](Fields& one, T& value) {
        if (!one.reading()) *one.out_ = Json::object();
        visit_one(one, value);
      });
    });
  }
  // An object with one member for each of `values`, named by its `name`.
  template <typename T>
  Fields& named(const char* key, std::vector<T>& values) {
    return member(key, [&](Fields& at) {
      if (at.reading()) {
        for (const std::string& name : at.keys()) values.emplace_back().name = name;
      } else {
        *at.out_ = Json::object();
      }
      for (T& one : values) at(one.name.c_str(), one);
    });
  }
  // Written only when it is known, and not as null.
  Fields& if_known(const char* key, double& value);
  // Empty is written as null.
  Fields& or_null(const char* key, std::string& value);

  // The whole value, not a member.
  void value(double& v);
  void value(i64& v);
  void value(bool& v);
  void value(std::string& v);
  void value(Json& v);                   // as it is
  void value(Interval& v);               // {value, low, high}
  void value(std::array<double, 2>& v);  // [low, high]
  template <typename T>
  void value(T& v) {
    if constexpr (std::is_enum_v<T>) {
      std::string name = enum_name(v);
      value(name);
      if (reading() && json_ != nullptr) v = static_cast<T>(index_of(name, kEnumNames<T>.data(), kEnumNames<T>.size()));
    } else {
      if (!reading()) *out_ = Json::object();
      v.visit(*this);
    }
  }
  template <typename T>
  void value(std::optional<T>& v) {
    if (reading() ? json_ == nullptr : !v) return;  // a Json is null
    if (reading()) v.emplace();
    value(*v);
  }
  template <typename T>
  void value(std::vector<T>& v) {
    elements(v, [](Fields& one, T& element) { one.value(element); });
  }

  const std::string& file() const { return file_; }
  // Throws Error with this value's key.
  [[noreturn]] void wrong(const std::string& wanted) const;

 private:
  Fields(const Json* json, std::string file, std::string path)
      : json_(json != nullptr && json->is_null() ? nullptr : json), file_(std::move(file)), path_(std::move(path)) {}

  template <typename Visit>
  Fields& member(const char* key, const Visit& visit_value) {
    visit_child(key, visit_value);
    return *this;
  }
  template <typename T, typename Visit>
  void elements(std::vector<T>& v, const Visit& visit_one) {
    if (reading()) v.assign(count("an array"), empty_value<T>());
    if (!reading()) *out_ = Json::array();
    for (std::size_t i = 0; i < v.size(); ++i) visit_child(i, [&](Fields& one) { visit_one(one, v[i]); });
  }
  // `place`: a key or an index.
  template <typename Place, typename Visit>
  void visit_child(Place place, const Visit& visit_value) {
    Json written;
    Fields at = reading() ? child(place) : Fields(&written, brief_);
    visit_value(at);
    if (!reading()) put(place, std::move(written));
  }
  void put(const char* key, Json value) { out_->as_object().emplace_back(key, std::move(value)); }
  void put(std::size_t, Json value) { out_->push_back(std::move(value)); }
  const Json& checked(bool right, const char* wanted) const;  // json_, which must be `right`
  Fields child(const char* key) const;
  Fields child(std::size_t i) const;
  std::size_t count(const char* wanted) const;  // 0 for a missing value
  std::vector<std::string> keys() const;
  std::size_t index_of(const std::string& name, const char* const* names, std::size_t count) const;

  Json* out_ = nullptr;
  bool brief_ = false;
  const Json* json_ = nullptr;  // nullptr: missing
  std::string file_, path_;
};

// A whole file's struct from its JSON (Errors name `where`), and back. Writing takes a copy since `visit` may fill what
// it visits.
template <typename T>
T fields_from_json(const Json& json, const std::string& where) {
  T value;
  Fields fields(json, where);
  value.visit(fields);
  return value;
}
template <typename T>
Json fields_to_json(T value, bool brief = false) {
  Json json = Json::object();
  Fields fields(&json, brief);
  value.visit(fields);
  return json;
}

// Throws Error with `fix` when `json` is no object with every key of `all`.
void check_keys(const Json& json, const Json& all, const std::string& where, const std::string& fix);

// Like fields_from_json, for what a program saved for itself: every key must be there. Errors give the advice `fix`.
template <typename T>
T fields_from_json_all(const Json& json, const std::string& where, const std::string& fix) {
  check_keys(json, fields_to_json(T()), where, fix);
  try {
    return fields_from_json<T>(json, where);
  } catch (const Error& e) {
    ErrorParts parts = e.parts();
    parts.fix = fix;
    throw Error(std::move(parts));
  }
}

}  // namespace moebius::records
