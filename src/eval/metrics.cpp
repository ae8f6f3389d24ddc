// Means and ratios over items.
#include "eval/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "base/check.h"
#include "base/options.h"
#include "eval/template.h"
#include "records/measure.h"

namespace moebius::eval {

Mean mean_of(const std::vector<double>& values) {
  Mean m;
  m.n = static_cast<i64>(values.size());
  if (m.n == 0) return m;
  double sum = 0;
  for (const double v : values) sum += v;
  m.mean = sum / static_cast<double>(m.n);
  if (m.n < 2) return m;
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  m.se = std::sqrt(squares / static_cast<double>(m.n - 1) / static_cast<double>(m.n));
  return m;
}

Mean ratio_of(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  CHECK(numerators.size() == denominators.size(), "pairs");
  Mean m;
  m.n = static_cast<i64>(numerators.size());
  double top = 0, bottom = 0;
  for (std::size_t i = 0; i < numerators.size(); ++i) {
    top += numerators[i];
    bottom += denominators[i];
  }
  if (bottom <= 0) return m;
  m.mean = top / bottom;
  if (m.n < 2) return m;
  double squares = 0;
  for (std::size_t i = 0; i < numerators.size(); ++i) {
    const double d = numerators[i] - m.mean * denominators[i];
    squares += d * d;
  }
  const auto n = static_cast<double>(m.n);
  m.se = std::sqrt(squares * n / (n - 1)) / bottom;
  return m;
}

namespace {

// The entry of a grade in the meta file of generated items; empty when it has none.
const Json& meta_of_grade(const Json& meta, const std::string& grade) {
  static const Json none = Json::object();
  const Json* grades = meta.find("grades");
  if (grades == nullptr) return none;
  if (const Json* entry = grades->find(grade)) return entry->is_object() ? *entry : none;
  if (!grades->is_array()) return none;
  for (const Json& entry : grades->as_array()) {
    const Json* name = entry.find("grade");
    if (name != nullptr && value_text(*name) == grade) return entry;
  }
  return none;
}

// Chance of an item: the grade's or the file's in the meta file, else the task file's, else 1 / choices.
double item_chance(const TaskSpec& spec, const EvalItem& item, const ItemScores& scores) {
  const Json& meta = meta_of_grade(spec.meta, item.grade);
  if (meta.contains("chance")) return meta.get_double("chance", scores.chance);
  const Json* whole = spec.meta.find("chance");
  if (whole != nullptr && whole->is_number()) return whole->as_double();
  return std::isfinite(spec.chance) ? spec.chance : scores.chance;
}

// Values by a name, in the order in which the names appear.
template <typename T>
using InOrder = std::vector<std::pair<std::string, std::vector<T>>>;

template <typename T>
void add_in_order(InOrder<T>& all, const std::string& name, const T& value) {
  auto at = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.first == name; });
  if (at == all.end()) at = all.insert(at, {name, {}});
  at->second.push_back(value);
}

void set_mean(Json& out, const std::string& name, const Mean& m) {
  out.set(name, m.mean);
  out.set(name + "_se", m.se);  // not finite: null
}

// What a score means. Further extractions are exact_match_NAME.
records::Measure measure_of(const std::string& name) {
  const std::vector<records::Measure>& known = records::known_measures();
  const bool extraction = name.starts_with("exact_match_");
  const auto at = std::find_if(known.begin(), known.end(), [&](const records::Measure& m) {
    return m.name == (extraction ? "exact_match" : name);
  });
  CHECK(at != known.end(), "every score is in the table");
  records::Measure measure = *at;
  measure.name = name;
  return measure;
}

// The measures of a record that has `names`.
std::vector<records::Measure> measures_for(const TaskSpec& spec, const std::vector<std::string>& names, double chance) {
  const auto has = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  const std::string by_kind = has("acc") ? "acc" : has("exact_match") ? "exact_match" : "bits_per_byte";
  const std::string score = spec.measure.empty() ? by_kind : spec.measure;
  std::vector<records::Measure> measures;
  for (const std::string& name : names) {
    records::Measure m = measure_of(name);
    if (m.unit == records::Unit::share_of_items) m.chance = chance;
    if (name.starts_with("exact_match_any")) {  // of independent guesses
      m.chance = 1 - std::pow(1 - chance, static_cast<double>(spec.generation.repeats));
    }
    m.main = name == score || name == "task_loss" || name == "knowledge_share";
    measures.push_back(std::move(m));
  }
  return measures;
}

// Perplexities of whole texts: exp(nats / words), and so on, over all items. Their errors follow from those of the exponents.
void set_perplexities(const std::vector<RollingSums>& all, std::vector<std::string>& names, Json& out) {
  std::vector<double> nats, tokens, words, bytes;
  for (const RollingSums& one : all) {
    nats.push_back(one.nats);
    tokens.push_back(one.tokens);
    words.push_back(one.words);
    bytes.push_back(one.bytes);
  }
  const auto set = [&](const char* name, const Mean& m) {
    names.emplace_back(name);
    set_mean(out, name, m);
  };
  const auto perplexity = [](const Mean& m) { return Mean{std::exp(m.mean), std::exp(m.mean) * m.se, m.n}; };
  set("word_perplexity", perplexity(ratio_of(nats, words)));
  set("byte_perplexity", perplexity(ratio_of(nats, bytes)));
  set("token_perplexity", perplexity(ratio_of(nats, tokens)));
  const Mean bits = ratio_of(nats, bytes);
  set("bits_per_byte", {bits.mean / std::numbers::ln2, bits.se / std::numbers::ln2, bits.n});
}

Json summary_of(const TaskSpec& spec, const std::string& grade, const std::vector<EvalItem>& items,
                const std::vector<ItemScores>& scores, const std::vector<i64>& members) {
  const i64 skipped = std::count_if(members.begin(), members.end(), [&](i64 i) {
    return scores[static_cast<std::size_t>(i)].record.contains("skipped");
  });
  Json out = Json::object({{"grade", grade}, {"items", std::ssize(members) - skipped}});
  InOrder<double> values;
  std::vector<double> chance, chance_best, known, total, raw;
  std::vector<RollingSums> rolling;
  i64 truncated = 0, alone = 0;
  for (const i64 i : members) {
    const ItemScores& s = scores[static_cast<std::size_t>(i)];
    if (!s.record.contains("skipped")) {  // else it has no choices to guess among
      chance.push_back(item_chance(spec, items[static_cast<std::size_t>(i)], s));
      // What the best way of guessing reaches: the most frequent value, a copied number.
      chance_best.push_back(
          meta_of_grade(spec.meta, items[static_cast<std::size_t>(i)].grade).get_double("chance_best", kUnknown));
    }
    truncated += s.record.get_bool("truncated", false);
    alone += s.record.get_bool("encoded_alone", false);
    if (s.bits_total > 0) {
      known.push_back(s.bits_known);
      total.push_back(s.bits_total);
      raw.push_back(s.record.get_double("knowledge_bits_raw", 0));
    }
    if (s.rolling.tokens > 0) rolling.push_back(s.rolling);
    for (const auto& [name, value] : s.scores) add_in_order(values, name, value);
  }
  const double chance_mean = mean_of(chance).mean;
  out.set("chance", chance_mean);
  if (const double best = mean_of(chance_best).mean; std::isfinite(best)) out.set("chance_best", best);
  std::vector<std::string> names;
  for (const auto& [name, some] : values) {
    names.push_back(name);
    set_mean(out, name, mean_of(some));
  }
  if (!known.empty()) {
    const Mean m = mean_of(known);
    const auto n = static_cast<double>(known.size());
    set_mean(out, "knowledge_bits", {m.mean * n, m.se * n, m.n});
    set_mean(out, "knowledge_share", ratio_of(known, total));
    set_mean(out, "knowledge_share_raw", ratio_of(raw, total));
    for (const char* name : {"knowledge_bits", "knowledge_share", "knowledge_share_raw"}) names.emplace_back(name);
  }
  if (!rolling.empty()) set_perplexities(rolling, names, out);
  out.set("measures", records::measures_to_json(measures_for(spec, names, chance_mean)));
  if (truncated > 0) out.set("items_truncated", truncated);
  if (alone > 0) out.set("items_encoded_alone", alone);
  if (skipped > 0) out.set("items_skipped", skipped);
  const Json& meta = meta_of_grade(spec.meta, grade);
  for (const char* key : {"baselines", "bits_all_facts"}) {
    if (meta.contains(key)) out.set(key, meta.at(key));
  }
  return out;
}

}  // namespace

void check_task_measure(const TaskSpec& spec, const std::string& better, const std::string& unit) {
  if (spec.measure.empty()) return;
  const std::vector<std::string> scores = {
      "acc",       "acc_norm",      "exact_match",    "exact_match_vote", "exact_match_any",
      "task_loss", "bits_per_byte", "word_perplexity"};
  index_of_word(spec.measure, scores, "measure", spec.path);
  records::check_measure(measure_of(spec.measure), better, unit, spec.path);
}

std::vector<Json> summarise(const TaskSpec& spec, const std::vector<EvalItem>& items,
                            const std::vector<ItemScores>& scores) {
  InOrder<i64> grades;
  std::vector<i64> all;
  for (const EvalItem& item : items) {
    all.push_back(std::ssize(all));
    add_in_order(grades, item.grade, all.back());
  }
  std::vector<Json> out;
  if (grades.size() > 1) {
    for (const auto& [grade, members] : grades) out.push_back(summary_of(spec, grade, items, scores, members));
  }
  out.push_back(summary_of(spec, "all", items, scores, all));
  return out;
}

}  // namespace moebius::eval
