// Windows over documents, scored in packed passes.
#include "eval/held_out.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numbers>

#include "base/error.h"
#include "base/file.h"
#include "base/progress.h"
#include "data/reader.h"
#include "data/shard.h"
#include "eval/metrics.h"

namespace moebius::eval {

LossSource parse_loss_source(const std::string& text, const std::string& field) {
  LossSource source;
  source.field = field;
  const std::size_t equals = text.find('=');
  source.path = equals == std::string::npos ? text : text.substr(equals + 1);
  source.name = equals == std::string::npos ? path_name(text) : text.substr(0, equals);
  if (source.name.empty() || source.path.empty()) {
    throw Error({.where = "--loss-sources",
                 .what = "a source of held-out text needs a name and a path",
                 .wanted = "NAME=PATH or PATH",
                 .got = text});
  }
  return source;
}

LossDocuments read_loss_documents(const LossSource& source, const data::Tokenizer& tokenizer, i64 tokens_max) {
  LossDocuments out;
  out.name = source.name;
  i64 tokens = 0;
  auto full = [&] { return tokens_max > 0 && tokens >= tokens_max; };
  if (data::TokenShard::is_shard(source.path)) {
    data::TokenShard shard = data::TokenShard::open(source.path, {.end_of_text = tokenizer.eos_id()});
    shard.check_tokenizer(tokenizer.fingerprint(), tokenizer.vocab_size());
    shard.require_vocab(tokenizer.vocab_size());
    for (i64 d = 0; d < shard.documents() && !full(); ++d) {
      std::vector<i32> document(static_cast<std::size_t>(shard.document_tokens(d)));
      shard.copy(d, 0, static_cast<i64>(document.size()), document.data());
      tokens += static_cast<i64>(document.size());
      out.documents.push_back(std::move(document));
    }
  } else {
    data::ReaderOptions options;
    options.fields = source.field;
    options.field_option = "--loss-field NAME";
    data::DocumentReader reader(source.path, options);
    data::Document document;
    while (!full() && reader.next(document)) {
      std::vector<i32> ids = tokenizer.encode(document.text, data::SpecialTokens::plain);
      if (tokenizer.eos_id() >= 0) ids.push_back(tokenizer.eos_id());
      tokens += static_cast<i64>(ids.size());
      out.documents.push_back(std::move(ids));
    }
  }
  if (tokens == 0) throw Error({.where = source.path, .what = "the held-out source has no tokens"});
  return out;
}

std::vector<LoglikRequest> rolling_windows(const std::vector<i32>& document, std::vector<i32> context, i64 window) {
  std::vector<LoglikRequest> requests;
  for (std::size_t at = 0; at < document.size();) {
    if (context.empty()) {
      context = {document[at++]};
      continue;
    }
    const std::size_t end = std::min(document.size(), at + static_cast<std::size_t>(window));
    LoglikRequest& request = requests.emplace_back();
    request.context = context;
    request.continuation.assign(document.begin() + static_cast<std::ptrdiff_t>(at),
                                document.begin() + static_cast<std::ptrdiff_t>(end));
    // The next window needs one token of context; a short last one takes what a full one has room for (the harness's
    // rolling windows).
    at = end;
    const std::size_t next = std::min(document.size() - at, static_cast<std::size_t>(window));
    const std::size_t keep = std::min(at, static_cast<std::size_t>(window) - next + 1);
    context.assign(document.begin() + static_cast<std::ptrdiff_t>(at - keep),
                   document.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return requests;
}

LossResult held_out_loss(const infer::Engine& engine, const data::Tokenizer& tokenizer, const LossDocuments& source,
                         const LossOptions& options, const ScoreLimits& limits) {
  i64 window = limits.positions_max > 0 ? limits.positions_max : engine.positions_max;
  if (options.window > 0) window = std::min(window, options.window);
  std::vector<i32> prefix;
  if (options.prefix) prefix = {prefix_token(tokenizer)};
  std::vector<std::size_t> document_of;
  std::vector<LoglikRequest> requests;
  for (std::size_t d = 0; d < source.documents.size(); ++d) {
    for (LoglikRequest& request : rolling_windows(source.documents[d], prefix, window)) {
      request.group = std::ssize(requests);
      requests.push_back(std::move(request));
      document_of.push_back(d);
    }
  }
  if (requests.empty()) {
    throw Error({.where = source.name,
                 .what = "no held-out document has two tokens",
                 .fix = "--loss-prefix scores documents of one token"});
  }
  Progress progress("held-out loss: " + source.name, static_cast<i64>(requests.size()));
  const std::vector<Loglik> scores = score_requests(engine, requests, limits, [&](i64 done) { progress.update(done); });
  progress.finish();
  std::vector<double> nats(source.documents.size()), tokens(source.documents.size()), bytes(source.documents.size());
  for (std::size_t r = 0; r < requests.size(); ++r) {
    const std::size_t d = document_of[r];
    check_finite(scores[r].sum, fmt::format("held-out source '{}', document {}", source.name, d + 1));
    nats[d] -= scores[r].sum;
    tokens[d] += static_cast<double>(scores[r].logprob_tokens.size());
    for (const i32 token : requests[r].continuation) {
      if (!tokenizer.is_special(token)) bytes[d] += static_cast<double>(tokenizer.token_bytes(token).size());
    }
  }
  LossResult result;
  const Mean per_token = ratio_of(nats, tokens), per_byte = ratio_of(nats, bytes);
  result.loss = per_token.mean;
  result.loss_se = per_token.se;
  result.bits_per_byte = per_byte.mean / std::numbers::ln2;
  result.bits_per_byte_se = per_byte.se / std::numbers::ln2;
  for (std::size_t d = 0; d < nats.size(); ++d) {
    result.tokens += static_cast<i64>(tokens[d]);
    result.bytes += static_cast<i64>(bytes[d]);
    result.documents += tokens[d] > 0;
    if (tokens[d] > 0) result.by_document.push_back({static_cast<i64>(d), nats[d], tokens[d], bytes[d]});
  }
  return result;
}

}  // namespace moebius::eval
