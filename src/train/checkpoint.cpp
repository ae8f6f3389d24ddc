// Saving: everything goes to OUT/checkpoint.new, is synced, and takes the place of OUT/checkpoint at once.
#include "train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/file.h"
#include "base/units.h"
#include "model/checkpoint.h"
#include "tensor/safetensors.h"

namespace moebius::train {

namespace {

constexpr i64 kFormatVersion = 2;  // 2: digests of the data
constexpr i64 kReadBytes = i64{16} << 20;

struct Paths {
  std::string current, fresh, retired;
  explicit Paths(const std::string& out)
      : current(path_join(out, "checkpoint")),
        fresh(path_join(out, "checkpoint.new")),
        retired(path_join(out, "checkpoint.old")) {}
};

struct Part {
  std::string name;
  std::span<float> values;
};

// Views of everything that optimizer.safetensors holds. Reading fills them, so they are not const.
std::vector<Part> list_parts(const model::Weights& weights, const AdamwState& adamw, std::span<float> bias) {
  std::vector<Part> parts;
  const auto add = [&](const char* arena, float* data) {
    for (const model::Parameter& parameter : weights.parameters) {
      parts.push_back({fmt::format("{}.{}", arena, parameter.name),
                       {data + parameter.offset, static_cast<std::size_t>(parameter.count)}});
    }
  };
  add("master", weights.master.f32());
  add("first_moment", adamw.m.f32());
  add("second_moment", adamw.v.f32());
  if (!bias.empty()) parts.push_back({"selection_bias", bias});
  return parts;
}

void write_parts(const std::string& path, const std::vector<Part>& parts) {
  SafetensorsWriter writer(path);
  for (const Part& part : parts) writer.declare(part.name, DType::f32, {static_cast<i64>(part.values.size())});
  for (const Part& part : parts) writer.write(part.values.data(), static_cast<i64>(part.values.size_bytes()));
  writer.commit();
}

// NaN, infinity and a negative second moment would appear as a divergence of the training, steps later.
void check_values(const std::string& path, const Part& part) {
  const bool squares = part.name.starts_with("second_moment.");
  const auto bad = [&](float value) { return !std::isfinite(value) || (squares && value < 0); };
  const auto found = std::find_if(part.values.begin(), part.values.end(), bad);
  if (found == part.values.end()) return;
  throw Error({.where = path,
               .what = fmt::format("tensor '{}' contains a value that is {} (element {})", part.name,
                                   std::isnan(*found)   ? "NaN"
                                   : std::isinf(*found) ? "infinite"
                                                        : "negative",
                                   found - part.values.begin()),
               .fix = "the file is damaged: put an older checkpoint in its place, or remove the run's folder to start "
                      "again"});
}

void read_parts(const std::string& path, const std::vector<Part>& parts) {
  const SafetensorsReader reader(path);
  for (const Part& part : parts) {
    const i64 count = static_cast<i64>(part.values.size());
    const StoredTensor& tensor = reader.find(part.name, {count});
    if (tensor.dtype != DType::f32) {
      throw Error({.where = path,
                   .what = fmt::format("tensor '{}' is not F32", part.name),
                   .fix = "restore the file that train wrote, or start a new run from the weights with --init-from"});
    }
    // In pieces, because mapping the whole file would take memory in addition to the weights.
    u8* to = reinterpret_cast<u8*>(part.values.data());
    for (i64 at = 0; at < tensor.bytes; at += kReadBytes) {
      const i64 bytes = std::min(kReadBytes, tensor.bytes - at);
      std::memcpy(to + at, tensor.data + at, static_cast<std::size_t>(bytes));
      file_map_forget(tensor.data + at, bytes);
    }
    check_values(path, part);
  }
}

constexpr const char* kWhole = "(all)";
constexpr const char* kDamaged = "restore an older checkpoint, or remove the run's folder to start again";

// The first place where two values differ, as "key.key"; kWhole when they have different types or lengths; empty when they
// are equal.
std::string first_difference(const Json& a, const Json& b, const std::string& prefix, const Json** left,
                             const Json** right) {
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : b.as_object()) {
      const Json* other = a.find(key);
      const std::string name = prefix.empty() ? key : prefix + "." + key;
      *left = other;
      *right = &value;
      if (other == nullptr) return name;
      const std::string found = first_difference(*other, value, name, left, right);
      if (!found.empty()) return found;
    }
    return "";
  }
  if (a == b || (a.is_number() && b.is_number() && a.as_double() == b.as_double())) return "";
  if (a.is_array() && b.is_array() && a.count() == b.count()) {
    for (i64 i = 0; i < a.count(); ++i) {
      const std::string found = first_difference(a[i], b[i], fmt::format("{}[{}]", prefix, i), left, right);
      if (!found.empty()) return found;
    }
    return "";
  }
  *left = &a;
  *right = &b;
  return prefix.empty() ? kWhole : prefix;
}

void remove_older(const std::string& out, i64 kept) {
  std::vector<i64> steps;
  for (const std::string& name : folder_list(out)) {
    if (name.rfind("checkpoint-", 0) != 0) continue;
    if (const auto step = parse_count(name.substr(11)); step) steps.push_back(*step);
  }
  std::sort(steps.rbegin(), steps.rend());
  for (std::size_t i = static_cast<std::size_t>(kept); i < steps.size(); ++i) {
    folder_remove_all(path_join(out, fmt::format("checkpoint-{}", steps[i])));
  }
}

}  // namespace

void TrainState::visit(records::Fields& f) {
  f("step", step)("micro_batch_tokens", micro_batch_tokens)("recompute", recompute)("finished", finished);
  f("evaluation_pending", evaluation_pending)("loss_end_sum", loss_end_sum)("loss_end_steps", loss_end_steps);
  f("isa", isa);
  totals.visit(f);
  if (f.reading() || records > 0) f("records", records);  // checkpoints of earlier versions have no such key
  f("isa_past", isa_past)("data", data);
}

TrainState TrainState::from_json(const Json& json, const std::string& where) {
  return records::fields_from_json_all<TrainState>(json, where, kDamaged);
}

void check_disk(const std::string& folder, i64 bytes, const std::string& what) {
  const i64 free = disk_bytes_free(folder);
  if (free >= bytes) return;
  throw Error({.where = folder,
               .what = fmt::format("not enough disk space for {}", what),
               .wanted = format_bytes(static_cast<double>(bytes)) + " free",
               .got = format_bytes(static_cast<double>(free)),
               .fix = "free some disk space and run the same command again; everything saved before is intact"});
}

void save_checkpoint(const CheckpointPlace& place, const model::Network& network, const AdamwState& adamw,
                     const TrainState& state, const RunIdentity& identity, bool with_optimizer) {
  const Paths paths(place.out);
  check_disk(place.out, place.bytes_wanted, "the next checkpoint");
  try {
    folder_remove_all(paths.fresh);
    folder_make(paths.fresh);
    model::save_model(network, paths.fresh);
    place.tokenizer.write(paths.fresh);
    // Reading and writing share one list of views; the network is not changed here.
    const std::span<float> bias = const_cast<model::Network&>(network).selection_bias();
    if (with_optimizer) {
      write_parts(path_join(paths.fresh, "optimizer.safetensors"), list_parts(network.weights(), adamw, bias));
    }
    Json json = Json::object({{"format_version", kFormatVersion}});
    const Json position = records::fields_to_json(state);
    for (const auto& [key, value] : position.as_object()) json.set(key, value);
    json.set("options", identity.options);
    json.set("model", identity.model);
    json.set("sources", identity.sources);
    file_write_atomic(path_join(paths.fresh, "state.json"), json.dump(1) + "\n");
  } catch (...) {
    try {
      folder_remove_all(paths.fresh);
    } catch (const Error&) {  // report the first error
    }
    throw;
  }
  std::string kept_as;
  if (place.kept > 0 && file_exists(path_join(paths.current, "state.json"))) {
    const i64 step = Json::parse_file(path_join(paths.current, "state.json")).get_int("step", 0);
    if (step != state.step) kept_as = path_join(place.out, fmt::format("checkpoint-{}", step));
  }
  folder_replace(paths.fresh, paths.current, paths.retired);
  if (!kept_as.empty() && folder_exists(paths.retired)) {
    folder_remove_all(kept_as);
    path_rename(paths.retired, kept_as);
  }
  folder_remove_all(paths.retired);
  remove_older(place.out, place.kept);
}

std::optional<Json> read_state(const std::string& out) {
  const Paths paths(out);
  folder_recover(paths.current, paths.retired);
  folder_remove_all(paths.fresh);
  folder_remove_all(paths.retired);
  const std::string path = path_join(paths.current, "state.json");
  if (!file_exists(path)) {
    if (!file_exists(path_join(paths.current, "optimizer.safetensors"))) return std::nullopt;
    throw Error({.where = path,
                 .what = "the checkpoint has weights and moments, but no state.json: it cannot be resumed",
                 .fix = "copy the file back, or remove the checkpoint to start again"});
  }
  i64 version = 0;
  try {
    Json json = Json::parse_file(path);
    version = json.is_object() ? json.get_int("format_version", 0) : 0;
    if (version == kFormatVersion) {
      for (const char* part : {"options", "model", "data"}) json.at(part).as_object();
      return json;
    }
  } catch (const Error& e) {
    ErrorParts parts = e.parts();
    if (parts.where.empty()) parts.where = path;
    parts.fix = kDamaged;
    throw Error(std::move(parts));
  }
  throw Error({.where = path,
               .what = "the checkpoint has another format version",
               .wanted = fmt::format("format_version {}", kFormatVersion),
               .got = fmt::format("{}", version),
               .fix = "use the version of moebius that wrote it, or another --out"});
}

void check_identity(const Json& state, const RunIdentity& identity, const std::string& out) {
  const std::pair<const char*, const Json*> parts[] = {
      {"model", &identity.model}, {"sources", &identity.sources}, {"options", &identity.options}};
  for (const auto& [part, value] : parts) {
    const Json* left = nullptr;
    const Json* right = nullptr;
    const Json* saved = state.find(part);
    const std::string key = saved == nullptr ? part : first_difference(*saved, *value, "", &left, &right);
    if (key.empty()) continue;
    throw Error({.where = out,
                 .what = fmt::format("the saved run differs in its {}{}", part,
                                     key == kWhole ? "" : fmt::format(": '{}'", key)),
                 .wanted = left == nullptr ? "" : left->dump() + " (saved)",
                 .got = right == nullptr ? "" : right->dump(),
                 .fix = part == std::string("sources")
                            ? "use the data of the saved run to resume it, or another --out for a new run"
                            : "use the options of the saved run to resume it, or another --out for a new run"});
  }
}

void restore_checkpoint(const std::string& out, model::Network& network, AdamwState& adamw) {
  const std::string path = path_join(Paths(out).current, "optimizer.safetensors");
  if (!file_exists(path)) {
    throw Error({.where = path,
                 .what = "the checkpoint has no optimiser state",
                 .fix = "only unfinished runs can be resumed; use --init-from to start a new run from its weights"});
  }
  read_parts(path, list_parts(network.weights(), adamw, network.selection_bias()));
  model::refresh_copy(network.weights());
}

}  // namespace moebius::train
