// The tape: the block-level operations of one pass, in order; backward runs them in reverse. It holds views, no values,
// and keeps its memory between passes. It is cut into parts (the layers); where parts share one place for their values,
// backward recomputes a part's values first.
#pragma once

#include <variant>
#include <vector>

#include "base/progress.h"
#include "kernels/profile.h"
#include "model/ops_attention.h"
#include "model/ops_ffn.h"
#include "model/ops_head.h"
#include "model/trace.h"

namespace moebius::model {

class Tape {
 public:
  using Op = std::variant<EmbeddingOp, NormOp, QueryKeyValueOp, AttentionOp, OutputOp, RouteOp, ExpertsOp, HeadOp>;

  void reserve(i64 ops, i64 parts) {
    ops_.reserve(static_cast<std::size_t>(ops));
    parts_.reserve(static_cast<std::size_t>(parts));
  }
  // kind: of the pass, for a trace.
  void start(bool recording, const char* kind) {
    recording_ = recording;
    part_ = -1;
    if (Trace* trace = Trace::current()) trace->begin_pass(kind);
    ops_.clear();
    parts_.clear();
  }
  // What runs from here to the next part; `again`: its values are gone when backward comes to it.
  void begin_part(bool again) {
    ++part_;
    if (recording_) parts_.push_back({ops_.size(), again});
  }
  template <typename T>
  void run(T op) {
    const kernels::ProfileScope scope(op.part(), kernels::Direction::forward);
    traced(
        op, "forward", part_ - 1, [&op] { op.forward(); }, [&op](auto write) { op.outputs(write); });
    if (recording_) ops_.emplace_back(op);
  }
  void backward() const {
    std::size_t end = ops_.size();
    i64 layer = part_ - 1;
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part, --layer) {
      const auto make_again = [layer](const auto& one) { recompute(one, layer); };
      const auto go_back = [layer](const auto& one) { run_backward(one, layer); };
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
  // Runs the operation; with a trace, `show` passes what it wrote to the trace.
  template <typename T, typename Run, typename Show>
  static void traced(const T& op, const char* direction, i64 layer, Run run, Show show) {
    Trace* trace = Trace::current();
    if (trace == nullptr) return run();
    const i64 begin_ns = clock_ns();
    run();
    const i64 ns = clock_ns() - begin_ns;
    show([&](TraceTensors tensors) { trace->write(op.part(), direction, layer, ns, tensors); });
  }

  // forward_again() recomputes the values of operations whose forward() has further effects.
  template <typename T>
  static void recompute(const T& one, i64 layer) {
    const kernels::ProfileScope scope(one.part(), kernels::Direction::backward);
    const auto run = [&one] {
      if constexpr (requires { one.forward_again(); }) {
        one.forward_again();
      } else {
        one.forward();
      }
    };
    traced(one, "recompute", layer, run, [](auto write) { write({}); });
  }

  template <typename T>
  static void run_backward(const T& one, i64 layer) {
    const kernels::ProfileScope scope(one.part(), kernels::Direction::backward);
    traced(
        one, "backward", layer, [&one] { one.backward(); }, [&one](auto write) { one.gradients(write); });
  }

  std::vector<Op> ops_;
  std::vector<Part> parts_;
  i64 part_ = -1;  // 0: the embedding, then the layers, then the last norm and the head
  bool recording_ = false;
};

}  // namespace moebius::model
