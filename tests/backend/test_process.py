"""What importing Jittor leaves behind in a process, seen from a fresh one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROBE = """
import json, os, signal, ssl, sys
import PIL.Image
signals = ["SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT", "SIGTERM"]
def look():
    # The handlers as the kernel sees them: Python can't see those that were installed from C.
    status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {
        "caught": int(status["SigCgt"], 16) & 0x7FFFFFFF,  # above are those that the C library keeps to itself
        "handlers": [str(signal.getsignal(getattr(signal, name))) for name in signals],
        "exit": sys.exit.__module__, "hook": sys.excepthook is sys.__excepthook__,
        "recursion": sys.getrecursionlimit(), "open": PIL.Image.open.__module__,
        "certificates": ssl._create_default_https_context is ssl.create_default_context,
        "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    }
before = look()
from ganzoo import backend
backend.start("cpu")
after = look()
print(json.dumps([before, after, "torch" in sys.modules]))
"""


def test_the_process_is_as_it_was_before():
    output = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
    before, after, torch_imported = json.loads(output.splitlines()[-1])
    settings = set(after.pop("environment")) - set(before.pop("environment"))
    assert settings <= {
        *("cache_name", "cc_path", "FIX_TORCH_ERROR", "gdb_path", "log_silent", "nvcc_path"),
        *("GANZOO_SURVIVED", "OMP_WAIT_POLICY", "python_config_path", "use_cutlass", "use_cutt", "use_mpi", "use_nccl"),
    }
    assert after == before
    assert not torch_imported


def test_ctrl_c_is_an_ordinary_keyboard_interrupt():
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a CI may run us ignoring it
        "from ganzoo import backend\nbackend.start('cpu')\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    print('caught')"
    )
    assert (
        "caught" in subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    )


def test_ctrl_c_during_the_import_waits_until_it_is_over():
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ganzoo.backend import process\n"
        "try:\n    with process.preserve_process():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        print('went on')\n"
        "except KeyboardInterrupt:\n    print('then caught')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "went on\nthen caught\n"


def test_a_child_killed_by_a_signal_does_not_take_us_along():
    program = (
        "import subprocess, time\nfrom ganzoo import backend\nbackend.start('cpu')\n"
        "child = subprocess.Popen(['sleep', '60'])\nchild.kill()\nchild.wait()\ntime.sleep(0.1)\nprint('alive')"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.split()[-1:]) == (0, ["alive"])


def test_an_exit_status_is_kept():
    program = "import sys\nfrom ganzoo import backend\nbackend.start('cpu')\nsys.exit(7)"
    assert subprocess.run([sys.executable, "-c", program], check=False, env=dict(os.environ)).returncode == 7


def test_numpy_does_not_warn_of_what_jittor_does_to_small_numbers():
    program = (
        "from ganzoo import backend\nbackend.start('cpu')\nimport numpy\nprint(numpy.finfo('f8').smallest_subnormal)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr
