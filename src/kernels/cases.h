// The shapes on which kernels are tested: ordinary ones, tiny models, and sizes that fit no block.
// Lists only; values come from the counter-based generator in the callers.
#pragma once

#include "base/types.h"

namespace moebius::kernels {

struct LinearCase {
  i64 tokens, n, k;
};
inline constexpr LinearCase kLinearCases[] = {{64, 64, 64}, {1, 96, 64},    {37, 40, 40}, {130, 192, 72},
                                              {5, 33, 31},  {300, 32, 257}, {13, 7, 129}, {200, 257, 16}};

struct ExpertCase {
  i64 tokens, d_model, width, experts, top_k;
  bool gelu;
};
inline constexpr ExpertCase kExpertCases[] = {
    {96, 64, 64, 8, 2, false}, {50, 40, 48, 5, 1, false},  {64, 64, 40, 16, 8, false}, {70, 64, 96, 1, 1, false},
    {33, 32, 33, 4, 3, true},  {300, 32, 32, 2, 2, false}, {3, 64, 64, 32, 2, false},  {260, 48, 64, 1, 1, true}};

struct AttentionCase {
  i64 heads, kv_heads, head_dim, window;
  i64 segments[4];  // rows; 0 ends the list
};
inline constexpr AttentionCase kAttentionCases[] = {
    {4, 4, 16, 0, {1, 33, 128, 300}}, {4, 2, 32, 0, {64, 65, 0, 0}}, {2, 1, 64, 0, {130, 7, 0, 0}},
    {2, 2, 128, 0, {70, 0, 0, 0}},    {4, 1, 20, 0, {45, 12, 0, 0}}, {2, 2, 32, 24, {150, 40, 0, 0}},
    {2, 2, 80, 0, {50, 3, 0, 0}},     {2, 1, 200, 0, {40, 0, 0, 0}}, {2, 1, 64, 140, {330, 17, 0, 0}}};

struct HeadCase {
  i64 tokens, d_model, vocab;
};
inline constexpr HeadCase kHeadCases[] = {{64, 64, 256}, {33, 40, 101}, {150, 16, 2100}, {4200, 16, 70}};

}  // namespace moebius::kernels
