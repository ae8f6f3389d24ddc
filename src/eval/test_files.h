// Tests only: files of a test, and the text of the error that a call ends with.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/test_folder.h"

namespace moebius::eval {

inline std::string place(const std::string& name, const std::string& content) {
  const std::string path = test_path(name);
  file_write_atomic(path, content);
  return path;
}

// "no error" if there is none.
inline std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace moebius::eval
