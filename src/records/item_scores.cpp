// Reading item records, and the standard error of sums over them.
#include "records/item_scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <unordered_map>

#include "base/file.h"
#include "records/metric.h"

namespace moebius::records {

namespace {

constexpr double kAgree = 1e-5;  // items' mean and metric; records round to f32 in places

// One item: the metric is sum(value) / sum(size).
struct Item {
  std::string key;
  double value = 0, size = 1;
};

// Of a document of held-out text: nats and tokens, or bits and bytes.
bool document_read(const Json& line, const std::string& key, Item& item) {
  if (key != "loss" && key != "bits_per_byte") return false;
  const double nats = line.get_double("loss_sum", kUnknown);
  item.value = key == "loss" ? nats : nats / std::numbers::ln2;
  item.size = line.get_double(key == "loss" ? "tokens" : "bytes", kUnknown);
  return true;
}

// The items of `part` that have `key`.
std::vector<Item> items_read(const std::string& path, const std::string& part, const std::string& key) {
  std::vector<Item> items;
  const std::string text = file_read(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Json line = Json::parse(text.substr(begin, end - begin), path);
    begin = end + 1;
    Item item;
    item.key = fmt::format("{} {} {}", path_name(path), line.get_int("index", 0), line.get_string("id", ""));
    if (line.contains("loss_sum")) {
      if (!document_read(line, key, item)) return {};
    } else {
      if (part != "all" && line.get_string("grade", "") != part) continue;
      const Json* value = line.find(key);
      if (value == nullptr || !value->is_number()) continue;
      item.key += " " + line.get_string("prompt", "");
      item.value = value->as_double();
    }
    if (!std::isfinite(item.value) || !(item.size >= 0)) return {};
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

std::string items_file_name(const std::string& name, bool documents) {
  return name + (documents ? ".documents.jsonl" : ".jsonl");
}

std::optional<ItemScores> item_scores(const RunRecords& run, const std::string& path) {
  const auto pieces = eval_path(metric_plain(path));
  if (!pieces || run.path.empty()) return std::nullopt;
  const std::size_t dot = pieces->test.rfind('.');
  const EvalRecord* eval = run.eval_final(pieces->test);
  if (eval == nullptr) return std::nullopt;
  const std::string folder = path_join(run.path.substr(0, run.path.rfind('/') + 1), "items");
  const std::string file = path_join(folder, items_file_name(eval->name, eval->kind == "loss"));
  if (!file_exists(file)) return std::nullopt;
  const std::vector<Item> items = items_read(file, pieces->test.substr(dot + 1), pieces->key);
  double sum = 0, size = 0;
  for (const Item& item : items) {
    sum += item.value;
    size += item.size;
  }
  const double metric = metric_of(run, metric_plain(path)).value, mean = sum / size;
  if (items.size() < 2 || !(std::fabs(mean - metric) <= kAgree * std::max(1.0, std::fabs(metric)))) return std::nullopt;
  // ln(mean) moves by an item's influence over the mean.
  const double scale = static_cast<double>(items.size()) / size / (metric_is_log(path) ? mean : 1);
  ItemScores out;
  for (const Item& item : items) {
    out.keys.push_back(item.key);
    out.influence.push_back(scale * (item.value - mean * item.size));
  }
  return out;
}

PairedItems::PairedItems(const std::vector<const RunRecords*>& runs, const std::vector<std::size_t>& configuration,
                         const std::vector<std::string>& paths)
    : terms_(runs.size()) {
  std::unordered_map<std::string, std::size_t> number;
  std::vector<std::set<std::size_t>> of_runs(runs.size());
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (std::size_t p = 0; p < paths.size(); ++p) {
      const auto scores = item_scores(*runs[r], paths[p]);
      if (!scores) {
        terms_[r].clear();
        break;
      }
      const double scale = (p == 0 ? 1.0 : -1.0) / static_cast<double>(scores->keys.size());
      for (std::size_t i = 0; i < scores->keys.size(); ++i) {
        const std::size_t item = number.emplace(scores->keys[i], number.size()).first->second;
        terms_[r].push_back({item, scale * scores->influence[i]});
        of_runs[r].insert(item);
      }
    }
  }
  items_ = number.size();
  bool shared = false, several = true;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    bool alone = true;
    for (std::size_t other = 0; other < runs.size(); ++other) {
      if (other == r || configuration[other] != configuration[r]) continue;
      alone = false;
      shared =
          shared || std::ranges::any_of(of_runs[r], [&](std::size_t item) { return of_runs[other].contains(item); });
    }
    several = several && !alone;
  }
  items_differ_ = several && !shared;
}

double PairedItems::standard_error(const std::vector<double>& weights) const {
  std::vector<double> sums(items_);
  std::vector<char> used(items_);
  for (std::size_t r = 0; r < weights.size(); ++r) {
    if (weights[r] == 0) continue;
    if (terms_[r].empty()) return kUnknown;
    for (const Term& term : terms_[r]) {
      sums[term.item] += weights[r] * term.influence;
      used[term.item] = 1;
    }
  }
  if (items_differ_) return 0;
  double squares = 0;
  for (const double sum : sums) squares += sum * sum;
  const double items = static_cast<double>(std::ranges::count(used, char{1}));
  return items > 1 ? std::sqrt(squares * items / (items - 1)) : kUnknown;
}

}  // namespace moebius::records
