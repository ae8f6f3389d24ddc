// The table for AMX: that of AVX-512 until the tiles stand.
#include "kernels/table.h"

namespace moebius::kernels {

const OpTable& amx_table() { return avx512_table(); }

}  // namespace moebius::kernels
