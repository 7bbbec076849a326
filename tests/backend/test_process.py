"""Starting Jittor leaves the process unchanged. Each test starts a new process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROBE = """
import json, os, signal, ssl, sys
import PIL.Image
signals = ["SIGINT", "SIGCHLD", "SIGSEGV", "SIGFPE", "SIGILL", "SIGBUS", "SIGQUIT", "SIGTERM"]
def snapshot():
    # Handlers are read from the kernel, because Python can't see those that were installed from C.
    status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
    return {
        "caught": int(status["SigCgt"], 16) & 0x7FFFFFFF,  # the other bits are signals that the C library reserves
        "handlers": [str(signal.getsignal(getattr(signal, name))) for name in signals],
        "exit": sys.exit.__module__, "hook": sys.excepthook is sys.__excepthook__,
        "recursion": sys.getrecursionlimit(), "open": PIL.Image.open.__module__,
        "certificates": ssl._create_default_https_context is ssl.create_default_context,
        "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
    }
before = snapshot()
from ganzoo import backend
backend.start("cpu")
after = snapshot()
print(json.dumps([before, after, "torch" in sys.modules]))
"""


def test_starting_jittor_leaves_the_process_unchanged():
    output = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
    before, after, torch_imported = json.loads(output.splitlines()[-1])
    settings = set(after.pop("environment")) - set(before.pop("environment"))
    assert settings <= {
        *("cache_name", "cc_path", "FIX_TORCH_ERROR", "gdb_path", "log_silent", "nvcc_path"),
        *(
            "GANZOO_IGNORED_SIGNALS",
            "GOMP_SPINCOUNT",
            "OMP_WAIT_POLICY",
            "python_config_path",
            "use_cutlass",
            "use_cutt",
            "use_mpi",
            "use_nccl",
        ),
    }
    assert after == before
    assert not torch_imported


def test_ctrl_c_raises_an_ordinary_keyboard_interrupt():
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # CI may ignore SIGINT
        "from ganzoo import backend\nbackend.start('cpu')\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept KeyboardInterrupt:\n    print('caught')"
    )
    assert (
        "caught" in subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    )


def test_a_child_may_be_stopped_and_killed_during_the_import():
    program = (
        "import os, signal, subprocess\nfrom ganzoo import backend\n"
        "patch_and_register = backend.patch_and_register\n"
        "def stop_a_child(*arguments):\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "    os.kill(child.pid, signal.SIGSTOP)\n"
        "    os.waitpid(child.pid, os.WUNTRACED)\n"
        "    child.kill()\n"
        "    child.wait()\n"
        "    patch_and_register(*arguments)\n"
        "backend.patch_and_register = stop_a_child\n"
        "print(backend.start('cpu'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "cpu\n"), done.stderr


def test_ctrl_c_during_the_import_takes_effect_after_it():
    program = (
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from ganzoo.backend import process\n"
        "try:\n    with process.preserve_process():\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n        print('continued')\n"
        "except KeyboardInterrupt:\n    print('then caught')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "continued\nthen caught\n"


def test_killing_a_child_process_does_not_end_the_parent():
    program = (
        "import subprocess, time\nfrom ganzoo import backend\nbackend.start('cpu')\n"
        "child = subprocess.Popen(['sleep', '60'])\nchild.kill()\nchild.wait()\ntime.sleep(0.1)\nprint('alive')"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.split()[-1:]) == (0, ["alive"])


def test_the_exit_status_is_preserved():
    program = "import sys\nfrom ganzoo import backend\nbackend.start('cpu')\nsys.exit(7)"
    assert subprocess.run([sys.executable, "-c", program], check=False, env=dict(os.environ)).returncode == 7


def test_numpy_does_not_warn_that_subnormal_numbers_are_flushed_to_zero():
    program = (
        "from ganzoo import backend\nbackend.start('cpu')\nimport numpy\nprint(numpy.finfo('f8').smallest_subnormal)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr


THREADS = """
import threading, time
from ganzoo.backend import process

def work():
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    finished.append(True)
    over.wait()

finished, over = [], threading.Event()
threading.Thread(target=work, daemon=True).start()
process.let_threads_start()
print("waited" if finished else "did not wait")
process.START_SECONDS = 0.1
threading.Thread(target=lambda: all(iter(lambda: True, False)), daemon=True).start()
process.let_threads_start()
print("gave up")
"""


def test_the_end_of_the_process_waits_until_new_threads_sleep_but_not_for_ever():
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split("\n") == ["waited", "gave up", ""], done.stderr
