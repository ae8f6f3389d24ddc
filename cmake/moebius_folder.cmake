# moebius_folder: one static library, one fast test program and (if any) one slow test program per source folder.
#   moebius_folder(NAME base SOURCES a.cpp TESTS a_test.cpp SLOW_TESTS b_test.cpp LINKS tensor PRIVATE_LINKS fmt::fmt
#                  OPTIMIZE 2 APART c.cpp)
# LINKS name other folders; tests/tidy compares them with the includes. OPTIMIZE is the folder's -O level in a release build:
# 1 unless given, because most code runs once per command and -O3 takes a third more time to compile; 2 or 3 where a
# folder has loops over data. Tests are compiled with -O1. With sanitizers, folders with OPTIMIZE get -O1 and everything
# else -O0, which compiles in half the time.

add_library(moebius_flags INTERFACE)
target_compile_options(moebius_flags INTERFACE
  -Wall -Wextra -Werror -ffp-contract=off -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(moebius_flags INTERFACE -Wno-psabi -Wno-restrict)
else()
  target_compile_options(moebius_flags INTERFACE -Wno-psabi)
endif()
target_include_directories(moebius_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
# fmt's compiled library, not its header-only form: the headers stay light.
target_link_libraries(moebius_flags INTERFACE Threads::Threads fmt::fmt)
if(MOEBIUS_SANITIZE)
  # -g1: functions and lines for reports. GCC 12 sees uninitialised reads in std::variant's moves when a sanitizer is on;
  # the dev preset keeps the warning.
  target_compile_options(moebius_flags INTERFACE -fsanitize=${MOEBIUS_SANITIZE} -fno-sanitize-recover=all -g1
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(NOT MOEBIUS_FUZZ)
    # A check at every access through a pointer, half of the time to compile: the address sanitizer reports null pointers
    # too, and the fuzz preset, where the parsers are, keeps them.
    target_compile_options(moebius_flags INTERFACE -fno-sanitize=null,alignment,object-size,vptr)
  endif()
  target_link_options(moebius_flags INTERFACE -fsanitize=${MOEBIUS_SANITIZE})
endif()

if(MOEBIUS_FUZZ)  # clang only
  target_compile_options(moebius_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# What the sanitizer builds need: `ninja fast_tests`, `ninja concurrent_tests`; and `ninja fuzz_programs`.
add_custom_target(fast_tests)
add_custom_target(concurrent_tests)
add_custom_target(fuzz_programs)

# A unity build compiles the headers and templates of up to 8 files once: half the work or less from nothing. It is off in
# the presets dev and debug, where a changed file is compiled alone. The files of a unit share one anonymous namespace: a
# name that two of them define is renamed, or one of the files is listed under APART and compiled alone.
option(MOEBIUS_UNITY "compile the files of a folder in groups" OFF)
# moebius_unity(target apart.cpp...)
function(moebius_unity target)
  if(MOEBIUS_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
    if(ARGN)
      set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    endif()
    # GCC takes the files of a unit for headers (subobject-linkage), and inlines more in a large unit than its analysis of
    # std::variant and std::optional can follow. The dev preset keeps both warnings.
    target_compile_options(${target} PRIVATE
      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  endif()
endfunction()

# moebius_optimize(target RELEASE-LEVEL SANITIZER-LEVEL)
function(moebius_optimize target release sanitized)
  if(MOEBIUS_FUZZ)
    target_compile_options(${target} PRIVATE -O1)
  elseif(MOEBIUS_SANITIZE)
    target_compile_options(${target} PRIVATE -O${sanitized})
  else()
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O${release}>)
  endif()
endfunction()

function(moebius_test_program target)
  cmake_parse_arguments(T "NO_UNITY" "" "SOURCES;LABELS;LINKS;APART" ${ARGN})
  add_executable(${target} ${T_SOURCES})
  target_link_libraries(${target} PRIVATE ${T_LINKS} moebius_flags GTest::gtest GTest::gtest_main)
  moebius_optimize(${target} 1 0)
  if(NOT T_NO_UNITY)
    moebius_unity(${target} ${T_APART})
  endif()
  if(MOEBIUS_UNITY AND NOT T_NO_UNITY)
    target_compile_definitions(${target} PRIVATE MOEBIUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  else()
    # Only the files that use it, so that ccache shares the others between checkouts.
    foreach(source ${T_SOURCES})
      file(STRINGS ${source} uses REGEX MOEBIUS_SOURCE_DIR LIMIT_COUNT 1)
      if(uses)
        set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS MOEBIUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
      endif()
    endforeach()
  endif()
  add_test(NAME ${target} COMMAND ${target} --gtest_brief=1)
  set_tests_properties(${target} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 600)
  if("fast" IN_LIST T_LABELS)
    add_dependencies(fast_tests ${target})
  endif()
endfunction()

function(moebius_folder)
  cmake_parse_arguments(F "NO_UNITY" "NAME;OPTIMIZE" "SOURCES;TESTS;SLOW_TESTS;LINKS;PRIVATE_LINKS;APART" ${ARGN})
  add_library(moebius_${F_NAME} STATIC ${F_SOURCES})
  if(F_OPTIMIZE)
    moebius_optimize(moebius_${F_NAME} ${F_OPTIMIZE} 1)
  else()
    moebius_optimize(moebius_${F_NAME} 1 0)
  endif()
  if(NOT F_NO_UNITY)
    moebius_unity(moebius_${F_NAME} ${F_APART})
  endif()
  set(links "")
  foreach(link ${F_LINKS})
    list(APPEND links moebius_${link})
  endforeach()
  target_link_libraries(moebius_${F_NAME} PUBLIC moebius_flags ${links} PRIVATE ${F_PRIVATE_LINKS})
  if(F_TESTS)
    moebius_test_program(${F_NAME}_test SOURCES ${F_TESTS} APART ${F_APART} LABELS fast ${F_NAME} LINKS moebius_${F_NAME})
  endif()
  if(F_SLOW_TESTS)
    moebius_test_program(${F_NAME}_slow_test SOURCES ${F_SLOW_TESTS} APART ${F_APART} LABELS slow ${F_NAME} LINKS moebius_${F_NAME})
  endif()
endfunction()
