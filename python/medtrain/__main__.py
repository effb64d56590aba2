"""`python -m medtrain`, which torchrun and the workers use."""

from medtrain.cli import main

if __name__ == "__main__":
    main()
