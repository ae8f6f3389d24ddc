// CHECK: the program's own faults. Always on; prints file, line, condition and reason, then aborts.
// DCHECK is the same for hot loops and vanishes in release builds. Not for bad input: that is Error (base/error.h).
#pragma once

namespace moebius {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const char* why);

}  // namespace moebius

#define CHECK(condition, why)                                       \
  do {                                                              \
    if (!(condition)) [[unlikely]]                                  \
      ::moebius::check_failed(__FILE__, __LINE__, #condition, why); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition, why) ((void)0)
#else
#define DCHECK(condition, why) CHECK(condition, why)
#endif
