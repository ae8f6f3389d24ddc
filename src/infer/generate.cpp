// Continuous batching over one cache of slots.
#include "infer/generate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "infer/kv_cache.h"
#include "kernels/head.h"

namespace moebius::infer {

namespace {

// A sequence that occupies a slot of the cache.
struct Live {
  i64 prompt = 0;  // index of its prompt
  i64 slot = 0;
  i64 fed = 0;    // tokens of the prompt that are in the cache
  i32 last = -1;  // generated token that is not in the cache yet
};

class Generation {
 public:
  Generation(const Engine& engine, const std::vector<Prompt>& prompts, const GenerateOptions& options)
      : engine_(engine),
        prompts_(prompts),
        options_(options),
        results_(prompts.size()),
        bytes_(prompts.size()),
        cache_(engine.cache, slots_wanted(), positions_wanted()) {
    logits_ = Buffer("logits of generation", cache_.slots() * engine.vocab * 4);
    lse_.resize(static_cast<std::size_t>(cache_.slots()));
    likeliest_.resize(static_cast<std::size_t>(cache_.slots()));
    engine.reserve(options.rows_max);
  }

  std::vector<Generated> run() {
    const i64 start = clock_ns();
    while (finished_ < static_cast<i64>(prompts_.size())) {
      interrupt_check("generation was interrupted; finished texts are in the records");
      step();
    }
    log_debug(fmt::format("generated {} texts: {} rows in {} passes of up to {} sequences, {:.0f} rows/s",
                          prompts_.size(), rows_, passes_, cache_.slots(),
                          static_cast<double>(rows_) / (static_cast<double>(clock_ns() - start) * 1e-9)));
    return std::move(results_);
  }

 private:
  const Prompt& prompt(const Live& live) const { return prompts_[static_cast<std::size_t>(live.prompt)]; }

  i64 slots_wanted() const {
    return std::max<i64>(1, std::min<i64>(options_.sequences_max, static_cast<i64>(prompts_.size())));
  }

  i64 positions_wanted() const {
    i64 wanted = 1;
    for (const Prompt& p : prompts_) {
      CHECK(!p.tokens.empty(), "a prompt has at least one token");
      const i64 length = static_cast<i64>(p.tokens.size()) + p.tokens_max;
      if (length > engine_.positions_max) {
        throw Error({.where = fmt::format("prompt {} of {}", &p - prompts_.data() + 1, prompts_.size()),
                     .what = "the prompt is too long",
                     .wanted = fmt::format("at most {} tokens, prompt and generated", engine_.positions_max),
                     .got = fmt::format("{} and {} to generate", p.tokens.size(), p.tokens_max),
                     .fix = "shorten the prompt or generate fewer tokens"});
      }
      wanted = std::max(wanted, length);
    }
    return wanted;
  }

  // Rows that a sequence adds to the next pass. A prompt is split at multiples of rows_max from its start, so the split
  // does not depend on the other prompts.
  i64 rows_of(const Live& live) const {
    if (live.last >= 0) return 1;
    return std::min(static_cast<i64>(prompt(live).tokens.size()) - live.fed, options_.rows_max);
  }

  void admit(i64 rows) {
    while (next_ < static_cast<i64>(prompts_.size())) {
      const Prompt& p = prompts_[static_cast<std::size_t>(next_)];
      if (p.tokens_max <= 0) {
        ++next_;
        done_one();
        continue;
      }
      const i64 need = std::min(static_cast<i64>(p.tokens.size()), options_.rows_max);
      if (rows + need > options_.rows_max && rows > 0) return;
      const i64 slot = cache_.take();
      if (slot < 0) return;
      live_.push_back({next_, slot, 0, -1});
      rows += need;
      ++next_;
    }
  }

  void step() {
    i64 rows = 0;
    for (const Live& live : live_) rows += rows_of(live);
    admit(rows);
    tokens_.clear();
    segments_.clear();
    wanted_.clear();
    members_.clear();
    for (std::size_t i = 0; i < live_.size(); ++i) {
      const i64 count = rows_of(live_[i]);
      const i64 begin = static_cast<i64>(tokens_.size());
      if (begin + count > options_.rows_max && begin > 0) continue;  // waits for the next pass
      add_segment(live_[i], begin, count);
      members_.push_back(i);
    }
    if (members_.empty()) return;
    const i64 outputs = static_cast<i64>(wanted_.size());
    const Matrix logits_RV = matrix_of(logits_.f32(), outputs, engine_.vocab);
    engine_.logits({tokens_, segments_}, wanted_, logits_RV);
    ++passes_;
    rows_ += static_cast<i64>(tokens_.size());
    kernels::log_sum_exp_rows(logits_RV, lse_.data(), likeliest_.data());
    take_tokens();
  }

  void add_segment(const Live& live, i64 begin, i64 count) {
    model::Segment segment;
    segment.row = begin;
    segment.rows = count;
    segment.position = cache_.positions(live.slot);
    segment.cache = cache_.slot(live.slot);
    segments_.push_back(segment);
    if (live.last >= 0) {
      tokens_.push_back(live.last);
    } else {
      const auto from = prompt(live).tokens.begin() + live.fed;
      tokens_.insert(tokens_.end(), from, from + count);
    }
    const bool complete = live.last >= 0 || live.fed + count == static_cast<i64>(prompt(live).tokens.size());
    if (complete) wanted_.push_back(static_cast<i32>(begin + count - 1));
  }

  void take_tokens() {
    i64 output = 0;
    std::vector<std::size_t> ended;
    for (std::size_t m = 0; m < members_.size(); ++m) {
      Live& live = live_[members_[m]];
      const i64 count = segments_[m].rows;
      cache_.advance(live.slot, count);
      if (live.last < 0) live.fed += count;
      if (live.last < 0 && live.fed < static_cast<i64>(prompt(live).tokens.size())) continue;
      const std::span<const float> row(logits_.f32() + output * engine_.vocab, static_cast<std::size_t>(engine_.vocab));
      const auto o = static_cast<std::size_t>(output++);
      if (append_token(live, row, lse_[o], likeliest_[o])) ended.push_back(members_[m]);
    }
    for (auto it = ended.rbegin(); it != ended.rend(); ++it) {
      cache_.give_back(live_[*it].slot);
      live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(*it));
      done_one();
    }
  }

  // Returns whether the sequence is finished.
  bool append_token(Live& live, std::span<const float> logits_V, float lse, i32 likeliest) {
    const Prompt& p = prompt(live);
    Generated& result = results_[static_cast<std::size_t>(live.prompt)];
    if (!all_finite(logits_V)) {
      throw Error({.where = fmt::format("prompt {} of {}", live.prompt + 1, prompts_.size()),
                   .what = fmt::format("the model's logits are NaN or infinite at generated token {}",
                                       result.tokens.size() + 1),
                   .fix = "try --precision f32; if the error remains, use another checkpoint"});
    }
    const i32 token =
        options_.sampler.temperature <= 0
            ? likeliest
            : sample_token(logits_V, options_.sampler, p.sequence, static_cast<i64>(result.tokens.size()), scratch_);
    result.logprob_sum += static_cast<double>(logits_V[static_cast<std::size_t>(token)]) - static_cast<double>(lse);
    live.last = token;
    std::string& bytes = bytes_[static_cast<std::size_t>(live.prompt)];
    if (token == options_.end_of_text) {
      result.finish = Finish::end_of_text;
    } else {
      result.tokens.push_back(token);
      const std::string_view added = options_.token_bytes ? options_.token_bytes(token) : std::string_view();
      bytes += added;
      if (!stop_reached(bytes, added.size(), p.stops)) {
        if (static_cast<i64>(result.tokens.size()) < p.tokens_max) return false;
      } else {
        result.finish = Finish::stop;
      }
    }
    result.text = cut_at_stops(utf8_repaired(bytes), p.stops);
    return true;
  }

  static bool stop_reached(const std::string& text, std::size_t added, const std::vector<std::string>& stops) {
    for (const std::string& stop : stops) {
      if (stop.empty() || text.size() < stop.size()) continue;
      const std::size_t tail = added + stop.size() - 1;
      if (text.find(stop, text.size() > tail ? text.size() - tail : 0) != std::string::npos) return true;
    }
    return false;
  }

  void done_one() {
    ++finished_;
    if (options_.on_done) options_.on_done(finished_);
  }

  const Engine& engine_;
  const std::vector<Prompt>& prompts_;
  const GenerateOptions& options_;
  std::vector<Generated> results_;
  std::vector<std::string> bytes_;  // generated text of each prompt, unrepaired
  KvCache cache_;
  Buffer logits_;
  std::vector<Live> live_;
  i64 next_ = 0, finished_ = 0;
  i64 passes_ = 0, rows_ = 0;
  std::vector<float> lse_;
  std::vector<i32> tokens_, wanted_, likeliest_;
  std::vector<model::Segment> segments_;
  std::vector<std::size_t> members_;
  std::vector<std::pair<float, i32>> scratch_;
};

// Length of the valid sequence at `text[i]`, or minus the length of the broken part: the longest that more bytes could
// complete (tails of 0x80 complete whatever can be), else one byte.
int utf8_step(std::string_view text, std::size_t i) {
  u32 code = 0;
  const char* p = text.data() + i;
  const int length = decode_utf8(p, text.data() + text.size(), code);
  if (code != kInvalidCode) return length;
  for (int part = static_cast<int>(std::min<std::size_t>(3, text.size() - i)); part > 1; --part) {
    char whole[4] = {'\x80', '\x80', '\x80', '\x80'};
    std::copy_n(p, part, whole);
    if (decode_utf8(whole, whole + 4, code) > part) return -part;
  }
  return -1;
}

}  // namespace

std::string utf8_repaired(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    const int step = utf8_step(bytes, i);
    if (step > 0) {
      out += bytes.substr(i, static_cast<std::size_t>(step));
      i += static_cast<std::size_t>(step);
    } else {
      out += "\xEF\xBF\xBD";
      i += static_cast<std::size_t>(-step);
    }
  }
  return out;
}

std::string cut_at_stops(std::string text, const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    const std::size_t at = text.find(stop);
    if (at != std::string::npos) text.resize(at);
  }
  return text;
}

std::vector<Generated> generate(const Engine& engine, const std::vector<Prompt>& prompts,
                                const GenerateOptions& options) {
  if (prompts.empty()) return {};
  CHECK(options.rows_max > 0 && options.sequences_max > 0, "room for at least one row");
  return Generation(engine, prompts, options).run();
}

}  // namespace moebius::infer
