"""Make the demo checkpoint: `python -m training.demo --seed 7 --out model/demo`.

Everything is simulated. The checkpoint shows that the pipeline works; it says nothing about true generators.
"""

import argparse
import json
import shlex
from pathlib import Path


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m training.demo", description="Make the simulated demo checkpoint.")
    parser.add_argument(
        "--out", type=Path, default=Path("model/demo"), help="folder for demo.safetensors and demo.json"
    )
    parser.add_argument("--seed", type=int, default=7, help="of everything (default: %(default)s)")
    parser.add_argument(
        "--scenes", type=int, default=160, help="training scenes, five images each (default: %(default)s)"
    )
    parser.add_argument("--epochs", type=int, default=5, help="passes over them (default: %(default)s)")
    parser.add_argument(
        "--true-images", type=Path, help="manifest.csv of true images to judge in the end; none is trained on"
    )
    options = parser.parse_args()

    # Imported here: worker processes import this module again, and need no torch.
    from training.recipe import Recipe, make

    recipe = Recipe(seed=options.seed, train_scenes=options.scenes, epochs=options.epochs)
    # As it was typed, with what was left at its default shown: the report must name the run that made it.
    command = ["python", "-m", "training.demo", "--seed", str(options.seed), "--out", str(options.out)]
    command += ["--scenes", str(options.scenes), "--epochs", str(options.epochs)]
    if options.true_images:
        command += ["--true-images", str(options.true_images)]
    report = make(recipe, options.out, command=shlex.join(command), manifest=options.true_images)
    print(json.dumps(report["bars"], indent=1))


if __name__ == "__main__":
    main()
