// The values that JSON has, in both directions.
// In, out: fields.h.
#include "records/fields.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace moebius::records {

bool Fields::has(const char* key) const { return reading() && child(key).json_ != nullptr; }

Fields& Fields::if_known(const char* key, double& v) {
  if (!reading() && !std::isfinite(v)) return *this;
  return (*this)(key, v);
}

Fields& Fields::or_null(const char* key, std::string& v) {
  return member(key, [&](Fields& at) {
    if (at.reading() || !v.empty()) at.value(v);
  });
}

void Fields::value(double& v) {
  if (!reading()) {
    *out_ = std::isfinite(v) ? Json(v) : Json();
  } else if (json_ != nullptr) {
    if (!json_->is_number() || !std::isfinite(json_->as_double())) wrong("a finite number, or null");
    v = json_->as_double();
  }
}

void Fields::value(i64& v) {
  if (!reading()) {
    *out_ = v;
  } else if (json_ != nullptr) {
    const double number = json_->is_number() ? json_->as_double() : kUnknown;
    if (!(std::floor(number) == number && std::fabs(number) < 9e15)) wrong("a whole number");
    v = json_->as_int();
  }
}

void Fields::value(bool& v) {
  if (!reading()) {
    *out_ = v;
  } else if (json_ != nullptr) {
    if (!json_->is_bool()) wrong("true or false");
    v = json_->as_bool();
  }
}

void Fields::value(std::string& v) {
  if (!reading()) {
    *out_ = v;
  } else if (json_ != nullptr) {
    if (!json_->is_string()) wrong("a string");
    v = json_->as_string();
  }
}

void Fields::value(Json& v) {
  if (!reading()) {
    *out_ = v;
  } else {
    v = json_ == nullptr ? Json() : *json_;
  }
}

void Fields::value(Interval& v) {
  if (!reading()) *out_ = Json::object();
  (*this)("value", v.estimate)("low", v.low)("high", v.high);
}

void Fields::value(std::array<double, 2>& v) {
  if (!reading()) {
    *out_ = Json::array();
  } else {
    v = {kUnknown, kUnknown};
    if (json_ != nullptr && count("two numbers") != 2) wrong("two numbers");
  }
  for (std::size_t i = 0; i < 2 && (!reading() || json_ != nullptr); ++i)
    element(i, [&](Fields& one) { one.value(v[i]); });
}

Fields Fields::child(const char* key) const {
  if (json_ != nullptr && !json_->is_object()) wrong("an object");
  return {json_ == nullptr ? nullptr : json_->find(key), file_, path_.empty() ? key : path_ + "." + key};
}

Fields Fields::child(std::size_t i) const {
  return {&(*json_)[static_cast<i64>(i)], file_, fmt::format("{}[{}]", path_, i)};
}

std::size_t Fields::count(const char* wanted) const {
  if (json_ == nullptr) return 0;
  if (!json_->is_array()) wrong(wanted);
  return static_cast<std::size_t>(json_->count());
}

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> all;
  if (json_ == nullptr) return all;
  if (!json_->is_object()) wrong("an object");
  for (const auto& [key, value] : json_->as_object()) all.push_back(key);
  return all;
}

std::size_t Fields::index_of(const std::string& name, const char* const* names, std::size_t count) const {
  std::string known;
  for (std::size_t i = 0; i < count; ++i) {
    if (name == names[i]) return i;
    known += fmt::format("{}'{}'", i == 0 ? "" : ", ", names[i]);
  }
  wrong("one of " + known);
}

void check_keys(const Json& json, const Json& all, const std::string& where, const std::string& fix) {
  for (const auto& [key, value] : all.as_object()) {
    if (json.is_object() && json.contains(key)) continue;
    throw Error({.where = where, .what = fmt::format("the file is damaged: '{}' is missing", key), .fix = fix});
  }
}

void Fields::wrong(const std::string& wanted) const {
  std::string got = json_ == nullptr    ? "nothing"
                    : json_->is_array() ? fmt::format("an array of {}", json_->count())
                                        : json_->dump().substr(0, 60);
  throw Error({.where = file_,
               .what = path_.empty() ? "the file has the wrong form" : fmt::format("'{}' has the wrong form", path_),
               .wanted = wanted,
               .got = std::move(got),
               .fix = "docs/formats.md describes this file; write it again with the command named there"});
}

}  // namespace moebius::records
