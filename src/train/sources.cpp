// From names of shards to an open mixture.
// In, out: sources.h.
#include "train/sources.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "data/tokenizer.h"

namespace moebius::train {

namespace {

std::vector<data::MixtureSource> list_sources(const TrainOptions& options) {
  if (!options.sources.empty()) return options.sources;
  if (!options.mixture.empty()) {
    const Json file = toml_parse_file(options.mixture);
    for (const auto& [key, value] : file.as_object()) {
      if (key != "source") {
        throw Error(
            {.where = options.mixture, .what = fmt::format("unknown key '{}'", key), .wanted = "[[source]] tables"});
      }
    }
    if (!file.contains("source")) {
      throw Error(
          {.where = options.mixture, .what = "the file has no [[source]] table", .wanted = "[[source]] tables"});
    }
    return data::mixture_sources_from_json(file.at("source"), options.mixture);
  }
  if (options.data.empty()) {
    throw Error({.where = "train",
                 .what = "no training data is given",
                 .fix = "add --data NAME=PREFIX:WEIGHT or --mixture FILE"});
  }
  return data::mixture_sources_parse(options.data, "--data");
}

void check_tokenizer(const std::string& path, data::Mixture& mixture) {
  if (path.empty()) return;
  if (file_exists(path) && !std::filesystem::is_regular_file(path)) {
    throw Error({.where = path,
                 .what = "the tokenizer is a pipe or device, which can be read only once",
                 .wanted = "a file or a folder, since it is compared with the shards and copied",
                 .fix = "write it to a file and give that file"});
  }
  mixture.check_tokenizer(data::Tokenizer::load(path));
}

}  // namespace

std::unique_ptr<data::Mixture> open_mixture(const TrainOptions& options) {
  data::MixtureOptions mixture;
  mixture.sequences = options.batch_tokens / options.sequence;
  mixture.length = options.sequence;
  mixture.seed_data = options.seed_data;
  mixture.attend_across_documents = options.attend_across_documents;
  mixture.positions_restart = options.positions_restart;
  mixture.shards = options.shards;
  mixture.shards.format = data::shard_format_parse(options.shard_format);
  auto source = std::make_unique<data::Mixture>(list_sources(options), mixture);
  source->check_tokens(steps_total(options) * options.batch_tokens);
  check_tokenizer(options.tokenizer, *source);
  return source;
}

void check_vocab(const model::ModelConfig& config, data::Mixture& mixture) {
  mixture.require_vocab(config.vocab);
  if (config.vocab >= mixture.vocab()) return;
  throw Error({.where = "vocab",
               .what = "the model's vocabulary is smaller than the shards'",
               .wanted = fmt::format("at least {}", mixture.vocab()),
               .got = fmt::format("{}", config.vocab),
               .fix = fmt::format("use --vocab {}", mixture.vocab())});
}

}  // namespace moebius::train
