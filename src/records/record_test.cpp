// Records of a file whose writer was killed: the broken last line goes, the others and what is appended stay.
#include "records/record.h"

#include <gtest/gtest.h>

#include "base/test_folder.h"

namespace moebius::records {
namespace {

TEST(Record, BrokenTailIsCutAndAppendsGoOn) {
  const std::string path = test_path("records.jsonl");
  {
    RecordWriter writer(path);
    writer.write("step", Json::object({{"loss", 1.5}}));
  }
  AppendFile(path).append("{\"type\":\"st");
  EXPECT_EQ(read(path).size(), 1u);
  RecordWriter writer(path);
  writer.write("step", Json::object({{"loss", 1.25}}));
  const auto records = read(path, "step");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].at("loss").as_double(), 1.25);
}

}  // namespace
}  // namespace moebius::records
