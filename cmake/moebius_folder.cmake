# moebius_folder: one static library, one fast test program and (if any) one slow test program per source folder.
#   moebius_folder(NAME base SOURCES a.cpp TESTS a_test.cpp SLOW_TESTS b_test.cpp LINKS tensor PRIVATE_LINKS fmt::fmt)
# LINKS name other folders; the tidy test holds them against the includes.

add_library(moebius_flags INTERFACE)
target_compile_options(moebius_flags INTERFACE
  -Wall -Wextra -Werror -Wno-psabi -Wno-restrict -ffp-contract=off -fno-omit-frame-pointer
  $<$<CONFIG:Release>:-O3>)
target_include_directories(moebius_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
# fmt's compiled library, not its header-only form: the headers stay light.
target_link_libraries(moebius_flags INTERFACE Threads::Threads fmt::fmt)
if(MOEBIUS_SANITIZE)
  # GCC 12 sees uninitialised reads in std::variant's moves when a sanitizer is on; the release build keeps the warning.
  target_compile_options(moebius_flags INTERFACE -fsanitize=${MOEBIUS_SANITIZE} -fno-sanitize-recover=all -O1 -g1
    -Wno-maybe-uninitialized)
  target_link_options(moebius_flags INTERFACE -fsanitize=${MOEBIUS_SANITIZE})
endif()

# What the sanitizer builds need: `ninja fast_tests`, `ninja concurrent_tests`.
add_custom_target(fast_tests)
add_custom_target(concurrent_tests)

function(moebius_test_program target)
  cmake_parse_arguments(T "" "" "SOURCES;LABELS;LINKS" ${ARGN})
  add_executable(${target} ${T_SOURCES})
  target_link_libraries(${target} PRIVATE ${T_LINKS} moebius_flags GTest::gtest GTest::gtest_main)
  target_compile_definitions(${target} PRIVATE MOEBIUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  add_test(NAME ${target} COMMAND ${target} --gtest_brief=1)
  set_tests_properties(${target} PROPERTIES LABELS "${T_LABELS}" TIMEOUT 600)
  if("fast" IN_LIST T_LABELS)
    add_dependencies(fast_tests ${target})
  endif()
endfunction()

function(moebius_folder)
  cmake_parse_arguments(F "" "NAME" "SOURCES;TESTS;SLOW_TESTS;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(moebius_${F_NAME} STATIC ${F_SOURCES})
  set(links "")
  foreach(link ${F_LINKS})
    list(APPEND links moebius_${link})
  endforeach()
  target_link_libraries(moebius_${F_NAME} PUBLIC moebius_flags ${links} PRIVATE ${F_PRIVATE_LINKS})
  if(F_TESTS)
    moebius_test_program(${F_NAME}_test SOURCES ${F_TESTS} LABELS fast ${F_NAME} LINKS moebius_${F_NAME})
  endif()
  if(F_SLOW_TESTS)
    moebius_test_program(${F_NAME}_slow_test SOURCES ${F_SLOW_TESTS} LABELS slow ${F_NAME} LINKS moebius_${F_NAME})
  endif()
endfunction()
