// Fuzz targets: one function per parser, in libFuzzer's form. Input: any bytes. A target returns when the parser gives a
// result or throws Error; everything else (a crash, a sanitizer's report, a failed CHECK, another exception) is a finding.
// The files that parsers open lie in a folder of this process. Not for values: what is right is tested beside the parsers.
#pragma once

#include <string>
#include <string_view>

#include "base/types.h"

namespace moebius::fuzz {

using Target = void (*)(std::string_view input);

void fuzz_safetensors(std::string_view input);  // a .safetensors file
void fuzz_shard(std::string_view input);        // first byte: form; Megatron: u32 length of .idx, .idx, .bin
void fuzz_tokenizer(std::string_view input);    // tokenizer.json, then encoding with it
void fuzz_encode(std::string_view input);       // text: pre-tokenizer, NFC, encode and decode
void fuzz_config(std::string_view input);       // config.json of Hugging Face
void fuzz_text(std::string_view input);         // first byte: options; then text, JSONL, JSON, .gz or .zst
void fuzz_json(std::string_view input);         // any JSON
void fuzz_options(std::string_view input);      // TOML with the options of models and training
void fuzz_study(std::string_view input);        // TOML of a study

struct NamedTarget {
  const char* name;
  Target run;
};
inline constexpr NamedTarget kTargets[] = {
    {"safetensors", fuzz_safetensors},
    {"shard", fuzz_shard},
    {"tokenizer", fuzz_tokenizer},
    {"encode", fuzz_encode},
    {"config", fuzz_config},
    {"text", fuzz_text},
    {"json", fuzz_json},
    {"options", fuzz_options},
    {"study", fuzz_study},
};

// Writes a file of that name into this process's folder (in memory where /dev/shm exists) and returns its path.
std::string input_file(const std::string& name, std::string_view bytes);
void input_remove(const std::string& name);

// A property that must hold for every input; false aborts, so that the fuzzer keeps the input.
void require(bool holds, const char* what);

}  // namespace moebius::fuzz
