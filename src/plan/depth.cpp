// The table of published depths and the line through it.
#include "plan/depth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moebius::plan {

namespace {

constexpr PublishedDepth kDepths[] = {
    {"Llama 3.1 405B", 16384, 126, "arXiv 2407.21783"},
    {"Llama 3.1 70B", 8192, 80, "arXiv 2407.21783"},
    {"Llama 3.1 8B", 4096, 32, "arXiv 2407.21783"},
    {"DeepSeek-V3", 7168, 61, "arXiv 2412.19437"},
    {"Kimi K2", 7168, 61, "arXiv 2507.20534"},
    {"DeepSeek-V2", 5120, 60, "arXiv 2405.04434"},
    {"Mixtral 8x22B", 6144, 56, "its config.json"},
    {"Mixtral 8x7B", 4096, 32, "arXiv 2401.04088"},
    {"Qwen3-235B-A22B", 4096, 94, "arXiv 2505.09388"},
    {"Qwen3-30B-A3B", 2048, 48, "arXiv 2505.09388"},
    {"OLMoE", 2048, 16, "arXiv 2409.02060"},
    {"DeepSeekMoE 16B", 2048, 28, "arXiv 2401.06066"},
    {"Megrez2", 2048, 31, "arXiv 2507.17728"},
    {"Ling-mini-beta", 2048, 20, "arXiv 2507.17702"},
    {"FLAME-MoE 1.7B", 2048, 18, "arXiv 2505.20225"},
    {"FLAME-MoE 721M", 1536, 12, "arXiv 2505.20225"},
    {"FLAME-MoE 419M", 1024, 15, "arXiv 2505.20225"},
    {"FLAME-MoE 290M", 1024, 9, "arXiv 2505.20225"},
    {"FLAME-MoE 115M", 512, 12, "arXiv 2505.20225"},
    {"FLAME-MoE 38M", 256, 9, "arXiv 2505.20225"},
    {"Optimal Sparsity d2048", 2048, 16, "arXiv 2508.18672"},
    {"Optimal Sparsity d1024", 1024, 16, "arXiv 2508.18672"},
    {"Optimal Sparsity d512", 512, 16, "arXiv 2508.18672"},
};

struct Line {
  double at_zero = 0, slope = 0;
};

Line least_squares() {
  double x = 0, y = 0, xx = 0, xy = 0;
  for (const PublishedDepth& depth : kDepths) {
    const double width = std::log(static_cast<double>(depth.d_model)),
                 layers = std::log(static_cast<double>(depth.layers));
    x += width, y += layers, xx += width * width, xy += width * layers;
  }
  const double n = static_cast<double>(std::size(kDepths));
  const double slope = (n * xy - x * y) / (n * xx - x * x);
  return {.at_zero = (y - slope * x) / n, .slope = slope};
}

}  // namespace

std::span<const PublishedDepth> published_depths() { return kDepths; }

double published_depth(double d_model) {
  static const Line line = least_squares();
  return std::exp(line.at_zero + line.slope * std::log(d_model));
}

std::string depth_warning(double d_model) {
  const auto [narrow, wide] =
      std::minmax_element(std::begin(kDepths), std::end(kDepths),
                          [](const PublishedDepth& a, const PublishedDepth& b) { return a.d_model < b.d_model; });
  if (d_model >= static_cast<double>(narrow->d_model) && d_model <= static_cast<double>(wide->d_model)) return "";
  return fmt::format("the depth is extrapolated: d {:.0f} is outside {} to {}, the widths of the published models",
                     d_model, narrow->d_model, wide->d_model);
}

}  // namespace moebius::plan
