// The only file that includes spdlog.
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace moebius {

namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    auto log = spdlog::stderr_color_mt("moebius");
    log->set_pattern("%^%L%$ %v");
    log->flush_on(spdlog::level::trace);
    return log;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

}  // namespace

void log_set_level(LogLevel level) { logger().set_level(to_spdlog(level)); }

const char* log_level_name() {
  switch (logger().level()) {
    case spdlog::level::debug: return "debug";
    case spdlog::level::warn: return "warning";
    case spdlog::level::err: return "error";
    default: return "info";
  }
}

LogLevel log_level_of(std::string_view name) {
  if (name == "debug") return LogLevel::debug;
  if (name == "warning") return LogLevel::warning;
  return name == "error" ? LogLevel::error : LogLevel::info;
}

void log_message(LogLevel level, std::string_view text) {
  logger().log(to_spdlog(level), spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace moebius
