// The check of tiles: agreement is seen, disagreement is seen, and a crash in the child is survived.
#include "kernels/tile_check.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "kernels/cases.h"
#include "kernels/isa.h"
#include "kernels/linear.h"
#include "kernels/test_support.h"

namespace moebius::kernels {
namespace {

TEST(TileCheck, EmulatedTilesAgreeWithVectors) {
  EXPECT_TRUE(products_agree(amx_emulated_table(), portable_table()));
  if (isa_supported(Isa::avx512)) {
    EXPECT_TRUE(products_agree(amx_emulated_table(), avx512_table()));
  }
  if (isa_supported(Isa::amx)) {
    EXPECT_TRUE(products_agree(amx_table(), avx512_table()));
  }
}

// The emulation follows Intel's description of the instruction to the bit, so a processor's tiles must give the same
// bits.
TEST(TileCheck, TilesHaveTheBitsOfTheirEmulation) {
  if (!isa_supported(Isa::amx)) GTEST_SKIP() << "no AMX here (tests/peers/amx runs this under an emulator)";
  isa_select("amx");
  for (const LinearCase& c : kLinearCases) {
    SCOPED_TRACE(testing::Message() << c.tokens << " " << c.n << " " << c.k);
    const TestWeight w(DType::bf16, {c.n, c.k}, 1, 0.1);
    TestMatrix x(DType::bf16, c.tokens, c.k), dy(DType::bf16, c.tokens, c.n);
    TestMatrix y(DType::f32, c.tokens, c.n), half(DType::bf16, c.tokens, c.n);
    x.random(2);
    dy.random(3);
    std::vector<std::vector<unsigned char>> outputs, rounded;
    std::vector<std::vector<float>> gradients;
    for (const OpTable* table : {&amx_table(), &amx_emulated_table()}) {
      override_table(table);
      linear_forward(x.view, w.weight, y.view, false);
      linear_forward(x.view, w.weight, half.view, false);
      outputs.push_back(bytes_of(y.view));
      rounded.push_back(bytes_of(half.view));
      std::vector<float> dw(static_cast<size_t>(w.weight.shape.elements()), 0.0f);
      linear_backward_weight(dy.view, x.view, w.weight.shape, dw.data());
      gradients.push_back(dw);
    }
    override_table(nullptr);
    EXPECT_EQ(outputs[0], outputs[1]);
    EXPECT_EQ(rounded[0], rounded[1]);
    EXPECT_EQ(gradients[0], gradients[1]);
  }
  isa_select("auto");
}

TEST(TileCheck, AWrongProductIsSeen) {
  OpTable wrong = portable_table();
  wrong.typed[1].pairs = [](const PairsProduct&) {};
  EXPECT_FALSE(products_agree(wrong, portable_table()));
  wrong = portable_table();
  wrong.typed[1].rows = [](const RowsProduct& product) { static_cast<float*>(product.out)[7] = 100; };
  EXPECT_FALSE(products_agree(wrong, portable_table()));
  for (const bool forward : {true, false}) {
    wrong = portable_table();
    (forward ? wrong.typed[1].head_forward : wrong.typed[1].head_backward) = [](const HeadAttention&) -> i64 {
      return 0;
    };
    EXPECT_FALSE(products_agree(wrong, portable_table())) << forward;
  }
}

// Whoever started the program may have left SIGCHLD ignored: then a child's status is lost.
TEST(TileCheck, IgnoredChildrenAreHeard) {
  const auto before = std::signal(SIGCHLD, SIG_IGN);
  EXPECT_TRUE(holds_in_child([] { return true; }));
  EXPECT_FALSE(holds_in_child([] { return false; }));
  std::signal(SIGCHLD, before);
}

TEST(TileCheck, ACrashingCheckIsFalse) {
  EXPECT_TRUE(holds_in_child([] { return true; }));
  EXPECT_FALSE(holds_in_child([] { return false; }));
  EXPECT_FALSE(holds_in_child([]() -> bool {
    std::signal(SIGILL, SIG_DFL);
    std::raise(SIGILL);
    return true;
  }));
}

}  // namespace
}  // namespace moebius::kernels
