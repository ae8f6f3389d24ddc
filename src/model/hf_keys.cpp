// Type and range checks of config.json's values.
#include "model/hf_keys.h"

#include <fmt/format.h>

#include <cmath>

#include "base/error.h"

namespace moebius::model {

namespace {

constexpr std::size_t kShownCharacters = 60;

std::string shown(const Json& value) {
  std::string text = value.dump();
  if (text.size() > kShownCharacters) text = text.substr(0, kShownCharacters) + "...";
  return text;
}

}  // namespace

HfKeys::HfKeys(const Json& json, const std::string& where) : json_(json), where_(where) {
  if (!json.is_object()) throw Error({.where = where, .what = "not a JSON object", .got = shown(json)});
}

const Json* HfKeys::find(const char* key) const {
  const Json* value = json_.find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

i64 HfKeys::whole(const char* key, i64 otherwise, i64 least) const {
  const Json* value = json_.find(key);
  if (value == nullptr) return otherwise;
  const std::string wanted = fmt::format("a whole number, at least {}", least);
  if (!value->is_int() || value->as_int() < least) wrong(key, wanted);
  return value->as_int();
}

i64 HfKeys::whole_or_null(const char* key, i64 otherwise, i64 if_null, i64 least) const {
  const Json* value = json_.find(key);
  return value != nullptr && value->is_null() ? if_null : whole(key, otherwise, least);
}

double HfKeys::number(const char* key, double otherwise, double least) const {
  const Json* value = json_.find(key);
  if (value == nullptr) return otherwise;
  const std::string wanted = fmt::format("a number, at least {:g}", least);
  if (!value->is_number() || !std::isfinite(value->as_double()) || value->as_double() < least) wrong(key, wanted);
  return value->as_double();
}

bool HfKeys::flag(const char* key, bool otherwise) const {
  const Json* value = json_.find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_bool()) wrong(key, "true or false");
  return value->as_bool();
}

std::string HfKeys::word(const char* key, std::string otherwise) const {
  const Json* value = json_.find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) wrong(key, "a string");
  return value->as_string();
}

void HfKeys::refuse(const char* key, const std::string& wanted) const {
  const Json* value = json_.find(key);
  throw Error({.where = where_,
               .what = fmt::format("'{}' changes the network in a way that is not implemented", key),
               .wanted = wanted,
               .got = value == nullptr ? "no such key" : shown(*value)});
}

void HfKeys::wrong(const char* key, const std::string& wanted) const {
  const Json& value = json_.at(key);
  const char* type = value.is_null()     ? ""
                     : value.is_string() ? "the string "
                     : value.is_array()  ? "the array "
                     : value.is_object() ? "the object "
                                         : "";
  throw Error({.where = where_,
               .what = fmt::format("'{}' has a wrong value", key),
               .wanted = wanted,
               .got = type + shown(value)});
}

}  // namespace moebius::model
