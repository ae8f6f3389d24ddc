// How often this test program has called operator new. Tests only.
#pragma once

#include "base/types.h"

namespace moebius::model {

i64 count_news();

}  // namespace moebius::model
