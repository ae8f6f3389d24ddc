// How long a shape of model takes on this machine: a few training steps on random tokens, and a part of its evaluation.
// In: a run file; out: seconds. Results of training do not depend on it.
#pragma once

#include "study/run_file.h"

namespace moebius::study {

// Evaluations are timed on a few items of each task and a few tokens of each source, and scaled to all of them.
ShapeTime time_shape(const RunFile& file);

}  // namespace moebius::study
