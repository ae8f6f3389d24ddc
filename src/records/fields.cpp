// The values that JSON has, in both directions.
// In, out: fields.h.
#include "records/fields.h"

#include <fmt/format.h>

#include <algorithm>
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

const Json& Fields::checked(bool right, const char* wanted) const {
  if (!right) wrong(wanted);
  return *json_;
}

// A writer has no json_.
void Fields::value(double& v) {
  if (!reading()) *out_ = number_or_null(v);
  if (json_ == nullptr) return;
  v = checked(json_->is_number() && std::isfinite(json_->as_double()), "a finite number, or null").as_double();
}

void Fields::value(i64& v) {
  if (!reading()) *out_ = v;
  if (json_ == nullptr) return;
  const double number = json_->is_number() ? json_->as_double() : kUnknown;
  v = checked(std::floor(number) == number && std::fabs(number) < 9e15, "a whole number").as_int();
}

void Fields::value(bool& v) {
  if (!reading()) *out_ = v;
  if (json_ != nullptr) v = checked(json_->is_bool(), "true or false").as_bool();
}

void Fields::value(std::string& v) {
  if (!reading()) *out_ = v;
  if (json_ != nullptr) v = checked(json_->is_string(), "a string").as_string();
}

void Fields::value(Json& v) {
  if (!reading()) *out_ = v;
  if (reading()) v = json_ == nullptr ? Json() : *json_;
}

void Fields::value(Interval& v) {
  if (!reading()) *out_ = Json::object();
  (*this)("value", v.estimate)("low", v.low)("high", v.high);
}

void Fields::value(std::array<double, 2>& v) {
  std::vector<double> both(v.begin(), v.end());
  value(both);
  if (json_ != nullptr && both.size() != 2) wrong("two numbers");
  both.resize(2, kUnknown);
  v = {both[0], both[1]};
}

Fields Fields::child(const char* key) const {
  if (json_ != nullptr && !json_->is_object()) wrong("an object");
  return {json_ == nullptr ? nullptr : json_->find(key), file_, path_.empty() ? key : path_ + "." + key};
}

Fields Fields::child(std::size_t i) const {
  return {&(*json_)[static_cast<i64>(i)], file_, fmt::format("{}[{}]", path_, i)};
}

std::size_t Fields::count(const char* wanted) const {
  return json_ == nullptr ? 0 : static_cast<std::size_t>(checked(json_->is_array(), wanted).count());
}

std::vector<std::string> Fields::keys() const {
  std::vector<std::string> all;
  if (json_ == nullptr) return all;
  for (const auto& [key, value] : checked(json_->is_object(), "an object").as_object()) all.push_back(key);
  return all;
}

std::size_t Fields::index_of(const std::string& name, const char* const* names, std::size_t count) const {
  const auto* const at = std::find(names, names + count, name);
  if (at == names + count) wrong(fmt::format("one of '{}'", fmt::join(names, names + count, "', '")));
  return static_cast<std::size_t>(at - names);
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
