// The check of tiles: agreement is seen, disagreement is seen, and a crash in the child is survived.
#include "kernels/tile_check.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "kernels/isa.h"

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

TEST(TileCheck, AWrongProductIsSeen) {
  OpTable wrong = portable_table();
  wrong.typed[1].pairs = [](const PairsProduct&) {};
  EXPECT_FALSE(products_agree(wrong, portable_table()));
  wrong = portable_table();
  wrong.typed[1].rows = [](const RowsProduct& product) { static_cast<float*>(product.out)[7] = 100; };
  EXPECT_FALSE(products_agree(wrong, portable_table()));
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
