// The stop-watch: one pointer for the process, set between start and stop. In, out: profile.h.
// Operations are run by one thread at a time (kernels/workspace.h says the same of scratch memory), so nothing is
// locked.
#include "kernels/profile.h"

#include "base/check.h"
#include "base/progress.h"

namespace moebius::kernels {

namespace {
Profile* current = nullptr;
}  // namespace

const char* part_name(Part part) {
  static const char* const names[] = {"other",         "data",          "embedding", "norm",    "query, key, value",
                                      "rope",          "attention",     "output",    "route",   "dispatch",
                                      "router losses", "experts",       "dense FFN", "combine", "residual",
                                      "head and loss", "gradient norm", "optimiser"};
  static_assert(sizeof(names) / sizeof(names[0]) == kParts);
  return names[static_cast<i64>(part)];
}

const char* way_name(Way way) {
  static const char* const names[] = {"forward", "backward", "weight gradient"};
  return names[static_cast<i64>(way)];
}

i64 Profile::total_ns() const {
  i64 sum = 0;
  for (const auto& part_ns : ns)
    for (const i64 way_ns : part_ns) sum += way_ns;
  return sum;
}

void Profile::charge() {
  const i64 now = clock_ns();
  ns[static_cast<i64>(part)][static_cast<i64>(way)] += now - since_ns;
  since_ns = now;
}

void Profile::start() {
  CHECK(current == nullptr, "one profile at a time");
  part = Part::other;
  way = Way::forward;
  since_ns = clock_ns();
  current = this;
}

void Profile::stop() {
  CHECK(current == this, "another profile runs");
  charge();
  current = nullptr;
}

ProfileScope::ProfileScope(Way way) {
  if (current != nullptr) enter(current->part, way, true);
}

void ProfileScope::enter(Part part, Way way, bool way_given) {
  profile_ = current;
  if (profile_ == nullptr) return;
  profile_->charge();
  part_ = profile_->part;
  way_ = profile_->way;
  profile_->part = part;
  if (way_given) profile_->way = way;
  ++profile_->calls[static_cast<i64>(part)][static_cast<i64>(profile_->way)];
}

ProfileScope::~ProfileScope() {
  if (profile_ == nullptr || profile_ != current) return;
  profile_->charge();
  profile_->part = part_;
  profile_->way = way_;
}

}  // namespace moebius::kernels
