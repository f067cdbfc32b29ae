# SPDX-License-Identifier: Apache-2.0
# GTest::gtest_main: the system's GoogleTest, else downloaded.
find_package(GTest QUIET)
if(NOT GTest_FOUND)
  set(googletest_archive ${CMAKE_BINARY_DIR}/googletest-1.15.2.tar.gz)
  message(STATUS "GoogleTest not found on this system: downloading it")
  file(DOWNLOAD https://github.com/google/googletest/archive/refs/tags/v1.15.2.tar.gz
       ${googletest_archive} INACTIVITY_TIMEOUT 30 STATUS googletest_status
       EXPECTED_HASH SHA256=7b42b4d6ed48810c5362c265a17faebe90dc2373c885e5216439d37927f02926)
  list(GET googletest_status 0 googletest_code)
  if(NOT googletest_code EQUAL 0)
    file(REMOVE ${googletest_archive})
    message(FATAL_ERROR "The C++ tests need GoogleTest, which is not installed and cannot be "
                        "downloaded (${googletest_status}). Install it (Debian, Ubuntu: "
                        "libgtest-dev), or configure with -DMRFCORE_BUILD_TESTS=OFF.")
  endif()
  include(FetchContent)
  FetchContent_Declare(googletest URL ${googletest_archive} DOWNLOAD_EXTRACT_TIMESTAMP ON)
  set(INSTALL_GTEST OFF CACHE BOOL "" FORCE)
  FetchContent_MakeAvailable(googletest)
endif()
