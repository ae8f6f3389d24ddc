// The stop-watch: nested scopes stop the outer one, the parts add up to the whole, and without a profile nothing
// happens.
#include "kernels/profile.h"

#include <gtest/gtest.h>

#include "base/progress.h"

namespace moebius::kernels {
namespace {

void spin(i64 ns) {
  const i64 start = clock_ns();
  while (clock_ns() - start < ns) {}
}

i64 at(const Profile& profile, Part part, Direction direction) {
  return profile.ns[static_cast<i64>(part)][static_cast<i64>(direction)];
}

TEST(Profile, PartsAddUpToTheWhole) {
  constexpr i64 kMs = 1000000;
  Profile profile;
  const i64 start = clock_ns();
  profile.start();
  {
    const ProfileScope outer(Part::experts, Direction::backward);
    spin(2 * kMs);
    {
      const ProfileScope inner(Part::combine);
      spin(3 * kMs);
    }
    const ProfileScope weights(Direction::weight_gradient);
    spin(4 * kMs);
  }
  spin(kMs);
  profile.stop();
  const i64 elapsed = clock_ns() - start;
  EXPECT_GE(at(profile, Part::experts, Direction::backward), 2 * kMs);
  EXPECT_GE(at(profile, Part::combine, Direction::backward), 3 * kMs);
  EXPECT_GE(at(profile, Part::experts, Direction::weight_gradient), 4 * kMs);
  EXPECT_GE(at(profile, Part::other, Direction::forward), kMs);
  EXPECT_EQ(at(profile, Part::combine, Direction::forward), 0);
  EXPECT_EQ(profile.calls[static_cast<i64>(Part::experts)][static_cast<i64>(Direction::backward)], 1);
  EXPECT_LE(profile.total_ns(), elapsed);
  EXPECT_GE(profile.total_ns(), 10 * kMs);
}

TEST(Profile, WithoutStartNothingIsCounted) {
  Profile profile;
  {
    const ProfileScope scope(Part::norm, Direction::forward);
    const ProfileScope same(Direction::backward);
  }
  EXPECT_EQ(profile.total_ns(), 0);
  EXPECT_EQ(profile.calls[static_cast<i64>(Part::norm)][0], 0);
}

}  // namespace
}  // namespace moebius::kernels
