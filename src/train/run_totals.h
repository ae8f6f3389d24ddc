// What the steps of a run took and did, summed over all of its processes. One list of fields serves the checkpoint's
// state, the result of a run, its record and the totals of a study. In: steps; out: JSON under the fields' names.
#pragma once

#include "records/fields.h"

namespace moebius::train {

struct RunTotals {
  i64 tokens = 0;           // rows fed
  double flops = 0;         // MFU's count
  double seconds = 0;       // in steps
  double wall_seconds = 0;  // from the first to the last step: with data, logging and checkpoints, without evaluations
  double roofline_seconds = 0;  // of the steps' roofline (model/roofline.h), with documents as they were packed
  // Of these three, the trunk's part before a branch began.
  double seconds_shared = 0, wall_seconds_shared = 0, roofline_seconds_shared = 0;

  void visit(records::Fields& f) {
    f("tokens", tokens)("flops", flops)("seconds", seconds)("wall_seconds", wall_seconds);
    f("roofline_seconds", roofline_seconds)("seconds_shared", seconds_shared);
    f("wall_seconds_shared", wall_seconds_shared)("roofline_seconds_shared", roofline_seconds_shared);
  }
  // Everything so far becomes the trunk's part.
  void begin_branch() {
    seconds_shared = seconds;
    wall_seconds_shared = wall_seconds;
    roofline_seconds_shared = roofline_seconds;
  }
  double own_seconds() const { return seconds - seconds_shared; }
  double own_wall_seconds() const { return wall_seconds - wall_seconds_shared; }
  double own_roofline_seconds() const { return roofline_seconds - roofline_seconds_shared; }
};

}  // namespace moebius::train
