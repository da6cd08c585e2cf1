from __future__ import annotations

from pathlib import Path

import pytest

from model_store.errors import DataError
from model_store.reports.losses import read_losses, read_validation


def test_the_log_of_a_run_is_read_and_a_broken_line_left_out(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"step": 40, "loss": 0.5, "rate": 1e-3, "validation": 30.0}\n'
        '{"step": 20, "loss": 0.9, "rate": 1e-3}\n{"step": 60, "lo'
    )
    assert read_losses(tmp_path) == {
        "loss": [(20.0, 0.9), (40.0, 0.5)],
        "validation": [(40.0, 30.0)],
    }


def test_what_the_console_printed_serves_too_and_later_lines_hold(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("preparing\n100/300 loss 0.9000 7 s\n100/500 loss 0.8000 9 s\n")
    assert read_losses(path) == {"loss": [(100.0, 0.8)]}


def test_a_file_without_losses_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("nothing\n")
    with pytest.raises(DataError, match=r"other\.txt.*training log"):
        read_losses(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_losses(tmp_path / "missing")


def test_what_a_run_measured_is_read_by_quantity_and_its_loss_joins_that_of_training(
    tmp_path: Path,
) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"step": 0, "validation": {"PSNR": 20.0, "loss": 3.0}}\n'
        '{"step": 20, "loss": 0.9}\n'
        '{"step": 20, "validation": {"PSNR": 25.0, "D(x)": 0.5, "loss": 1.0}}\n'
    )
    assert read_validation(tmp_path) == {
        "PSNR": [(0.0, 20.0), (20.0, 25.0)],
        "loss": [(0.0, 3.0), (20.0, 1.0)],
        "D(x)": [(20.0, 0.5)],
    }
    assert read_losses(tmp_path)["validation"] == [(0.0, 3.0), (20.0, 1.0)]
