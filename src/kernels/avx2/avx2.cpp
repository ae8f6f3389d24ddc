// The table for AVX2 with FMA. This file is compiled for that set: it must export this one function and nothing else.
#include "kernels/avx2/vec.h"

#include "kernels/body/table_body.h"

namespace moebius::kernels {

namespace {

OpTable make_table() {
  OpTable t{};
  fill_table<Avx2>(t);
  fill_attention_avx2(t);
  fill_wide<Avx2>(t.typed[1]);
  return t;
}

}  // namespace

const OpTable& avx2_table() {
  static const OpTable table = make_table();
  return table;
}

}  // namespace moebius::kernels
