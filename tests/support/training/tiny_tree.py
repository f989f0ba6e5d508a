"""A data set of a few small images and its lists, as `mdhr prepare` leaves them, and the YAML files that name them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mdhr_sdk.training.data.datasets import FrameName, dataset
from mdhr_sdk.training.data.lists import Fold, frame_list, write_fold

SUBJECTS = ("anna", "ben", "cara", "dan", "eve", "finn")
SPEC = """name: {name}
aus: {aus}
folds: [[anna, ben], [cara, dan], [eve, finn]]
raw: {{labels: "labels/{{subject}}.csv", pictures: ["videos/{{subject}}.mp4"]}}
"""
CONFIG = """preset: paper
data: {{dataset: {spec}, lists: {root}/list, images: {root}/img, clip_length: 4, workers: 0, held_out: 0.25}}
model: {{backbone: {backbone}, input_size_px: {size}, projection_width: 16, au_width: 16, weight_width: 4}}
start: {{pretrained: false}}
trainer: {{epochs: 2, validate_every: 1, batch_size: 4, accelerator: cpu, progress: false}}
"""


def write_tree(
    root: Path,
    frames: int = 10,
    size_px: int = 64,
    backbone: str = "test_resnet",
    name: str = "tiny",
    aus: tuple[int, int, int] = (1, 4, 12),
) -> Path:
    """Images, lists of three folds and `run.yaml`; returns the last. A patch is bright where its AU occurs."""
    spec_path = root / "tiny.yaml"
    root.mkdir(parents=True, exist_ok=True)
    spec_path.write_text(SPEC.format(name=name, aus=list(aus)))
    spec = dataset(spec_path)
    rng = np.random.default_rng(0)
    labels: dict[str, np.ndarray] = {}
    for subject in SUBJECTS:
        labels[subject] = np.repeat(rng.integers(0, 2, (-(-frames // 3), 3)), 3, axis=0)[:frames].astype(np.int8)
        labels[subject][0], labels[subject][-1] = 1, 0
        for number in range(frames):
            image = rng.integers(60, 120, (80, 80, 3), dtype=np.uint8)
            for au, (top, left) in enumerate(((5, 5), (5, 45), (50, 25))):
                image[top : top + 25, left : left + 30] += np.uint8(100) * labels[subject][number, au].astype(np.uint8)
            path = root / "img" / spec.crop_path(FrameName(subject, "", number))
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    (root / "list").mkdir(exist_ok=True)
    for fold in (1, 2, 3):
        tested = spec.test_subjects(fold)
        halves = []
        for half, some in (("train", [s for s in SUBJECTS if s not in tested]), ("test", list(tested))):
            paths = [spec.crop_path(FrameName(subject, "", number)) for subject in some for number in range(frames)]
            halves.append(frame_list(spec, half, paths, np.concatenate([labels[s] for s in some]), half == "train"))
        write_fold(root / "list", spec, fold, Fold(*halves))
    config = root / "run.yaml"
    config.write_text(CONFIG.format(spec=spec_path, root=root, size=size_px, backbone=backbone))
    return config
