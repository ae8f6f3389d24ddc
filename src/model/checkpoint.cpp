// Writing and reading a model's folder.
#include "model/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/parallel.h"
#include "model/hf_names.h"
#include "tensor/safetensors.h"

namespace moebius::model {

namespace {

constexpr i64 kRowsElements = 1 << 17;  // elements converted at a time, by each thread

// A tensor of the file for one place: under its name, or inside the tensor of all experts.
struct Found {
  const StoredTensor* tensor;
  i64 begin;
  std::string name;
};

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

void read_place(const Found& found, const StoredPlace& place, Weights& weights) {
  const Parameter& p = weights.parameters[static_cast<std::size_t>(place.parameter)];
  const i64 k = p.shape.k, step = std::max<i64>(1, kRowsElements / k);
  std::vector<float> rows(static_cast<std::size_t>(std::min(step, place.rows) * k));
  for (i64 row = 0; row < place.rows; row += step) {
    const i64 count = std::min(step, place.rows - row);
    stored_to_f32(*found.tensor, found.begin + row * k, count * k, rows.data());
    weights_set_rows(weights, p, place.copy, place.row + row, count, rows.data());
  }
  const i64 size = dtype_bytes(found.tensor->dtype);
  file_map_forget(found.tensor->data + found.begin * size, place.rows * k * size);
}

// A tensor that nobody reads means that the file is another network than its config.json says.
void check_all_used(const SafetensorsReader& reader, const std::set<std::string>& used) {
  for (const auto& [name, tensor] : reader.tensors()) {
    const std::string ignored = "rotary_emb.inv_freq";  // a table that old files carry; we compute it
    if (used.count(name) != 0 || (name.size() > ignored.size() && name.substr(name.size() - ignored.size()) == ignored))
      continue;
    throw Error({.where = *tensor.file,
                 .what = fmt::format("tensor '{}' has no place in this network", name),
                 .fix = "config.json and the weights belong to different models"});
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
    stored_to_f32(reader.find(name, {config.experts.experts}), 0, config.experts.experts, bias.data() + at);
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

ModelConfig load_config(const std::string& folder) {
  const std::string config_path = path_join(folder, "config.json");
  if (!file_exists(config_path)) {
    throw Error({.where = folder,
                 .what = "this is no model's folder: config.json is missing",
                 .wanted = "a folder with config.json and model.safetensors"});
  }
  return config_from_hugging_face(Json::parse_file(config_path), config_path);
}

void load_weights(const std::string& folder, Network& network, bool selection_bias) {
  const std::string config_path = path_join(folder, "config.json");
  const Json json = Json::parse_file(config_path);
  const HfClass kind = hf_class_of_file(json, config_path);
  const SafetensorsReader reader(folder);
  const ModelConfig& config = network.config();
  Weights& weights = network.weights();
  const std::vector<StoredPlace> places = stored_places(config, weights.parameters, kind);
  const bool tied = json.get_bool("tie_word_embeddings", false);
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

std::unique_ptr<Network> load_model(const std::string& folder, DType compute, bool training) {
  auto network = std::make_unique<Network>(load_config(folder), compute, training);
  load_weights(folder, *network, true);
  return network;
}

}  // namespace moebius::model
