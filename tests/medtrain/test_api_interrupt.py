"""Ctrl-C in a notebook: passed on once, and the trainer may take its time to save."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from medtrain import api

CHILD = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(1.0)
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit(130)
signal.signal(signal.SIGINT, save)
pathlib.Path(sys.argv[1] + ".up").write_text("")
time.sleep(60)
"""


def test_interrupted_training_is_told_and_waited_for(tmp_path):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    saved, up = tmp_path / "saved", tmp_path / "saved.up"

    def interrupt():
        while not up.exists():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        api._run([sys.executable, "-c", CHILD, str(saved)])
    assert saved.read_text() == "saved"
