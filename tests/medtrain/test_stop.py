import os
import signal
import subprocess
import sys

from medtrain import stop
from medtrain.stop import StopFlag


def test_first_signal_only_sets_the_flag(monkeypatch):
    before = {number: signal.getsignal(number) for number in stop.SIGNALS}
    flag = StopFlag()
    try:
        flag.install()
        assert flag.requested == 0
        os.kill(os.getpid(), signal.SIGUSR2)
        assert flag.requested == signal.SIGUSR2
        # the same request, delivered by two parties: still only a flag
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag.requested == signal.SIGUSR2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_second_signal_ends_at_once():
    code = (
        "import os, signal, time\n"
        "from medtrain.stop import StopFlag\n"
        "StopFlag().install()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(1.2)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, timeout=30, check=False)
    assert done.returncode == 128 + signal.SIGTERM
