// Whole heads of attention for any processor: one function of table.h, nothing else is exported.
#include <algorithm>

#include "kernels/portable/vec.h"

#include "kernels/body/attention_body.h"

namespace moebius::kernels {

void fill_attention_portable(OpTable& table) { fill_attention<Portable>(table); }

}  // namespace moebius::kernels
