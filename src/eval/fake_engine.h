// For tests: an engine without a network. The logits of a row are a hash of all tokens of its segment up to it, so a wrong
// segment, row or target changes a score. Not for anything else.
#pragma once

#include <cmath>
#include <memory>
#include <vector>

#include "infer/engine.h"
#include "infer/sampler.h"

namespace moebius::eval {

struct FakeCounts {
  i64 passes = 0, rows = 0;
};

inline u64 fake_mix(u64 h, u64 x) {
  h = (h ^ x) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

inline std::vector<float> fake_logits(u64 hash, i64 vocab) {
  std::vector<float> logits;
  for (i64 v = 0; v < vocab; ++v)
    logits.push_back(static_cast<float>(fake_mix(hash, static_cast<u64>(v)) % 1000) / 150.0f);
  return logits;
}

inline double fake_log_sum_exp(const std::vector<float>& logits) {
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x));
  return std::log(sum);
}

// The hash after each row; sequences in a cache keep theirs there.
inline std::vector<u64> fake_hashes(const model::NetworkInput& input) {
  std::vector<u64> hashes(input.token_T.size());
  for (const model::Segment& segment : input.segments) {
    u64 h = 99;
    if (segment.cache != nullptr && segment.position > 0) {
      h = static_cast<const u64*>(segment.cache->data)[segment.position - 1];
    }
    if (segment.prefix_rows > 0) h = hashes[static_cast<std::size_t>(segment.prefix_row + segment.prefix_rows - 1)];
    for (i64 r = 0; r < segment.rows; ++r) {
      h = fake_mix(h, static_cast<u64>(input.token_T[static_cast<std::size_t>(segment.row + r)]));
      hashes[static_cast<std::size_t>(segment.row + r)] = h;
      if (segment.cache != nullptr) {
        static_cast<u64*>(segment.cache->data)[segment.position + r] = h;
      }
    }
  }
  return hashes;
}

inline infer::Engine fake_engine(i64 vocab, i64 positions_max, std::shared_ptr<FakeCounts> counts = nullptr) {
  infer::Engine engine;
  engine.vocab = vocab;
  engine.positions_max = positions_max;
  engine.cache = {1, 1, 2, DType::f32};
  engine.reserve = [](i64) {};
  engine.score = [vocab, counts](const model::NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                                 std::span<float> logprob, std::span<i32> argmax) {
    if (counts) counts->passes += 1, counts->rows += static_cast<i64>(input.token_T.size());
    const std::vector<u64> hashes = fake_hashes(input);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const std::vector<float> logits = fake_logits(hashes[static_cast<std::size_t>(targets[i].row)], vocab);
      argmax[i] = infer::argmax_token(logits);
      logprob[i] = static_cast<float>(logits[static_cast<std::size_t>(targets[i].token)] - fake_log_sum_exp(logits));
    }
  };
  engine.logits = [vocab, counts](const model::NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
    if (counts) counts->passes += 1, counts->rows += static_cast<i64>(input.token_T.size());
    const std::vector<u64> hashes = fake_hashes(input);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::vector<float> logits = fake_logits(hashes[static_cast<std::size_t>(rows[i])], vocab);
      std::copy(logits.begin(), logits.end(), logits_RV.f32() + static_cast<i64>(i) * logits_RV.stride);
    }
  };
  return engine;
}

}  // namespace moebius::eval
