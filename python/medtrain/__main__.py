"""`python -m medtrain`, which torchrun and the workers use."""

import os
import signal
from types import FrameType


def _leave_quietly(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    if "MEDTRAIN_PARENT" in os.environ:
        # A worker of ours that is still importing has nothing to save and nothing to say.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, _leave_quietly)
    from medtrain.cli import main

    main()
