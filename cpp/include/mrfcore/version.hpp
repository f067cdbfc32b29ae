// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The one place where the version is written: CMakeLists.txt and pyproject.toml read this line.
#define MRFCORE_VERSION "0.1.0"
