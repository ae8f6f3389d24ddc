// Writing and comparing traces. In, out: trace.h.
#include "model/trace.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "base/check.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace moebius::model {

namespace {

constexpr std::size_t kPendingBytes = 1 << 18;

Trace* current_trace = nullptr;

double element(const ConstMatrix& m, i64 row, i64 col) {
  if (m.dtype == DType::f32) return static_cast<double>(static_cast<const float*>(m.row(row))[col]);
  if (m.dtype == DType::bf16) return static_cast<double>(to_float(static_cast<const bf16*>(m.row(row))[col]));
  CHECK(m.dtype == DType::i32, "a trace holds f32, bf16 and i32");
  return static_cast<double>(static_cast<const i32*>(m.row(row))[col]);
}

std::string place(const Json& line, const std::string& tensor) {
  const i64 layer = line.get_int("layer", -1);
  return fmt::format("pass {} ({}), layer {}, {} {}{}", line.get_int("pass", 0), line.get_string("kind", ""), layer,
                     line.get_string("operation", ""), line.get_string("direction", ""),
                     tensor.empty() ? "" : ", " + tensor);
}

std::string statistics(const Json& tensor) {
  return fmt::format("mean {:.6g}, rms {:.6g}, largest {:.6g}, {} not finite", tensor.get_double("mean", NAN),
                     tensor.get_double("rms", NAN), tensor.get_double("max_abs", NAN), tensor.get_int("not_finite", 0));
}

bool tensors_agree(const Json& a, const Json& b, double tolerance) {
  if (a.at("checksum") == b.at("checksum")) return true;
  if (tolerance <= 0 || a.at("not_finite").as_int() > 0 || b.at("not_finite").as_int() > 0) return false;
  const double rms = std::max(a.at("rms").as_double(), b.at("rms").as_double());
  return std::fabs(a.at("rms").as_double() - b.at("rms").as_double()) <= tolerance * rms &&
         std::fabs(a.at("mean").as_double() - b.at("mean").as_double()) <= tolerance * rms;
}

// Lines of a trace, one at a time.
class TraceReader {
 public:
  explicit TraceReader(const std::string& path) : path_(path), map_(path) {}
  // False at the end of the file.
  bool next(Json& line) {
    if (at_ >= map_.bytes()) return false;
    const std::string_view rest(reinterpret_cast<const char*>(map_.data()) + at_,
                                static_cast<std::size_t>(map_.bytes() - at_));
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    at_ += static_cast<i64>(end) + 1;
    ++number_;
    line = Json::parse(rest.substr(0, end), fmt::format("{}, line {}", path_, number_));
    for (const char* key : {"pass", "kind", "operation", "direction", "layer", "tensors"}) {
      if (line.is_object() && line.contains(key)) continue;
      throw Error({.where = fmt::format("{}, line {}", path_, number_),
                   .what = fmt::format("not a line of a trace: '{}' is missing", key),
                   .fix = "compare two files that --trace wrote"});
    }
    return true;
  }

 private:
  std::string path_;
  FileMap map_;
  i64 at_ = 0, number_ = 0;
};

// Empty: the lines agree.
std::string line_difference(const Json& a, const Json& b, double tolerance, std::string& tensor_name) {
  for (const char* key : {"kind", "operation", "direction", "layer"}) {
    if (!(a.at(key) == b.at(key)))
      return fmt::format("the first trace has {} here, the second {}", place(a, ""), place(b, ""));
  }
  const Json::Array &left = a.at("tensors").as_array(), &right = b.at("tensors").as_array();
  if (left.size() != right.size())
    return fmt::format("{} tensors in the first trace, {} in the second", left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) {
    tensor_name = left[i].at("name").as_string();
    if (!(left[i].at("name") == right[i].at("name")) || !(left[i].at("shape") == right[i].at("shape")))
      return fmt::format("{} {} in the first trace, {} {} in the second", left[i].at("name").as_string(),
                         left[i].at("shape").dump(), right[i].at("name").as_string(), right[i].at("shape").dump());
    if (!tensors_agree(left[i], right[i], tolerance))
      return fmt::format("first:  {}\n  second: {}", statistics(left[i]), statistics(right[i]));
  }
  return "";
}

}  // namespace

Json describe_tensor(const TraceTensor& tensor) {
  const ConstMatrix& m = tensor.values;
  u64 hash = kHashStart;
  double sum = 0, squares = 0, largest = 0;
  i64 not_finite = 0;
  for (i64 r = 0; r < m.rows; ++r) {
    hash =
        hash_text({static_cast<const char*>(m.row(r)), static_cast<std::size_t>(m.cols * dtype_bytes(m.dtype))}, hash);
    for (i64 c = 0; c < m.cols; ++c) {
      const double v = element(m, r, c);
      if (!std::isfinite(v)) {
        ++not_finite;
        continue;
      }
      sum += v;
      squares += v * v;
      largest = std::max(largest, std::fabs(v));
    }
  }
  const double count = std::max(1.0, static_cast<double>(m.rows * m.cols - not_finite));
  return Json::object({{"name", tensor.name},
                       {"dtype", dtype_name(m.dtype)},
                       {"shape", Json(std::vector<i64>{m.rows, m.cols})},
                       {"checksum", fmt::format("{:016x}", hash)},
                       {"mean", sum / count},
                       {"rms", std::sqrt(squares / count)},
                       {"max_abs", largest},
                       {"not_finite", not_finite}});
}

Trace::Trace(const std::string& path) {
  CHECK(current_trace == nullptr, "one trace at a time");
  file_ = AppendFile(path);
  replaced_ = path;
  current_trace = this;
}

Trace::~Trace() {
  current_trace = nullptr;
  try {
    write_pending();
  } catch (const Error&) {
    log_warning("the end of the trace could not be written; the file is incomplete");
  }
}

Trace* Trace::current() { return current_trace; }

void Trace::begin_pass(const char* kind) {
  kind_ = kind;
  ++pass_;
}

void Trace::write(kernels::Part part, const char* direction, i64 layer, i64 ns, TraceTensors tensors) {
  Json list = Json::array();
  for (const TraceTensor& tensor : tensors) {
    if (tensor.values.data != nullptr) list.push_back(describe_tensor(tensor));
  }
  write_line(Json::object({{"pass", pass_},
                           {"kind", kind_},
                           {"layer", layer},
                           {"operation", kernels::part_name(part)},
                           {"direction", direction},
                           {"ns", ns},
                           {"tensors", std::move(list)}}));
}

void Trace::write_weights(const Weights& weights) {
  begin_pass("update");
  for (const Parameter& p : weights.parameters) {
    write(kernels::Part::optimizer, "forward", -1, 0,
          {{p.name.c_str(), {weights.master_data(p), DType::f32, 1, p.count, p.count}}});
  }
}

void Trace::write_line(Json line) {
  pending_ += line.dump() + "\n";
  if (pending_.size() >= kPendingBytes) write_pending();
}

void Trace::write_pending() {
  if (pending_.empty()) return;
  if (std::filesystem::is_regular_file(replaced_)) {
    file_remove(replaced_);
    file_ = AppendFile(replaced_);
  }
  replaced_.clear();
  file_.append(pending_);
  pending_.clear();
}

TraceDifference trace_compare(const std::string& path_a, const std::string& path_b, double tolerance) {
  TraceReader a(path_a), b(path_b);
  TraceDifference result;
  Json left, right;
  while (true) {
    const bool more_a = a.next(left), more_b = b.next(right);
    if (!more_a && !more_b) return result;
    if (more_a != more_b) {
      result.found = true;
      result.where = place(more_a ? left : right, "");
      result.what = fmt::format("{} ends here", more_a ? path_b : path_a);
      return result;
    }
    std::string tensor;
    result.what = line_difference(left, right, tolerance, tensor);
    if (!result.what.empty()) {
      result.found = true;
      result.where = place(left, tensor);
      return result;
    }
    ++result.lines_equal;
  }
}

}  // namespace moebius::model
