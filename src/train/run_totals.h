// What the steps of a run took and did, summed over all of its processes. One list of fields serves the checkpoint's
// state, the result of a run, its record and the totals of a study. In: steps; out: JSON under the fields' names.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/types.h"

namespace moebius::train {

// A JSON key and its variable.
using Field = std::pair<const char*, std::variant<bool*, i64*, double*, std::string*>>;

void write_fields(const std::vector<Field>& fields, Json& object);
// Every key must be there; a number that is null becomes NaN. Throws Error that names the key.
void read_fields(const std::vector<Field>& fields, const Json& object);

struct RunTotals {
  i64 tokens = 0;           // rows fed
  double flops = 0;         // MFU's count
  double seconds = 0;       // in steps
  double wall_seconds = 0;  // from the first to the last step: with data, logging and checkpoints, without evaluations
  double roofline_seconds = 0;  // of the steps' roofline (model/roofline.h), with documents as they were packed
  // Of these three, the trunk's part before a branch began.
  double seconds_shared = 0, wall_seconds_shared = 0, roofline_seconds_shared = 0;

  std::vector<Field> fields();
  // Everything so far becomes the trunk's part.
  void begin_branch();
  double own_seconds() const { return seconds - seconds_shared; }
  double own_wall_seconds() const { return wall_seconds - wall_seconds_shared; }
  double own_roofline_seconds() const { return roofline_seconds - roofline_seconds_shared; }
};

}  // namespace moebius::train
