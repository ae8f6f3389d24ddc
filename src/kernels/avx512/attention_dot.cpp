// Whole heads of attention for AVX-512 by the dot product of bf16 pairs: one function of table.h, nothing else is
// exported.
#include "kernels/avx512/attention_dot.h"

#include "kernels/avx512/vec.h"
#include "kernels/body/attention_body.h"

namespace moebius::kernels {

void fill_attention_avx512_dot(OpTable& table) {
  table.typed[1].head_forward = head_forward<Avx512, DotProducts, bf16>;
  table.typed[1].head_backward = head_backward<Avx512, DotProducts, bf16>;
}

}  // namespace moebius::kernels
