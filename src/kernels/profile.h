// Where a step's time goes: a stop-watch that charges all time to one part of the work at a time. In: scopes in the
// code that runs the operations (one thread, outside of tasks). Out: nanoseconds and calls by part and direction. A
// nested scope pauses the outer one, so the parts add up to the total. Without a profile a scope costs one test of a
// pointer. Not for work inside tasks.
#pragma once

#include "base/types.h"

namespace moebius::kernels {

// The operations of a step; `other` is time outside of all scopes.
enum class Part {
  other,
  data,
  embedding,
  norm,
  query_key_value,
  rope,
  attention,
  output,
  route,
  dispatch,
  router_losses,
  experts,
  dense_ffn,
  combine,
  residual,
  head,
  gradient_norm,
  optimizer
};
inline constexpr i64 kParts = static_cast<i64>(Part::optimizer) + 1;

// forward; backward towards the input; the gradient of the weights.
enum class Direction { forward, backward, weight_gradient };
inline constexpr i64 kDirections = 3;

const char* part_name(Part part);

struct Profile {
  i64 ns[kParts][kDirections] = {};
  i64 calls[kParts][kDirections] = {};
  i64 total_ns() const;

  // Time runs from start to stop, which may be called repeatedly; between them the scopes of this process write here.
  void start();
  void stop();

  Part part = Part::other;
  Direction direction = Direction::forward;
  i64 since_ns = 0;
  void charge();  // charges the time since the last change to the current part
};

class ProfileScope {
 public:
  ProfileScope(Part part, Direction direction) { enter(part, direction, true); }
  // The direction of the scope around it.
  explicit ProfileScope(Part part) { enter(part, Direction::forward, false); }
  // The part of the scope around it.
  explicit ProfileScope(Direction direction);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

 private:
  void enter(Part part, Direction direction, bool direction_given);
  Profile* profile_ = nullptr;
  Part part_ = Part::other;  // of the scope around
  Direction direction_ = Direction::forward;
};

}  // namespace moebius::kernels
