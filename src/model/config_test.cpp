// Counts against published values, presets and refused combinations.
#include "model/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace moebius::model {
namespace {

struct ActiveRow {
  i64 d, k, active;
  const char* label;
  i64 active_without_embeddings;
  const char* flops;       // as printed: 7 significant digits
  const char* flops_125b;  // 5 significant digits
  const char* flops_6nd;
};

// facts of arXiv 2508.18672: active parameters and FLOPs by width and top-k.
constexpr ActiveRow kActive[] = {
    {512, 2, 169099776, "A170M", 67125760, "1.111228e+09", "1.3891e+20", "1.2683e+20"},
    {512, 4, 219431424, "A220M", 117457408, "1.413218e+09", "1.7666e+20", "1.6458e+20"},
    {512, 8, 320094720, "A320M", 218120704, "2.017198e+09", "2.5216e+20", "2.4008e+20"},
    {512, 16, 521421312, "A520M", 419447296, "3.225158e+09", "4.0315e+20", "3.9107e+20"},
    {1024, 2, 472417280, "A470M", 268469248, "3.027763e+09", "3.7848e+20", "3.5432e+20"},
    {1024, 4, 673743872, "A670M", 469795840, "4.235723e+09", "5.2948e+20", "5.0532e+20"},
    {1024, 8, 1076397056, "A1.1B", 872449024, "6.651642e+09", "8.3147e+20", "8.0732e+20"},
    {1024, 16, 1881703424, "A1.9B", 1677755392, "1.148348e+10", "1.4355e+21", "1.4113e+21"},
    {2048, 2, 1481705472, "A1.5B", 1073809408, "9.276752e+09", "1.1596e+21", "1.1113e+21"},
    {2048, 4, 2287011840, "A2.3B", 1879115776, "1.410859e+10", "1.7636e+21", "1.7153e+21"},
    {2048, 8, 3897624576, "A3.9B", 3489728512, "2.377227e+10", "2.9716e+21", "2.9233e+21"},
    {2048, 16, 7118850048, "A7.1B", 6710953984, "4.309962e+10", "5.3876e+21", "5.3393e+21"},
};

struct TotalRow {
  i64 d, experts, total;
  const char *label, *tpp;
};
constexpr TotalRow kTotal[] = {
    {512, 8, 320160256, "320M", "390.44"},     {512, 16, 521552384, "520M", "239.67"},
    {512, 32, 924336640, "920M", "135.24"},    {512, 64, 1729905152, "1.7B", "72.26"},
    {512, 128, 3341042176, "3.3B", "37.41"},   {512, 256, 6563316224, "6.6B", "19.05"},
    {1024, 8, 1076528128, "1.1B", "116.12"},   {1024, 16, 1881965568, "1.9B", "66.42"},
    {1024, 32, 3492840448, "3.5B", "35.79"},   {1024, 64, 6714590208, "6.7B", "18.62"},
    {1024, 128, 13158089728, "13.2B", "9.50"}, {1024, 256, 26045088768, "26.0B", "4.80"},
    {2048, 8, 3897886720, "3.9B", "32.07"},    {2048, 16, 7119374336, "7.1B", "17.56"},
    {2048, 32, 13562349568, "13.6B", "9.22"},  {2048, 64, 26448300032, "26.4B", "4.73"},
    {2048, 128, 52220200960, "52.2B", "2.39"},
};

constexpr double kTokens = 125002842112.0;  // 29,803 steps of 1024 sequences of 4096

TEST(OptimalSparsity, All65NamesAndCountsToTheDigit) {
  i64 models = 0;
  std::set<std::string> listed;
  for (const std::string& name : preset_names()) {
    if (name.rfind("optimal-sparsity-", 0) == 0) listed.insert(name);
  }
  for (const TotalRow& total : kTotal) {
    for (const ActiveRow& active : kActive) {
      if (active.d != total.d || active.k > total.experts) continue;
      ++models;
      const std::string plain = fmt::format("optimal-sparsity-d{}-E{}-k{}", total.d, total.experts, active.k);
      const std::string published = fmt::format("optimal-sparsity-math-d{}-E{}-k{}-{}-{}", total.d, total.experts,
                                                active.k, total.label, active.label);
      EXPECT_TRUE(listed.count(plain)) << plain;
      const ModelConfig config = preset_config(plain);
      EXPECT_EQ(optimal_sparsity_label(config), published);
      EXPECT_EQ(count_model(preset_config(published), 4096).parameters_total, total.total);
      const ModelCounts counts = count_model(config, 4096);
      EXPECT_EQ(counts.parameters_total, total.total);
      EXPECT_EQ(counts.parameters_active, active.active);
      EXPECT_EQ(counts.parameters_active - 2 * counts.parameters_embedding, active.active_without_embeddings);
      EXPECT_EQ(fmt::format("{:.6e}", counts.flops_per_token_megatron), active.flops);
      EXPECT_EQ(fmt::format("{:.4e}", counts.flops_per_token_megatron * kTokens), active.flops_125b);
      EXPECT_EQ(fmt::format("{:.4e}", counts.flops_per_token_6n * kTokens), active.flops_6nd);
      EXPECT_EQ(fmt::format("{:.2f}", kTokens / static_cast<double>(counts.parameters_total)), total.tpp);
    }
  }
  EXPECT_EQ(models, 65);
  EXPECT_EQ(static_cast<i64>(listed.size()), 65);
}

TEST(OptimalSparsity, CodeFamilyAndWrongSizes) {
  EXPECT_EQ(preset_config("optimal-sparsity-code-d512-E16-k8").experts.top_k, 8);
  EXPECT_THROW(preset_config("optimal-sparsity-math-d512-E64-k2-1.8B-A170M"), Error);
  EXPECT_THROW(preset_config("optimal-sparsity-d500-E64-k2"), Error);
  EXPECT_THROW(preset_config("optimal-sparsity-d512-E8-k16"), Error);
}

TEST(Presets, PublishedTotals) {
  const auto total = [](const char* name) { return count_model(preset_config(name), 4096).parameters_total; };
  EXPECT_EQ(total("mixtral-8x7b"), 46702792704);
  EXPECT_EQ(total("mixtral-8x22b"), 140620634112);
  EXPECT_EQ(total("olmoe-1b-7b"), 6919161856);
  EXPECT_EQ(total("qwen3-30b-a3b"), 30532122624);
  EXPECT_EQ(total("qwen3-235b-a22b"), 235093634560);
  EXPECT_EQ(total("deepseek-moe-16b"), 16375728128);
  EXPECT_EQ(total("megrez2-3x7b-a3b"), 7474249600);
  EXPECT_EQ(total("mixtral"), total("mixtral-8x7b"));
  const ModelCounts megrez = count_model(preset_config("megrez2-3x7b-a3b"), 4096);
  EXPECT_EQ(fmt::format("{:.3f}",
                        static_cast<double>(megrez.parameters_active_router - 2 * megrez.parameters_embedding) / 1e9),
            "2.992");
}

// In millions, as the facts on arXiv 2505.20225 print them (active: both embedding matrices and the router). The smallest
// is printed there as 37.9, cut off; it is 37.96.
TEST(Presets, FlameFamily) {
  const auto millions = [](const char* name, int digits) {
    const ModelCounts counts = count_model(preset_config(name), 2048);
    return fmt::format("{:.{}f} {:.{}f}", static_cast<double>(counts.parameters_total) / 1e6, digits,
                       static_cast<double>(counts.parameters_active_router) / 1e6, 1);
  };
  EXPECT_EQ(millions("flame-moe-38m-100m", 1), "100.7 38.0");
  EXPECT_EQ(millions("flame-moe-98m-349m", 1), "350.9 100.0");
  EXPECT_EQ(millions("flame-moe-115m-459m", 1), "461.2 116.2");
  EXPECT_EQ(millions("flame-moe-290m-1.3b", 0), "1300 296.5");
  EXPECT_EQ(millions("flame-moe-419m-2.2b", 0), "2182 425.9");
  EXPECT_EQ(millions("flame-moe-721m-3.8b", 0), "3839 734.9");
  EXPECT_EQ(millions("flame-moe-1.7b-10.3b", 0), "10284 1754.1");
}

TEST(Presets, UnknownNamesTheNearest) {
  try {
    preset_config("mixtral-8x7");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("mixtral-8x7b"), std::string::npos) << e.what();
  }
}

// By hand: V 10, d 4, 1 head, E 4, k 2, F 6, one layer.
TEST(Counts, TinyByHand) {
  ModelConfig config;
  config.vocab = 10;
  config.d_model = 4;
  config.layers = 1;
  config.attention.heads = 2;
  config.attention.kv_heads = 1;
  config.experts = {.experts = 4, .top_k = 2, .width = 6};
  config.resolve();
  const ModelCounts counts = count_model(config, 8);
  const i64 attention = 4 * (4 + 2 + 2) + 4 * 4;
  EXPECT_EQ(counts.parameters_total, 2 * 40 + 4 + attention + 8 + 4 * 72 + 16);
  EXPECT_EQ(counts.parameters_active, 2 * 40 + 4 + attention + 8 + 2 * 72);
  EXPECT_EQ(counts.parameters_active_router, counts.parameters_active + 16);
  EXPECT_DOUBLE_EQ(counts.flops_per_token_megatron, 6.0 * (attention + 144 + 40) + 12.0 * 8 * 4);
  EXPECT_DOUBLE_EQ(counts.flops_per_token_mfu, 6.0 * (attention + 144 + 40) + 12.0 * 4.5 * 4);
  EXPECT_DOUBLE_EQ(counts.kv_bytes_per_position, 2.0 * 2 * 2);
  config.attention.window = 2;  // 1 + 2 * 7 keys for 8 queries
  EXPECT_DOUBLE_EQ(count_model(config, 8).flops_per_token_mfu, 6.0 * (attention + 144 + 40) + 12.0 * 15.0 / 8 * 4);
}

TEST(Config, ResolveFillsAndRefuses) {
  ModelConfig config;
  config.experts.shared_experts = 1;
  config.resolve();
  EXPECT_EQ(config.attention.kv_heads, 4);
  EXPECT_EQ(config.attention.head_dim, 16);
  EXPECT_EQ(config.experts.width, 128);
  EXPECT_EQ(config.experts.dense_width, 3 * 128);
  const auto refused = [](auto&& change) {
    ModelConfig bad;
    change(bad);
    EXPECT_THROW(bad.resolve(), Error);
  };
  refused([](ModelConfig& c) { c.attention.kv_heads = 3; });
  refused([](ModelConfig& c) { c.attention.heads = 5; });
  refused([](ModelConfig& c) { c.attention.head_dim = 7; });
  refused([](ModelConfig& c) { c.experts.top_k = 9; });
  refused([](ModelConfig& c) { c.experts.top_k = 1; });
  refused([](ModelConfig& c) { c.experts.dense_layers_first = 5; });
  refused([](ModelConfig& c) { c.router.score = RouterScore::sigmoid, c.router.softmax_before_top_k = false; });
  refused([](ModelConfig& c) { c.d_model = -4; });
}

TEST(Config, Banks) {
  ModelConfig config;
  config.layers = 8;
  config.experts.dense_layers_first = 1;
  config.experts.bank_layers = 3;
  config.resolve();
  EXPECT_EQ(config.moe_layers(), 7);
  EXPECT_EQ(config.banks(), 3);
  EXPECT_EQ(config.bank_of_layer(3), 0);
  EXPECT_EQ(config.bank_of_layer(4), 1);
  EXPECT_EQ(config.bank_of_layer(7), 2);
}

}  // namespace
}  // namespace moebius::model
