// The tape: the block-level operations of one pass, in order; backward runs them in reverse. It holds views, no values,
// and keeps its memory between passes. It is cut into parts (the layers); where parts share one place for their values,
// backward recomputes a part's values first.
#pragma once

#include <variant>
#include <vector>

#include "kernels/profile.h"
#include "model/ops_attention.h"
#include "model/ops_ffn.h"
#include "model/ops_head.h"

namespace moebius::model {

class Tape {
 public:
  using Op = std::variant<EmbeddingOp, NormOp, QueryKeyValueOp, AttentionOp, OutputOp, RouteOp, ExpertsOp, HeadOp>;

  void reserve(i64 ops, i64 parts) {
    ops_.reserve(static_cast<std::size_t>(ops));
    parts_.reserve(static_cast<std::size_t>(parts));
  }
  void start(bool recording) {
    recording_ = recording;
    ops_.clear();
    parts_.clear();
  }
  // What runs from here to the next part; `again`: its values are gone when backward comes to it.
  void begin_part(bool again) {
    if (recording_) parts_.push_back({ops_.size(), again});
  }
  template <typename T>
  void run(T op) {
    const kernels::ProfileScope scope(op.part(), kernels::Way::forward);
    op.forward();
    if (recording_) ops_.emplace_back(op);
  }
  void backward() const {
    std::size_t end = ops_.size();
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      for (std::size_t i = part->begin; part->again && i < end; ++i) std::visit(make_again, ops_[i]);
      for (std::size_t i = end; i-- > part->begin;) std::visit(go_back, ops_[i]);
      end = part->begin;
    }
  }

 private:
  struct Part {
    std::size_t begin = 0;
    bool again = false;
  };
  // forward_again() recomputes the values of operations whose forward() has further effects.
  static constexpr auto make_again = [](const auto& one) {
    const kernels::ProfileScope scope(one.part(), kernels::Way::backward);
    if constexpr (requires { one.forward_again(); }) {
      one.forward_again();
    } else {
      one.forward();
    }
  };

  static constexpr auto go_back = [](const auto& one) {
    const kernels::ProfileScope scope(one.part(), kernels::Way::backward);
    one.backward();
  };

  std::vector<Op> ops_;
  std::vector<Part> parts_;
  bool recording_ = false;
};

}  // namespace moebius::model
