// Reading, a vocabulary, one stream; the file of a Routing. In, out: real_text.h.
#include "bench/real_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "data/bpe_trainer.h"
#include "data/reader.h"

namespace moebius::bench {

namespace {

constexpr const char* kKind = "moebius-routing";

std::vector<std::string> corpus_files(const std::vector<std::string>& files) {
  if (!files.empty()) return files;
  const std::string shipped = "corpora/enwiki2019-00.jsonl.gz", in_tree = path_join(MOEBIUS_SOURCE_DIR, shipped);
  for (const std::string& path : {shipped, in_tree}) {
    if (file_exists(path)) return {path};
  }
  throw Error(
      {.where = "bench", .what = "the shipped corpus is missing", .wanted = in_tree, .fix = "add --corpus FILES"});
}

}  // namespace

std::vector<i32> real_text_stream(const std::vector<std::string>& files, i64 vocab) {
  std::vector<std::string> texts;
  for (const std::string& file : corpus_files(files)) {
    data::DocumentReader reader(file);
    for (data::Document document; reader.next(document);) texts.push_back(std::move(document.text));
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  data::BpeTrainer trainer({.vocab_size = vocab});
  trainer.add(views);
  const data::Tokenizer tokenizer = trainer.finish();
  std::vector<i32> stream;
  for (const std::vector<i32>& ids : tokenizer.encode_parallel(views, data::SpecialTokens::plain)) {
    stream.insert(stream.end(), ids.begin(), ids.end());
    stream.push_back(tokenizer.eos_id());
  }
  return stream;
}

std::unique_ptr<data::BatchSource> real_text_source(const std::vector<i32>& stream, i64 sequences, i64 length,
                                                    i64 document) {
  if (length % document != 0) {
    throw Error({.where = "bench",
                 .what = "the sequence is not a multiple of the document",
                 .got = fmt::format("sequence {}, document {}", length, document)});
  }
  std::vector<std::vector<i32>> pieces;
  const i64 size = static_cast<i64>(stream.size());
  for (i64 at = 0; at + document <= size; at += document) {
    pieces.emplace_back(stream.begin() + at, stream.begin() + at + document);
  }
  if (pieces.empty()) {
    throw Error({.where = "bench",
                 .what = "the text is shorter than a document",
                 .wanted = fmt::format("{} tokens", document),
                 .got = fmt::format("{} tokens", size),
                 .fix = "use a longer text (--corpus FILES) or a shorter --sequence"});
  }
  return std::make_unique<data::MemorySource>(std::move(pieces), sequences, length);
}

double RoutingRecord::max_over_mean_of_layer(std::size_t layer) const {
  std::vector<i64> count(static_cast<std::size_t>(experts));
  for (const i32 expert : expert_LTK[layer]) ++count[static_cast<std::size_t>(expert)];
  return static_cast<double>(*std::max_element(count.begin(), count.end()) * experts) /
         static_cast<double>(tokens * top_k);
}

double RoutingRecord::max_over_mean_worst() const {
  double worst = 0;
  for (std::size_t l = 0; l < expert_LTK.size(); ++l) worst = std::max(worst, max_over_mean_of_layer(l));
  return worst;
}

double RoutingRecord::max_over_mean() const {
  double sum = 0;
  for (std::size_t l = 0; l < expert_LTK.size(); ++l) sum += max_over_mean_of_layer(l);
  return expert_LTK.empty() ? 0 : sum / static_cast<double>(expert_LTK.size());
}

void RoutingRecord::save(const std::string& path) const {
  Json layers = Json::array();
  for (const std::vector<i32>& layer : expert_LTK) layers.push_back(std::vector<i64>(layer.begin(), layer.end()));
  const Json json = Json::object({{"kind", kKind},
                                  {"tokens", tokens},
                                  {"top_k", top_k},
                                  {"experts", experts},
                                  {"steps", steps},
                                  {"settled", settled},
                                  {"max_over_mean", max_over_mean()},
                                  {"layers", layers}});
  file_write_atomic(path, json.dump() + "\n");
}

RoutingRecord RoutingRecord::load(const std::string& path) {
  const Json json = Json::parse_file(path);
  const auto refuse = [&](const std::string& what) {
    throw Error({.where = path, .what = what, .fix = "create it with moebius bench train --record-routing FILE"});
  };
  if (!json.is_object() || json.get_string("kind", "") != kKind) refuse("not a recorded routing");
  RoutingRecord record;
  record.tokens = json.at("tokens").as_int();
  record.top_k = json.at("top_k").as_int();
  record.experts = json.at("experts").as_int();
  record.steps = json.get_int("steps", 0);
  record.settled = json.get_bool("settled", false);
  for (const Json& layer : json.at("layers").as_array()) {
    if (record.top_k < 1 || layer.count() % record.top_k != 0 || layer.count() / record.top_k != record.tokens) {
      refuse("the number of choices of a layer is not tokens x top_k");
    }
    std::vector<i32>& choices = record.expert_LTK.emplace_back();
    for (const Json& expert : layer.as_array()) {
      if (expert.as_int() < 0 || expert.as_int() >= record.experts) refuse("a choice is not the number of an expert");
      choices.push_back(static_cast<i32>(expert.as_int()));
    }
  }
  if (record.expert_LTK.empty()) refuse("no layer");
  return record;
}

bool load_settled(const std::vector<double>& curve) {
  const auto quarter = static_cast<std::ptrdiff_t>(curve.size() / 4);
  if (quarter < 25) return false;  // in fewer steps the load has hardly begun to move
  const auto middle = curve.end() - quarter;
  const double before = std::accumulate(middle - quarter, middle, 0.0),
               last = std::accumulate(middle, curve.end(), 0.0);
  return std::abs(last - before) <= 0.1 * before;
}

void RoutingRecord::check_fits(const model::ModelConfig& config, i64 micro_batch_tokens,
                               const std::string& path) const {
  const i64 layers = static_cast<i64>(expert_LTK.size());
  if (experts == config.experts.experts && top_k == config.experts.top_k && layers == config.moe_layers() &&
      tokens == micro_batch_tokens) {
    return;
  }
  const char* form = "{} MoE layers, {} experts, top-{}, micro-batches of {} tokens";
  throw Error({.where = path,
               .what = "the recorded routing is for another shape",
               .wanted = fmt::format(fmt::runtime(form), config.moe_layers(), config.experts.experts,
                                     config.experts.top_k, micro_batch_tokens),
               .got = fmt::format(fmt::runtime(form), layers, experts, top_k, tokens)});
}

}  // namespace moebius::bench
