# SPDX-License-Identifier: Apache-2.0
# nanobind comes as a Python package (a build requirement in pyproject.toml) that knows where its
# CMake files are.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module
             OPTIONAL_COMPONENTS ${SKBUILD_SABI_COMPONENT})
execute_process(
  COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
  OUTPUT_STRIP_TRAILING_WHITESPACE
  OUTPUT_VARIABLE nanobind_ROOT
  RESULT_VARIABLE nanobind_missing)
if(nanobind_missing)
  message(FATAL_ERROR "MRFCORE_BUILD_PYTHON needs nanobind for ${Python_EXECUTABLE}: "
                      "pip install nanobind")
endif()
find_package(nanobind CONFIG REQUIRED)
