// Whole heads of attention for AVX2: one function of table.h, nothing else is exported.
#include "kernels/avx2/vec.h"

#include "kernels/body/attention_body.h"

namespace moebius::kernels {

void fill_attention_avx2(OpTable& table) { fill_attention<Avx2>(table); }

}  // namespace moebius::kernels
