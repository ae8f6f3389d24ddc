// The machine's roof.
#include "kernels/roof.h"

namespace moebius::kernels {

Roof roof_measure(Isa, int, bool) { return {}; }

}  // namespace moebius::kernels
