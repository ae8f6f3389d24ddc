// Packing between row-major and block order (packed.h), for loading, saving and tests: not a hot path.
#include "kernels/packed.h"

#include "base/parallel.h"

namespace moebius::kernels {

void pack_matrix(const float* src_NK, PackedShape shape, float* dst) {
  parallel_for(shape.n_blocks(), [&](i64 block_n, int) {
    for (i64 n = block_n * kBlock; n < (block_n + 1) * kBlock; ++n)
      for (i64 k = 0; k < shape.k_blocks() * kBlock; ++k) {
        const bool inside = n < shape.n && k < shape.k;
        dst[shape.index(n, k)] = inside ? src_NK[n * shape.k + k] : 0.0f;
      }
  });
}

void unpack_matrix(const float* src, PackedShape shape, float* dst_NK) {
  parallel_for(shape.n, [&](i64 n, int) {
    for (i64 k = 0; k < shape.k; ++k) dst_NK[n * shape.k + k] = src[shape.index(n, k)];
  });
}

}  // namespace moebius::kernels
