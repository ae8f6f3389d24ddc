// Reading what was written, and refusing every kind of damage.
#include "tensor/safetensors.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"

namespace moebius {
namespace {

std::string file_with(const std::string& header, i64 data_bytes) {
  std::string text(8, '\0');
  for (int i = 0; i < 8; ++i) text[static_cast<std::size_t>(i)] = static_cast<char>(header.size() >> (8 * i));
  return text + header + std::string(static_cast<std::size_t>(data_bytes), 'x');
}

std::string write_sample(const std::string& name) {
  const std::string path = test_path(name);
  SafetensorsWriter writer(path, {{"format", "pt"}});
  writer.declare("a.weight", DType::f32, {2, 3});
  writer.declare("b", DType::bf16, {5});
  writer.declare("empty", DType::f32, {0, 4});
  const float a[6] = {1, -2, 3.5f, 1e-20f, 0, 6}, b[5] = {1.0f, 1.00390625f, -3, 1e30f, 0.1f};
  writer.write_f32_as(a, 6, DType::f32);
  writer.write_f32_as(b, 5, DType::bf16);
  writer.commit();
  return path;
}

TEST(Safetensors, WriteThenRead) {
  const std::string path = write_sample("sample.safetensors");
  const SafetensorsReader reader(path);
  EXPECT_EQ(static_cast<int>(reader.tensors().size()), 3);
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  float a[6], b[5];
  stored_to_f32(reader.find("a.weight", {2, 3}), 0, 6, a);
  stored_to_f32(reader.find("b"), 0, 5, b);
  EXPECT_EQ(a[2], 3.5f);
  EXPECT_EQ(a[3], 1e-20f);
  EXPECT_EQ(b[1], 1.0f);  // 1 + 2^-8 rounds to even
  EXPECT_EQ(b[2], -3.0f);
  float one;
  stored_to_f32(reader.find("a.weight"), 5, 1, &one);
  EXPECT_EQ(one, 6.0f);
  EXPECT_THROW(reader.find("a.weight", {3, 2}), Error);
  EXPECT_THROW(reader.find("c"), Error);
}

TEST(Safetensors, UncommittedLeavesTheOldFile) {
  const std::string path = write_sample("kept.safetensors");
  const std::string before = file_read(path);
  {
    SafetensorsWriter writer(path);
    writer.declare("x", DType::f32, {4});
    const float x[2] = {1, 2};
    writer.write(x, 8);
  }
  EXPECT_EQ(file_read(path), before);
}

TEST(Safetensors, RefusesDamage) {
  const std::string path = test_path("damaged.safetensors");
  const auto refused = [&](const std::string& bytes, const char* why) {
    file_write_atomic(path, bytes);
    EXPECT_THROW(SafetensorsReader{path}, Error) << why;
  };
  refused("", "empty");
  refused("1234567", "no header length");
  refused(std::string(8, '\xff'), "impossible header length");
  refused(file_with("{", 0), "broken JSON");
  refused(file_with("[]", 0), "no object");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4), "truncated");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 12), "trailing bytes");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8), "shape and bytes differ");
  refused(file_with(R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8), "unknown format");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8), "negative size");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "backward offsets");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8), "negative offset");
  refused(
      file_with(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4611686018427387904],"data_offsets":[0,8]}})", 8),
      "overflowing shape");
  refused(
      file_with(
          R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          8),
      "overlap");
  refused(
      file_with(
          R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
          8),
      "gap");
  refused(file_with(R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", 8), "shape is no list");
  refused(file_with(R"({"a":{"dtype":"F32","shape":[2]}})", 8), "no offsets");
  refused(file_with(R"({"a":7})", 8), "no description");
  refused(file_with(R"({"__metadata__":{"a":1}})", 0), "metadata is no string");
}

std::string fault_of(const std::string& bytes) {
  const std::string path = test_path("fault.safetensors");
  file_write_atomic(path, bytes);
  try {
    const SafetensorsReader reader(path);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(Safetensors, NullMetadataIsRead) {
  EXPECT_EQ(fault_of(file_with(R"({"__metadata__":null,"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2)), "");
}

TEST(Safetensors, FaultsAreNamed) {
  const auto names = [](const std::string& bytes, const char* text) {
    EXPECT_NE(fault_of(bytes).find(text), std::string::npos) << fault_of(bytes);
  };
  names("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4938985352\n", "Git LFS");
  names(file_with(R"({"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2), "'w'");
  names(file_with(R"({"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}})", 2), "quantised");
  names(file_with(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4), "truncated");
  names(
      file_with(
          R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          2),
      "'w'");
}

TEST(Safetensors, FoldersWithoutWeightsSayWhatTheyHave) {
  const std::string folder = test_path("folder");
  folder_make(folder);
  const auto fault = [&] {
    try {
      SafetensorsReader reader(folder);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(fault().find("model.save_pretrained"), std::string::npos) << fault();
  file_write_atomic(path_join(folder, "adapter_model.safetensors"), "x");
  EXPECT_NE(fault().find("merge_and_unload"), std::string::npos) << fault();
  file_write_atomic(path_join(folder, "model-00001-of-00002.safetensors"), "x");
  EXPECT_NE(fault().find("model.safetensors.index.json too"), std::string::npos) << fault();
}

TEST(Safetensors, Sharded) {
  const std::string folder = test_path("sharded");
  folder_remove_all(folder);
  folder_make(folder);
  for (const int shard : {1, 2}) {
    SafetensorsWriter writer(path_join(folder, "model-" + std::to_string(shard) + ".safetensors"));
    const float value = static_cast<float>(shard);
    writer.declare("w" + std::to_string(shard), DType::f32, {1});
    writer.write(&value, 4);
    writer.commit();
  }
  const std::string index = path_join(folder, "model.safetensors.index.json");
  EXPECT_THROW(SafetensorsReader{folder}, Error);  // no index yet
  file_write_atomic(index, R"({"weight_map":{"w1":"model-1.safetensors","w2":"model-2.safetensors"}})");
  {
    const SafetensorsReader reader(folder);
    float value;
    stored_to_f32(reader.find("w2"), 0, 1, &value);
    EXPECT_EQ(value, 2.0f);
  }
  file_write_atomic(index, R"({"weight_map":{"w1":"model-2.safetensors","w2":"model-2.safetensors"}})");
  EXPECT_THROW(SafetensorsReader{folder}, Error);
  file_write_atomic(index, R"({"weight_map":{"w1":"../model-1.safetensors"}})");
  EXPECT_THROW(SafetensorsReader{folder}, Error);
  file_write_atomic(index, R"({"weight_map":{"w3":"model-1.safetensors"}})");
  EXPECT_THROW(SafetensorsReader{folder}, Error);
  file_write_atomic(index, R"({"weight_map":{"w1":"model-1.safetensors","w2":"model-3.safetensors"}})");
  try {
    const SafetensorsReader reader(folder);
    ADD_FAILURE() << "read without a shard";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("model-3.safetensors"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("missing"), std::string::npos) << e.what();
  }
  file_write_atomic(index, R"({"weight_map":[]})");
  EXPECT_THROW(SafetensorsReader{folder}, Error);
}

}  // namespace
}  // namespace moebius
