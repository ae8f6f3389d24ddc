// The end of a failed CHECK.
#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace moebius {

void check_failed(const char* file, int line, const char* condition, const char* why) {
  std::fprintf(stderr, "%s:%d: internal fault: CHECK(%s): %s\nThis is a bug in moebius; please report it.\n", file,
               line, condition, why);
  std::fflush(stderr);
  std::abort();
}

}  // namespace moebius
