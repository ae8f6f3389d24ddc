// Memory of this process, and memory that is still available. In: /proc and the control group; out: bytes.
// Allocates almost nothing. Not for the sizes of our own buffers: tensor/buffer.h.
#pragma once

#include "base/types.h"

namespace moebius {

// Resident now, and the largest it has been (VmRSS, VmHWM: code, libraries, stacks, heap and mapped files). 0: unknown.
i64 memory_resident();
i64 memory_peak();
// Resets the peak to what is resident now; false if the system forbids it: then the peak remains that of the whole
// process.
bool memory_peak_reset();

// Memory that may still be taken: MemAvailable, or what the control group (v2) leaves if that is less.
i64 memory_available();

}  // namespace moebius
