// Parts of flat f32 arrays as one safetensors file: names, lengths, values. In/out: spans that somebody else owns.
// For optimizer.safetensors, where arrays lie in packed order and are read back into the same layout; models for other
// programs go through model/checkpoint.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace moebius::train {

struct ArenaPart {
  std::string name;
  std::span<float> values;
};

// Written atomically. `name`s are unique.
void write_arenas(const std::string& path, const std::vector<ArenaPart>& parts);

// Fills every part. Throws Error when a tensor is missing, has another type or length, or lies outside of the file.
void read_arenas(const std::string& path, const std::vector<ArenaPart>& parts);

}  // namespace moebius::train
