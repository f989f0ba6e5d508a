"""Try every attack of the files `attacks/attacks_on_*.py`: a line of JSON each, of `watching.told`.

python tests/hostile/run_attacks.py MODEL_FOLDER [--torch] [--given] [NAME ...]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "attacks"))

import attacks_on_batch
import attacks_on_content
import attacks_on_forms
import attacks_on_graphs
import attacks_on_loading
import attacks_on_mesh
import attacks_on_operators
import attacks_on_paths
import attacks_on_results
import attacks_on_runs
import attacks_on_runtimes
import attacks_on_settings
import attacks_on_surroundings
import attacks_on_trust
from watching import Seen, told, warm, watched

ATTACKS = (
    *(*attacks_on_paths.ATTACKS, *attacks_on_content.ATTACKS, *attacks_on_graphs.ATTACKS),
    *(*attacks_on_runtimes.ATTACKS, *attacks_on_trust.ATTACKS, *attacks_on_loading.ATTACKS),
    *(*attacks_on_operators.ATTACKS, *attacks_on_results.ATTACKS, *attacks_on_batch.ATTACKS),
    *(*attacks_on_settings.ATTACKS, *attacks_on_forms.ATTACKS, *attacks_on_mesh.ATTACKS),
    *(*attacks_on_surroundings.ATTACKS, *attacks_on_runs.ATTACKS),
)


def tried(attack: attacks_on_paths.Attack, sound: Path) -> Seen:
    with tempfile.TemporaryDirectory() as place:
        arena = Path(place).resolve()
        shutil.copytree(sound, arena / "model")
        for name in ("home", "work"):
            (arena / name).mkdir()
        attack.prepare(arena)
        return watched(arena, attack.act)


def main(sound: Path, *words: str) -> None:
    warm()
    wanted = [word for word in words if not word.startswith("--")]
    for attack in ATTACKS:
        left_out = (attack.torch and "--torch" not in words) or ("--given" in words and not attack.given)
        if left_out or (wanted and attack.name not in wanted):
            continue
        seen = tried(attack, sound)
        if attack.refused and seen.ended == "done" and not seen.wrong:
            seen = Seen("traceback", f"it was taken: {seen.text}", seen.touched, seen.memory_mib, seen.seconds)
        print(told(attack.name, seen), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
