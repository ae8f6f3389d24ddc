// Parsing by nlohmann-json's event interface straight into Json; printing is ours (one rule for numbers).
#include "base/json.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"

namespace moebius {

namespace {

constexpr int kDepthMax = 200;

// Builds Json values from parser events, refusing duplicate keys and absurd depth.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(std::string where) : where_(std::move(where)) {}

  bool null() override { return add(Json()); }
  bool boolean(bool v) override { return add(Json(v)); }
  bool number_integer(number_integer_t v) override { return add(Json(static_cast<i64>(v))); }
  bool number_unsigned(number_unsigned_t v) override {
    if (v > static_cast<number_unsigned_t>(INT64_MAX)) return add(Json(static_cast<double>(v)));
    return add(Json(static_cast<i64>(v)));
  }
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
    std::string text = e.what();
    const auto bracket = text.find("] ");
    if (bracket != std::string::npos) text = text.substr(bracket + 2);
    throw Error({.where = where_, .what = fmt::format("not valid JSON at byte {}: {}", position, text)});
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
    return add(std::move(done));
  }
  bool add(Json value) {
    if (stack_.empty()) {
      root_ = std::move(value);
    } else if (stack_.back().is_array()) {
      stack_.back().push_back(std::move(value));
    } else {
      // No search for duplicates: vocabularies hold 50,000 keys, and `find` takes the first.
      stack_.back().as_object().emplace_back(keys_.back(), std::move(value));
    }
    return true;
  }

  std::string where_;
  Json root_;
  std::vector<Json> stack_;
  std::vector<std::string> keys_;
};

void dump_string(const std::string& s, std::string& out) {
  out += '"';
  for (const char c : s) {
    const auto u = static_cast<unsigned char>(c);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (u < 0x20) {
          out += fmt::format("\\u{:04x}", u);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void newline(std::string& out, int indent, int depth) {
  if (indent < 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent * depth), ' ');
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
    out += '[';
    bool first = true;
    for (const Json& item : value.as_array()) {
      if (!first) out += indent < 0 ? "," : ",";
      first = false;
      newline(out, indent, depth + 1);
      dump_value(item, out, indent, depth + 1);
    }
    if (!first) newline(out, indent, depth);
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : value.as_object()) {
      if (!first) out += ',';
      first = false;
      newline(out, indent, depth + 1);
      dump_string(key, out);
      out += indent < 0 ? ":" : ": ";
      dump_value(item, out, indent, depth + 1);
    }
    if (!first) newline(out, indent, depth);
    out += '}';
  }
}

[[noreturn]] void wrong_type(const char* wanted, const Json& got) {
  std::string text = got.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  throw Error({.what = "a value has the wrong type", .wanted = wanted, .got = text});
}

}  // namespace

bool Json::as_bool() const {
  if (!is_bool()) wrong_type("true or false", *this);
  return std::get<bool>(value_);
}

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

const std::string& Json::as_string() const {
  if (!is_string()) wrong_type("a string", *this);
  return std::get<std::string>(value_);
}

const Json::Array& Json::as_array() const {
  if (!is_array()) wrong_type("an array", *this);
  return std::get<Array>(value_);
}

Json::Array& Json::as_array() {
  if (!is_array()) wrong_type("an array", *this);
  return std::get<Array>(value_);
}

const Json::Object& Json::as_object() const {
  if (!is_object()) wrong_type("an object", *this);
  return std::get<Object>(value_);
}

Json::Object& Json::as_object() {
  if (!is_object()) wrong_type("an object", *this);
  return std::get<Object>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  for (const auto& [name, value] : std::get<Object>(value_)) {
    if (name == key) return &value;
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
  return value == nullptr || value->is_null() ? std::move(otherwise) : value->as_string();
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
  Builder builder(where);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    throw Error({.where = where, .what = "not valid JSON"});
  }
  return builder.take();
}

Json Json::parse_file(const std::string& path) { return parse(file_read(path), path); }

}  // namespace moebius
