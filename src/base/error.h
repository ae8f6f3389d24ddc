// The error type for faults of the user or of the machine: where it happened, what was expected, what was found and
// what to do. Thrown anywhere above the kernels; caught only in main and in a server's request loop.
// Not for the program's own faults: those are CHECK (base/check.h).
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace moebius {

// Parts of an error message. Empty parts are left out of the text.
struct ErrorParts {
  std::string where = {};   // file and line, flag, key, stage: "corpus.jsonl, line 12"
  std::string what = {};    // what went wrong, one clause: "field 'text' is missing"
  std::string wanted = {};  // what would have been right
  std::string got = {};     // what was there instead
  std::string fix = {};     // what the user can do now
};

class Error : public std::runtime_error {
 public:
  explicit Error(ErrorParts parts);
  const ErrorParts& parts() const { return parts_; }

 private:
  ErrorParts parts_;
};

// Runs `read`. An Error that names no place gets `where`, and `fix` if it has no advice.
template <typename Read>
decltype(auto) error_within(const std::string& where, const Read& read, const std::string& fix = "") {
  try {
    return read();
  } catch (const Error& error) {
    if (!error.parts().where.empty()) throw;
    ErrorParts parts = error.parts();
    parts.where = where;
    if (parts.fix.empty()) parts.fix = fix;
    throw Error(std::move(parts));
  }
}

// Throws Error for a failed system call on `path`, with errno's text and advice for the common cases
// (disk full, no permission, no such file).
[[noreturn]] void throw_system_error(const std::string& path, const std::string& action, int error_number);

}  // namespace moebius
