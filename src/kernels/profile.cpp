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

i64 Profile::total_ns() const {
  i64 sum = 0;
  for (const auto& part_ns : ns)
    for (const i64 direction_ns : part_ns) sum += direction_ns;
  return sum;
}

void Profile::charge() {
  const i64 now = clock_ns();
  ns[static_cast<i64>(part)][static_cast<i64>(direction)] += now - since_ns;
  since_ns = now;
}

void Profile::start() {
  CHECK(current == nullptr, "one profile at a time");
  part = Part::other;
  direction = Direction::forward;
  since_ns = clock_ns();
  current = this;
}

void Profile::stop() {
  CHECK(current == this, "another profile runs");
  charge();
  current = nullptr;
}

ProfileScope::ProfileScope(Direction direction) {
  if (current != nullptr) enter(current->part, direction, true);
}

void ProfileScope::enter(Part part, Direction direction, bool direction_given) {
  profile_ = current;
  if (profile_ == nullptr) return;
  profile_->charge();
  part_ = profile_->part;
  direction_ = profile_->direction;
  profile_->part = part;
  if (direction_given) profile_->direction = direction;
  ++profile_->calls[static_cast<i64>(part)][static_cast<i64>(profile_->direction)];
}

ProfileScope::~ProfileScope() {
  if (profile_ == nullptr || profile_ != current) return;
  profile_->charge();
  profile_->part = part_;
  profile_->direction = direction_;
}

}  // namespace moebius::kernels
