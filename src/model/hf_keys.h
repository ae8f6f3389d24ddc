// Typed reads of a config.json: a value of the wrong type or out of range is an Error that names the file and the key.
// A missing key gives the default; null is accepted only where the reading function says so. Not for unknown keys.
#pragma once

#include <string>

#include "base/json.h"

namespace moebius::model {

class HfKeys {
 public:
  // Both must outlive the reader. `json` must be an object.
  HfKeys(const Json& json, const std::string& where);

  const Json* find(const char* key) const;  // nullptr: missing or null
  i64 whole(const char* key, i64 otherwise, i64 least = 1) const;
  i64 whole_or_null(const char* key, i64 otherwise, i64 if_null, i64 least = 1) const;
  double number(const char* key, double otherwise, double least) const;
  bool flag(const char* key, bool otherwise) const;
  std::string word(const char* key, std::string otherwise) const;

  const std::string& where() const { return where_; }
  // The key changes the network in a way that is not implemented.
  [[noreturn]] void refuse(const char* key, const std::string& wanted) const;

 private:
  [[noreturn]] void wrong(const char* key, const std::string& wanted) const;
  const Json& json_;
  std::string where_;
};

}  // namespace moebius::model
