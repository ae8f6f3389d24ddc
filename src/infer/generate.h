// Batched generation: prompts are packed into one pass, every live sequence then gains one token per pass, and a finished
// sequence makes room for the next prompt (continuous batching; Orca, Yu et al. 2022).
// In: prompts as tokens. Out: tokens and text. A prompt's result depends neither on the other prompts nor on their order.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/engine.h"
#include "infer/sampler.h"

namespace moebius::infer {

struct Prompt {
  std::vector<i32> tokens;         // at least one
  i64 tokens_max = 256;            // of the generated text
  std::vector<std::string> stops;  // generation ends when the new text contains one of these
  u64 sequence = 0;                // key of the random stream (sampler.h)
};

enum class Finish { end_of_text, stop, length };

struct Generated {
  std::vector<i32> tokens;  // without the end-of-text token
  std::string text;         // cut before the first stop string; invalid UTF-8 replaced by U+FFFD
  double logprob_sum = 0;   // of the generated tokens and the end-of-text token, at temperature 1
  Finish finish = Finish::length;
};

struct GenerateOptions {
  SamplerOptions sampler;
  i32 end_of_text = -1;    // ends a sequence; -1: none
  i64 sequences_max = 64;  // live at once
  i64 rows_max = 4096;     // of one pass
  // The bytes that a token adds to the text (Tokenizer::token_bytes); empty for special tokens.
  std::function<std::string_view(i32)> token_bytes;
  std::function<void(i64 done)> on_done;  // after each finished prompt; may be empty
};

// Throws Error when a prompt and its new tokens exceed the engine's positions, and when the model gives logits that are
// NaN or infinite.
std::vector<Generated> generate(const Engine& engine, const std::vector<Prompt>& prompts,
                                const GenerateOptions& options);

// Replaces each maximal ill-formed subsequence by U+FFFD (Unicode 15, section 3.9; as Python and Rust do).
std::string utf8_repaired(std::string_view bytes);

// Cuts the text before the first occurrence of each stop string, in the order of `stops`.
std::string cut_at_stops(std::string text, const std::vector<std::string>& stops);

}  // namespace moebius::infer
