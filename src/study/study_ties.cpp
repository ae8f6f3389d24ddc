// A recursive-descent parser that computes with fractions, and the keys of a model as its variables.
// In, out: study_ties.h.
#include "study/study_ties.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "base/options.h"
#include "base/units.h"
#include "model/config.h"

namespace moebius::study {

namespace {

constexpr int kDepthMax = 50;  // of parentheses and signs

struct Fraction {
  i64 top = 0, bottom = 1;
};

class Parser {
 public:
  Parser(const std::string& text, const std::function<i64(const std::string&)>& value_of, const std::string& where)
      : text_(text), value_of_(value_of), where_(where) {}

  i64 run() {
    const Fraction result = sum();
    if (peek() != 0) fail("expected an operator");
    if (result.bottom != 1) {
      throw Error({.where = where_,
                   .what = fmt::format("'{}' is not a whole number", text_),
                   .wanted = "an integer",
                   .got = fmt::format("{}/{}", result.top, result.bottom)});
    }
    return result.top;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error({.where = where_,
                 .what = fmt::format("'{}': {} at character {}", text_, what, at_ + 1),
                 .wanted = "whole numbers and keys of the model with + - * / and parentheses: \"1024 / top-k\""});
  }

  i64 checked(bool overflow, i64 value) const {
    if (overflow) fail("the number is too large");
    return value;
  }
  i64 product(i64 a, i64 b) const {
    i64 value = 0;
    const bool overflow = __builtin_mul_overflow(a, b, &value);
    return checked(overflow || value == INT64_MIN, value);
  }

  Fraction reduced(i64 top, i64 bottom) const {
    if (bottom == 0) fail("division by zero");
    const i64 common = std::gcd(top, bottom) * (bottom < 0 ? -1 : 1);
    return {top / common, bottom / common};
  }

  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  Fraction sum() {
    Fraction left = term();
    for (;;) {
      const bool plus = take('+');
      if (!plus && !take('-')) return left;
      const Fraction right = term();
      const i64 a = product(left.top, right.bottom), b = product(right.top, left.bottom);
      i64 top = 0;
      const bool overflow = plus ? __builtin_add_overflow(a, b, &top) : __builtin_sub_overflow(a, b, &top);
      left = reduced(checked(overflow || top == INT64_MIN, top), product(left.bottom, right.bottom));
    }
  }

  Fraction term() {
    Fraction left = factor();
    for (;;) {
      const bool times = take('*');
      if (!times && !take('/')) return left;
      const Fraction right = factor();
      left = times ? reduced(product(left.top, right.top), product(left.bottom, right.bottom))
                   : reduced(product(left.top, right.bottom), product(left.bottom, right.top));
    }
  }

  Fraction factor() {
    if (++depth_ > kDepthMax) fail("too many parentheses or signs");
    Fraction value;
    if (take('(')) {
      value = sum();
      if (!take(')')) fail("expected ')'");
    } else if (take('-')) {
      value = factor();
      value.top = -value.top;
    } else {
      value.top = word();
    }
    --depth_;
    return value;
  }

  // A number or the value of a key.
  i64 word() {
    const char first = peek();
    const std::size_t begin = at_;
    const auto is = [&](std::size_t i, int (*kind)(int)) {
      return i < text_.size() && kind(static_cast<unsigned char>(text_[i])) != 0;
    };
    if (is(at_, std::isdigit)) {
      i64 value = 0;
      for (; is(at_, std::isdigit); ++at_) {
        i64 next = 0;
        const bool overflow = __builtin_add_overflow(product(value, 10), text_[at_] - '0', &next);
        value = checked(overflow, next);
      }
      return value;
    }
    if (!is(at_, std::isalpha)) fail(first == 0 ? "the expression ends too early" : "expected a number or a key");
    while (is(at_, std::isalnum) || (at_ < text_.size() && text_[at_] == '_') ||
           (at_ < text_.size() && text_[at_] == '-' && is(at_ + 1, std::isalpha))) {
      ++at_;
    }
    return value_of_(text_.substr(begin, at_ - begin));
  }

  const std::string& text_;
  const std::function<i64(const std::string&)>& value_of_;
  const std::string& where_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

std::string hyphened(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return key;
}

// The whole numbers of a model with their defaults.
std::map<std::string, i64> integer_keys() {
  model::ModelConfig config;
  OptionList list;
  config.describe(list);
  std::map<std::string, i64> keys;
  for (const Option& option : list.options()) {
    if (const auto* field = std::get_if<i64*>(&option.target)) keys[option.key] = **field;
  }
  return keys;
}

// The keys of one model, as the study file gives them.
class Values {
 public:
  Values(const Json& shared, const Json& overrides, const std::string& where) : where_(where) {
    for (const Json* table : {&shared, &overrides}) {
      for (const auto& [key, value] : table->as_object()) given_[hyphened(key)] = value;
    }
  }

  i64 value_of(const std::string& name) {
    const std::string key = hyphened(name);
    const auto known = defaults_.find(key);
    if (known == defaults_.end()) {
      std::vector<std::string> keys;
      for (const auto& [one, value] : defaults_) keys.push_back(one);
      throw Error({.where = where_,
                   .what = fmt::format("'{}' in an expression is not a whole-number key of a model", name),
                   .fix = nearest_advice(key, keys)});
    }
    const auto given = given_.find(key);
    if (given == given_.end()) return known->second;
    if (is_tie(key, given->second)) return tie(key, given->second.as_string());
    const Json& value = given->second;
    if (value.is_string()) return parse_count(value.as_string()).value_or(0);
    return value.as_int();
  }

  i64 tie(const std::string& key, const std::string& text) {
    if (std::find(open_.begin(), open_.end(), key) != open_.end()) {
      throw Error({.where = where_, .what = fmt::format("the expression of '{}' depends on itself", key)});
    }
    open_.push_back(key);
    const i64 value = tie_evaluate(
        text, [this](const std::string& name) { return value_of(name); }, fmt::format("{}, {}", where_, key));
    open_.pop_back();
    return value;
  }

 private:
  const std::map<std::string, i64> defaults_ = integer_keys();
  std::map<std::string, Json> given_;
  std::vector<std::string> open_;  // whose expressions are being computed
  const std::string& where_;
};

}  // namespace

i64 tie_evaluate(const std::string& text, const std::function<i64(const std::string&)>& value_of,
                 const std::string& where) {
  return Parser(text, value_of, where).run();
}

bool is_tie(const std::string& key, const Json& value) {
  static const std::map<std::string, i64> keys = integer_keys();
  return value.is_string() && keys.contains(hyphened(key)) && !parse_count(value.as_string());
}

void resolve_ties(const Json& shared, Json& overrides, const std::string& where) {
  Values values(shared, overrides, where);
  Json resolved = Json::object();
  for (const auto& [key, value] : overrides.as_object()) {
    resolved.set(key, is_tie(key, value) ? Json(values.tie(hyphened(key), value.as_string())) : value);
  }
  overrides = resolved;
}

void move_ties(Json& shared, Json& ties) {
  Json plain = Json::object();
  for (const auto& [key, value] : shared.as_object()) (is_tie(key, value) ? ties : plain).set(hyphened(key), value);
  shared = plain;
}

}  // namespace moebius::study
