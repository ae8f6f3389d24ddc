// The tape: the block-level operations of one pass, in order; backward runs them in reverse. It holds views, no values,
// and keeps its memory between passes.
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

  void reserve(i64 ops) { ops_.reserve(static_cast<std::size_t>(ops)); }
  void start(bool recording) {
    recording_ = recording;
    ops_.clear();
  }
  template <typename T>
  void run(T op) {
    const kernels::ProfileScope scope(op.part(), kernels::Way::forward);
    op.forward();
    if (recording_) ops_.emplace_back(op);
  }
  void backward() const {
    for (auto op = ops_.rbegin(); op != ops_.rend(); ++op) {
      std::visit(
          [](const auto& one) {
            const kernels::ProfileScope scope(one.part(), kernels::Way::backward);
            one.backward();
          },
          *op);
    }
  }

 private:
  std::vector<Op> ops_;
  bool recording_ = false;
};

}  // namespace moebius::model
