// libFuzzer's entry point for the target that the build names (MOEBIUS_FUZZ_TARGET). One program per target: preset fuzz.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  moebius::fuzz::MOEBIUS_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
