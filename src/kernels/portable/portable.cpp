// The table for any processor, in plain C++ with 4-float vectors.
#include <algorithm>

#include "kernels/portable/vec.h"

#include "kernels/body/table_body.h"

namespace moebius::kernels {

const OpTable& portable_table() {
  static const OpTable table = [] {
    OpTable t{};
    fill_table<Portable>(t);
    fill_attention_portable(t);
    fill_wide<Portable>(t.typed[1]);
    return t;
  }();
  return table;
}

}  // namespace moebius::kernels
