"""Run a Python module as on a processor with AMX, whose instructions are emulated (see emulator.c):

    python -m tests.support.amx pytest tests/backend/test_bfloat16.py

The processor must have AVX512_BF16. Convolutions take about a hundred times as long.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from ganzoo.backend import environment

HERE = Path(__file__).parent
EMULATED_FLAGS = "amx_tile amx_bf16"
# Each is as long as the instruction that it replaces: an invalid one, which emulator.c answers.
INVALID_CPUID, INVALID_XGETBV = b"\x0f\x0b", b"\x0f\x0b\x90"
CPUID, XGETBV = b"\x0f\xa2", b"\x0f\x01\xd0"


def find_instructions(library: Path) -> dict[int, bytes]:
    """Return the addresses of the instructions that ask for the processor's features."""
    listing = subprocess.run(["objdump", "--disassemble", str(library)], capture_output=True, text=True, check=True)
    found = re.findall(r"^\s*([0-9a-f]+):\t[0-9a-f ]+\t(cpuid|xgetbv)", listing.stdout, re.MULTILINE)
    return {int(address, 16): CPUID if name == "cpuid" else XGETBV for address, name in found}


def file_offset(library: Path, address: int) -> int:
    """Return where the code that is loaded at an address is in the file."""
    headers = subprocess.run(["readelf", "-lW", str(library)], capture_output=True, text=True, check=True).stdout
    for offset, start, size in re.findall(r"LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+)", headers):
        if 0 <= address - int(start, 16) < int(size, 16):
            return address - int(start, 16) + int(offset, 16)
    raise ValueError(f"{address:#x} is not in {library}")


def emulated_library(library: Path) -> bytes:
    """Return oneDNN with instructions that `emulator.c` answers in place of those that ask for features."""
    code = bytearray(library.read_bytes())
    for address, instruction in find_instructions(library).items():
        at = file_offset(library, address)
        assert code[at : at + len(instruction)] == instruction
        # A nop after it would make it look like XGETBV.
        assert instruction == XGETBV or code[at + 2] != INVALID_XGETBV[2]
        code[at : at + len(instruction)] = INVALID_XGETBV if instruction == XGETBV else INVALID_CPUID
    return bytes(code)


def start_jittor() -> Path:
    """Compile Jittor's core if it is missing, and return its oneDNN."""
    subprocess.run([sys.executable, "-c", "from ganzoo import backend; backend.start('cpu')"], check=True)
    return next((environment.cache_dir() / "mkl").glob("dnnl*/lib/libdnnl.so.2"))


def prepare(folder: Path) -> dict[str, str]:
    """Write everything into a folder, and return the environment variables that use it."""
    flags = ["-O2", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512bf16", "-shared", "-fPIC", "-ldl"]
    emulator = folder / "emulator.so"
    subprocess.run(["gcc", str(HERE / "emulator.c"), "-o", str(emulator), *flags], check=True)
    (folder / "libdnnl.so.2").write_bytes(emulated_library(start_jittor()))
    information = Path("/proc/cpuinfo").read_text()
    (folder / "cpuinfo").write_text(re.sub(r"^(flags\s*:.*)", rf"\1 {EMULATED_FLAGS}", information, flags=re.MULTILINE))
    return {
        "EMULATED_CPUINFO": str(folder / "cpuinfo"),
        "LD_LIBRARY_PATH": str(folder),
        "LD_PRELOAD": str(emulator),
    }


def main(arguments: list[str]) -> int:
    if environment.amx_available():
        print("This processor has AMX: nothing is emulated.", flush=True)
        variables = {}
    elif "avx512_bf16" not in environment.processor_flags():
        print("This processor has no AVX512_BF16, so AMX can't be emulated: nothing was run.")
        return 0
    with tempfile.TemporaryDirectory(prefix="ganzoo-amx-") as folder:
        if not environment.amx_available():
            variables = prepare(Path(folder))
        return subprocess.run([sys.executable, "-m", *arguments], env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
