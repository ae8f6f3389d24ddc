// The list of fields, written and read.
// In, out: run_totals.h.
#include "train/run_totals.h"

#include <cmath>

namespace moebius::train {

namespace {

struct Read {
  const Json& value;
  void operator()(bool* field) const { *field = value.as_bool(); }
  void operator()(i64* field) const { *field = value.as_int(); }
  void operator()(double* field) const { *field = value.is_null() ? std::nan("") : value.as_double(); }
  void operator()(std::string* field) const { *field = value.as_string(); }
};

}  // namespace

void write_fields(const std::vector<Field>& fields, Json& object) {
  for (const auto& [key, field] : fields) {
    object.set(key, std::visit([](const auto* value) { return Json(*value); }, field));
  }
}

void read_fields(const std::vector<Field>& fields, const Json& object) {
  for (const auto& [key, field] : fields) std::visit(Read{object.at(key)}, field);
}

std::vector<Field> RunTotals::fields() {
  return {{"tokens", &tokens},
          {"flops", &flops},
          {"seconds", &seconds},
          {"wall_seconds", &wall_seconds},
          {"roofline_seconds", &roofline_seconds},
          {"seconds_shared", &seconds_shared},
          {"wall_seconds_shared", &wall_seconds_shared},
          {"roofline_seconds_shared", &roofline_seconds_shared}};
}

void RunTotals::begin_branch() {
  seconds_shared = seconds;
  wall_seconds_shared = wall_seconds;
  roofline_seconds_shared = roofline_seconds;
}

}  // namespace moebius::train
