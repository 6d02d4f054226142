"""Make the pictures of the README and the documentation from a finished demonstration.

ladera demo --output demo
python scripts/make_figures.py demo/train docs/images
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from ladera.report.run import TrainingRun
from matplotlib.figure import Figure
from PIL import Image

from ladera.files import atomic_path
from ladera.report.training_section import best_epoch, judged_part, learning_plates, parity_plates

DPI = 160


def main(run_folder: Path, output: Path) -> None:
    """Write parity.png (energies and forces of the frames that judge) and learning.png."""
    run = TrainingRun.read(run_folder)
    part = judged_part(run)
    if part is None:
        sys.exit(f"{run_folder} holds no evaluation; wait until the training has ended.")
    judged = {f"Energies, {part}", f"Forces, {part}"}
    parity = [
        p.figure for p in parity_plates(run) if p.figure.axes[0].get_title(loc="left") in judged
    ]
    learning = [plate.figure for plate in learning_plates(run, best_epoch(run))][:2]
    save_side_by_side(parity, output / "parity.png")
    save_side_by_side(learning, output / "learning.png")


def save_side_by_side(figures: list[Figure], path: Path) -> None:
    """Write some figures as one picture."""
    pictures = []
    for figure in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        pictures.append(Image.open(buffer).convert("RGB"))
    width, height = sum(p.width for p in pictures), max(p.height for p in pictures)
    row = Image.new("RGB", (width, height), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width
    with atomic_path(path) as temporary:
        row.save(temporary, optimize=True)
    print(f"Wrote {path} ({path.stat().st_size / 1e3:.0f} kB).")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
