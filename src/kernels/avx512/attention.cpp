// Whole heads of attention for AVX-512, by f32 multiply-add: one function of table.h, nothing else is exported.
#include "kernels/avx512/vec.h"

#include "kernels/body/attention_body.h"

namespace moebius::kernels {

void fill_attention_avx512(OpTable& table) { fill_attention<Avx512>(table); }

}  // namespace moebius::kernels
