// What a file is by its first bytes, for files that are not what a reader expects: archives, containers of arrays,
// model files, Git LFS pointers. In: the first kilobytes; out: a name and advice.
// Not for formats that the caller reads itself: a reader checks its own format first.
#pragma once

#include <string>
#include <string_view>

namespace moebius {

// Bytes of a file's start that file_kind() needs to tell all kinds apart.
inline constexpr int kFileKindBytes = 4096;

struct FileKind {
  std::string_view name;  // "a Parquet file"
  std::string_view fix;   // how to get from it to something that is read here
};

// The known kind that begins with `head`, or nullptr. Plain text, JSON and unknown binary data are no known kind.
const FileKind* file_kind(std::string_view head);

// Throws an Error that names the kind when `head` begins a known kind. `wanted`: what should have been there.
void refuse_file_kind(const std::string& path, std::string_view head, const std::string& wanted);

// Whether `head` is text: valid UTF-8 (the end may cut a character) without control characters other than white space.
bool is_plain_text(std::string_view head);

}  // namespace moebius
