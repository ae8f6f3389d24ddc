// Writing and reading of model folders.
#include "model/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <span>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "model/hf_names.h"
#include "tensor/safetensors.h"

namespace moebius::model {

namespace {

constexpr i64 kRowsElements = 1 << 17;  // elements converted at a time, by each thread

// Where the values of a StoredPlace are: under its own name, or inside the fused tensor of all experts.
struct Found {
  const StoredTensor* tensor;
  i64 begin;
  std::string name;
};

// Names of tensors that only quantised checkpoints have (GPTQ, AWQ, compressed-tensors, bitsandbytes, FP8, MXFP4).
const std::string* quantised_tensor(const SafetensorsReader& reader) {
  for (const auto& [name, tensor] : reader.tensors()) {
    for (const char* suffix : {".qweight", ".qzeros", ".weight_packed", ".weight_scale", ".weight_scale_inv", ".absmax",
                               ".SCB", "_blocks", ".g_idx"}) {
      if (name.ends_with(suffix)) return &name;
    }
  }
  return nullptr;
}

Found find_place(const SafetensorsReader& reader, const StoredPlace& place, bool tied) {
  if (!reader.contains(place.name)) {
    if (tied && place.name == "lm_head.weight") {
      return {&reader.find("model.embed_tokens.weight", place.shape), 0, "model.embed_tokens.weight"};
    }
    if (!place.other_name.empty() && reader.contains(place.other_name)) {
      return {&reader.find(place.other_name, place.other_shape), place.other_begin, place.other_name};
    }
  }
  return {&reader.find(place.name, place.shape), 0, place.name};
}

// Reads elements from `begin` on; NaN and infinity are errors because every later result would be meaningless.
void read_finite(const Found& found, i64 begin, std::span<float> values) {
  stored_to_f32(*found.tensor, found.begin + begin, static_cast<i64>(values.size()), values.data());
  if (all_finite(values)) return;
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  throw Error({.where = *found.tensor->file,
               .what = fmt::format("tensor '{}' contains a weight that is {} (element {})", found.name,
                                   std::isnan(*bad) ? "NaN" : "infinite", found.begin + begin + (bad - values.begin())),
               .fix = "the training that wrote it diverged, or the file is damaged: use another checkpoint"});
}

void read_place(const Found& found, const StoredPlace& place, Weights& weights) {
  const Parameter& p = weights.parameters[static_cast<std::size_t>(place.parameter)];
  const i64 k = p.shape.k, step = std::max<i64>(1, kRowsElements / k);
  std::vector<float> rows(static_cast<std::size_t>(std::min(step, place.rows) * k));
  for (i64 row = 0; row < place.rows; row += step) {
    const i64 count = std::min(step, place.rows - row);
    read_finite(found, row * k, {rows.data(), static_cast<std::size_t>(count * k)});
    weights_set_rows(weights, p, place.copy, place.row + row, count, rows.data());
  }
  const i64 size = dtype_bytes(found.tensor->dtype);
  file_map_forget(found.tensor->data + found.begin * size, place.rows * k * size);
}

// A tensor that no parameter uses means that config.json describes another network.
void check_all_used(const SafetensorsReader& reader, const std::set<std::string>& used) {
  for (const auto& [name, tensor] : reader.tensors()) {
    const std::string ignored = "rotary_emb.inv_freq";  // a table in old files that is computed here
    if (used.count(name) != 0 || (name.size() > ignored.size() && name.substr(name.size() - ignored.size()) == ignored))
      continue;
    throw Error({.where = *tensor.file,
                 .what = fmt::format("tensor '{}' does not belong to the network that config.json describes", name),
                 .fix = "config.json and the weights belong to different models: check the folder"});
  }
}

void read_bias(const SafetensorsReader& reader, Network& network, bool wanted, std::set<std::string>& used) {
  const std::span<float> bias = network.selection_bias();
  if (wanted && bias.empty()) return;
  const ModelConfig& config = network.config();
  i64 at = 0;
  for (i64 layer = 0; layer < config.layers; ++layer) {
    if (!config.layer_is_moe(layer)) continue;
    const std::string name = selection_bias_name(layer);
    if (!wanted) {
      used.insert(name);
      continue;
    }
    read_finite({&reader.find(name, {config.experts.experts}), 0, name}, 0,
                bias.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(config.experts.experts)));
    used.insert(name);
    at += config.experts.experts;
  }
}

}  // namespace

void save_model(const Network& network, const std::string& folder) {
  const ModelConfig& config = network.config();
  const Weights& weights = network.weights();
  const std::vector<StoredPlace> places = stored_places(config, weights.parameters, hf_class_of(config));
  folder_make(folder);
  SafetensorsWriter writer(path_join(folder, "model.safetensors"), {{"format", "pt"}});
  for (const StoredPlace& place : places) writer.declare(place.name, weights.compute, place.shape);
  const std::span<float> bias = const_cast<Network&>(network).selection_bias();
  for (i64 layer = 0; layer < config.layers && !bias.empty(); ++layer) {
    if (config.layer_is_moe(layer)) writer.declare(selection_bias_name(layer), DType::f32, {config.experts.experts});
  }
  std::vector<float> rows;
  for (const StoredPlace& place : places) {
    const Parameter& p = weights.parameters[static_cast<std::size_t>(place.parameter)];
    const i64 k = p.shape.k, step = std::max<i64>(1, kRowsElements / k);
    rows.resize(static_cast<std::size_t>(std::min(step, place.rows) * k));
    for (i64 row = 0; row < place.rows; row += step) {
      const i64 count = std::min(step, place.rows - row);
      weights_get_rows(weights, p, place.copy, place.row + row, count, rows.data());
      writer.write_f32_as(rows.data(), count * k, weights.compute);
    }
  }
  if (!bias.empty()) writer.write(bias.data(), static_cast<i64>(bias.size()) * 4);
  writer.commit();
  Json json = config_to_hugging_face(config);
  json.set("torch_dtype", weights.compute == DType::bf16 ? "bfloat16" : "float32");
  file_write_atomic(path_join(folder, "config.json"), json.dump(2) + "\n");
}

namespace {

void refuse_quantised_tensors(const SafetensorsReader& reader) {
  const std::string* name = quantised_tensor(reader);
  if (name == nullptr) return;
  throw Error({.where = *reader.find(*name).file,
               .what = "the weights are quantised; quantised weights are not supported",
               .wanted = "weights in F32, BF16 or F16",
               .got = fmt::format("tensor '{}'", *name),
               .fix = "use the checkpoint from which this one was quantised"});
}

void read_weights(const HfConfigFile& file, const SafetensorsReader& reader, Network& network, bool selection_bias) {
  const ModelConfig& config = network.config();
  Weights& weights = network.weights();
  const HfClass kind = hf_class_of_file(file.json, file.path);
  const std::vector<StoredPlace> places = stored_places(config, weights.parameters, kind);
  const bool tied = hf_tied_embeddings(file.json, file.path);
  std::vector<Found> found;
  std::set<std::string> used;
  for (const StoredPlace& place : places) {
    found.push_back(find_place(reader, place, tied));
    used.insert(found.back().name);
  }
  read_bias(reader, network, selection_bias, used);
  check_all_used(reader, used);
  parallel_for(static_cast<i64>(places.size()), [&](i64 i, int) {
    read_place(found[static_cast<std::size_t>(i)], places[static_cast<std::size_t>(i)], weights);
  });
}

}  // namespace

void load_weights(const std::string& folder, Network& network, bool selection_bias) {
  const HfConfigFile file = hf_read_config(folder);
  hf_refuse_quantised(file.json, file.path);
  const SafetensorsReader reader(folder);
  refuse_quantised_tensors(reader);
  read_weights(file, reader, network, selection_bias);
}

// The files are checked before memory is allocated for the network.
std::unique_ptr<Network> load_model(const std::string& folder, DType compute, bool training) {
  const HfConfigFile file = hf_read_config(folder);
  hf_refuse_quantised(file.json, file.path);
  ModelConfig config = config_from_hugging_face(file.json, file.path);
  const SafetensorsReader reader(folder);
  refuse_quantised_tensors(reader);
  auto network = std::make_unique<Network>(std::move(config), compute, training);
  read_weights(file, reader, *network, true);
  return network;
}

}  // namespace moebius::model
