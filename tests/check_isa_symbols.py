# SPDX-License-Identifier: Apache-2.0
"""Fails if kernels of one instruction set export code that other files could end up calling.

An inline function or template outside the namespace mrfcore::cpu::<isa> (std::sort<float*>, say)
is a weak symbol with one name in every object file. The linker keeps any one of them; if that is
the copy compiled for AVX-512, a machine without it dies in code that looks portable.

Usage: check_isa_symbols.py --nm NM --isa ISA OBJECT...
"""

from __future__ import annotations

import argparse
import subprocess
import sys

# nm's letters for code other files can bind to: strong, weak, indirect function. Weak and unique
# *data* (V, u) is harmless: it holds no instructions.
CODE = set("TWi")

# Helpers that the compiler itself emits: a call or two, nothing that flags could change.
COMPILER_HELPERS = {"__clang_call_terminate"}


def exported_code(nm: str, path: str) -> list[tuple[str, str]]:
    """Pairs (symbol type, demangled name) of the code that one object file defines and exports."""
    listing = subprocess.run(
        [nm, "--extern-only", "--defined-only", "--demangle", "--format=posix", path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    symbols = []
    for line in listing.splitlines():
        # POSIX format: name type value size; a demangled name may itself contain blanks.
        fields = line.rsplit(None, 3)
        if len(fields) == 4 and len(fields[1]) == 1:
            symbols.append((fields[1], fields[0]))
    return [(kind, name) for kind, name in symbols if kind in CODE]


def main() -> int:
    """Print every offending symbol; 1 if there is one, or if there was nothing to look at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--isa", required=True)
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()

    # A template of the standard library over one of our types is safe too: its name is ours alone.
    namespace = f"mrfcore::cpu::{arguments.isa}::"
    checked, offending = 0, []
    for path in arguments.objects:
        for _, name in exported_code(arguments.nm, path):
            checked += 1
            if namespace not in name and name not in COMPILER_HELPERS:
                offending.append(f"{path}: {name}")
    if offending:
        print(f"Code compiled for {arguments.isa} and exported outside {namespace}")
        print("(use a plain loop, or an always_inline function of the kernel's namespace):")
        print("\n".join(offending))
        return 1
    if checked == 0:
        print("No exported code found: are these the right object files?")
        return 1
    print(f"{checked} symbols in {len(arguments.objects)} files, all in {namespace}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
