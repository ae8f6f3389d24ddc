// Tests only: the small model that tests of rooflines and of bench count and measure.
// In: experts and layers; out: a resolved configuration, small enough to be counted by hand.
// Not for tests of the network itself (test_network.h): its sizes are rounder than theirs.
#pragma once

#include "model/config.h"

namespace moebius::model {

inline ModelConfig small_model(i64 experts, i64 layers) {
  ModelConfig config;
  config.vocab = 512;
  config.d_model = 64;
  config.layers = layers;
  config.experts.experts = experts;
  config.experts.top_k = 2;
  config.experts.width = 32;
  config.resolve();
  return config;
}

}  // namespace moebius::model
