// A trace of what the network computes: one JSON line per operation with its name, layer, direction, time, and shape,
// checksum and statistics of every tensor it wrote (docs/formats.md). In: operations as the tape runs them.
// Out: a file that `moebius bench trace-diff` compares. Without a trace an operation pays one test of a pointer.
// Operations run one at a time (kernels/workspace.h), so nothing is locked.
#pragma once

#include <initializer_list>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "kernels/profile.h"
#include "model/weights.h"

namespace moebius::model {

// A tensor that an operation wrote; skipped when data is null.
struct TraceTensor {
  const char* name = "";
  ConstMatrix values;
};
using TraceTensors = std::initializer_list<TraceTensor>;

class Trace {
 public:
  // Becomes the process's trace until it is destroyed. The first lines replace the file, so that a command that has nothing
  // to compute leaves an older trace as it is. Throws Error when the file cannot be written.
  explicit Trace(const std::string& path);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // Null: nothing is traced.
  static Trace* current();

  // The lines that follow belong to the next pass; kind: "train", "score", "logits", "update".
  void begin_pass(const char* kind);
  // layer: -1 for the embedding, the number of layers for the last norm and the head.
  void write(kernels::Part part, const char* direction, i64 layer, i64 ns, TraceTensors tensors);
  // Master weights after an optimiser step, one line per parameter.
  void write_weights(const Weights& weights);

 private:
  void write_line(Json line);
  void write_pending();
  AppendFile file_;
  std::string replaced_;  // the path, until the file is replaced
  std::string pending_;
  std::string kind_;
  i64 pass_ = 0;
};

// Shape, FNV-1a checksum over the elements' bytes in row order, mean, root mean square, largest magnitude and the number
// of elements that are not finite. Strides do not enter: the same values give the same checksum.
Json describe_tensor(const TraceTensor& tensor);

// The first place in which two traces differ.
struct TraceDifference {
  i64 lines_equal = 0;  // before it
  bool found = false;
  std::string where;  // "pass 3 (train), layer 1, experts forward, y_TD"
  std::string what;   // how the two differ
};

// Compares line by line: operation, shapes, and checksums; with tolerance > 0 instead of the checksums the statistics:
// |mean difference| and |rms difference| at most tolerance * rms. Times are ignored. Throws Error when a file is no trace.
TraceDifference trace_compare(const std::string& path_a, const std::string& path_b, double tolerance);

}  // namespace moebius::model
