// Tests of TensorBoard event files: checksums of the standard, frames equal to TensorBoard's own writer, files.
#include "records/event_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_folder.h"

namespace moebius::records {
namespace {

// The frame of one scalar: what a new file holds after the version.
std::string scalar_frame(const std::string& tag, i64 step, double value, double wall_time_s) {
  EventFile writer(test_path("one"));
  writer.scalar(tag, step, value, wall_time_s);
  writer.flush();
  return file_read(writer.path()).substr(event_frame_version(0).size());
}

TEST(EventFile, CrcKnownAnswers) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  // RFC 3720, B.4: 32 bytes of zeros, 32 bytes of ones.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

// tests/golden/events.golden was written by TensorBoard's own RecordWriter and protocol buffers.
TEST(EventFile, FramesEqualTensorBoards) {
  const std::string golden = file_read(MOEBIUS_SOURCE_DIR "/tests/golden/events.golden");
  std::string ours = event_frame_version(1700000000.25);
  ours += event_frame_session_start(300, 1700000000.5);
  ours += scalar_frame("loss", 1, 6.9314718, 1700000001.0);
  ours += scalar_frame("router/load_max_over_mean", 300, 1.5, 1700000002.0);
  ours += scalar_frame("loss", 5000000000, -0.125, 1700000003.0);
  EXPECT_EQ(ours, golden);
}

TEST(EventFile, EveryWriterHasItsOwnFile) {
  const std::string folder = test_path("many");
  std::string first;
  {
    EventFile writer(folder);
    first = writer.path();
    writer.scalar("loss", 1, 2.5, 1700000001.0);
  }
  const std::string text = file_read(first);
  const std::string last = scalar_frame("loss", 1, 2.5, 1700000001.0);
  ASSERT_GT(text.size(), last.size());
  EXPECT_EQ(text.substr(text.size() - last.size()), last);
  EXPECT_EQ(text.size(), last.size() + event_frame_version(0).size());
  EventFile resumed(folder, 2);
  EXPECT_NE(resumed.path(), first);
  EXPECT_EQ(folder_list(folder).size(), 2u);
  EXPECT_EQ(file_read(first), text);
  EXPECT_EQ(file_read(resumed.path()).size(), event_frame_version(0).size() + event_frame_session_start(2, 0).size());
}

TEST(EventFile, UnwritableFolderIsAnError) { EXPECT_THROW(EventFile("/proc/no-such-folder/tb"), Error); }

}  // namespace
}  // namespace moebius::records
